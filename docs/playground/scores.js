/**
 * The score functions of rics_transforms/engine/scores.py, in the same integers.
 *
 * @typedef {import("./image.js").Image} Image
 * @typedef {Int32Array | Float64Array | BigInt64Array} Scores  one exact integer per patch
 * @typedef {{map: (image: Image, t: number) => Scores, nms: boolean}} Level
 * @typedef {{
 *   levels: (t: number) => Level[],
 *   order: (n: number, k: number) => number,
 *   pseudoRandom: boolean,
 *   smooth: boolean,
 * }} Score
 */

import { MODULUS, PAPER_CROP, PAPER_SIGMAS } from "./constants.js";
import { channelSum, correlateSeparable, gradientMagnitude, hat } from "./exact.js";
import { correlate, spectrum } from "./fourier.js";
import { gaussianFilter, rollingHash } from "./hashing.js";
import { remainder } from "./image.js";
import { latticeOrder } from "./theory.js";

/** @type {Level} */
const HASH = { map: (image, t) => rollingHash(channelSum(image), t), nms: false };

/** @type {Level} */
const HAT = { map: (image, t) => hat(channelSum(image), t), nms: true };

/** @type {Level} */
const SALIENCY = { map: (image, t) => hat(gradientMagnitude(channelSum(image)), t - 1), nms: true };

/** The paper's random score, for patches of t. @param {number} t @returns {Level} */
function random(t) {
  const filter = gaussianFilter(t);
  /** @type {Record<number, import("./fourier.js").Plane>} */
  const spectra = {};
  return {
    map: (image) => {
      const known = (spectra[image.width] ??= spectrum(filter, t, image.width));
      return correlate(channelSum(image), known, t).map((v) => remainder(v, MODULUS));
    },
    nms: false,
  };
}

/** A level of the paper's Mexican hat. @param {number} sigma @returns {Level} */
function paperHat(sigma) {
  return {
    map: (image, t) => correlateSeparable(channelSum(image), paperHatFilters(t, sigma)),
    nms: true,
  };
}

/**
 * Integer filters u and g of `length` taps: g a Gaussian, u (1/2 - x^2 / 2 s^2) times it.
 *
 * The package rounds them from decimal arithmetic. Float64 rounds to the same integers for every
 * crop size that this page offers, which its test verifies.
 *
 * @param {number} length
 * @param {number} sigma
 */
export function paperHatFilters(length, sigma) {
  const places = Float64Array.from({ length }, (_, i) => (2 * i - length + 1) / (2 * sigma));
  const exponents = places.map((x) => x ** 2 / 2);
  const bell = exponents.map((e) => Math.exp(-e));
  const scale = 2 ** 15 / bell.reduce((sum, weight) => sum + weight, 0);
  const g = bell.map((weight) => Math.round(weight * scale));
  const u = bell.map((weight, i) => Math.round((0.5 - exponents[i]) * weight * scale));
  return { u, g };
}

/** The scales of the paper's Mexican hat for crops of t. @param {number} t */
export function paperHatSigmas(t) {
  return PAPER_SIGMAS.map((sigma) => (sigma * t) / PAPER_CROP);
}

/** @type {Record<string, Score>} */
export const SCORES = {
  lattice: {
    levels: (t) => (t < 4 ? [HASH] : [HAT, HASH]),
    order: latticeOrder,
    pseudoRandom: false,
    smooth: true,
  },
  hash: {
    levels: () => [HASH],
    order: () => 1,
    pseudoRandom: true,
    smooth: false,
  },
  random: {
    levels: (t) => [random(t)],
    order: () => 1,
    pseudoRandom: true,
    smooth: false,
  },
  mexican_hat: {
    levels: (t) => (t < 3 ? [HASH] : [...paperHatSigmas(t).map(paperHat), HASH]),
    order: () => 1,
    pseudoRandom: false,
    smooth: true,
  },
  saliency: {
    levels: (t) => (t < 4 ? [HASH] : [SALIENCY, HASH]),
    order: () => 1,
    pseudoRandom: false,
    smooth: true,
  },
};
