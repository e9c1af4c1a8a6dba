/**
 * From score maps to crop origins, as in rics_transforms/engine/selection.py:
 * square windows and crops.
 *
 * @typedef {import("./image.js").Image} Image
 * @typedef {import("./scores.js").Level} Level
 * @typedef {import("./scores.js").Score} Score
 * @typedef {import("./scores.js").Scores} Scores
 * @typedef {{
 *   n: number, k: number, t: number, positions: number, cyclic: boolean, subpixel: boolean,
 * }} Geometry
 * @typedef {[top: number, left: number]} Origin  in pixels
 * @typedef {{origin: Origin, patch: number, scores: Scores, geometry: Geometry}} Choice
 */

import { UNIT } from "./constants.js";
import { contentHash } from "./hashing.js";
import { cut, remainder } from "./image.js";
import { fit } from "./peaks.js";
import { resample } from "./resampling.js";
import { patchSize } from "./theory.js";

/** A score, made ready for windows of n x n pixels and crops of k x k. */
export class Selector {
  /**
   * @param {number} n
   * @param {number} k
   * @param {Score} score
   * @param {boolean} cyclic  whether crops wrap around the borders
   * @param {boolean} [subpixel]  whether to place crops between the pixels
   */
  constructor(n, k, score, cyclic, subpixel = false) {
    const t = patchSize(n, k, score.order(n, k));
    /** @type {Geometry} */
    this.geometry = { n, k, t, positions: cyclic ? n : n - t + 1, cyclic, subpixel };
    this.levels = score.levels(t);
  }

  /** All scores of an image by one level. @param {Image} image @param {Level} level */
  map(image, level) {
    const { n, t, cyclic } = this.geometry;
    return level.map(cyclic ? cut(image, 0, 0, n + t - 1) : image, t);
  }

  /**
   * Where the score selects a crop: what `rics_transforms.locate` returns, bit for bit.
   *
   * @param {Image} image
   * @param {(level: Level) => Scores} [map]  the image's scores, if they are known already
   * @returns {Choice} with the winning patch and the scores among which it won
   */
  locate(image, map = (level) => this.map(image, level)) {
    const { geometry } = this;
    for (const level of this.levels) {
      const scores = map(level);
      const between = geometry.subpixel && level.nms;
      const best = between ? highestPeaks(scores, geometry) : maxima(scores, geometry, level.nms);
      if (best.length === 0) continue;
      const patch = best.length === 1 ? best[0] : firstByContent(best, image, geometry);
      const origin = between
        ? placeOf(patch, fit(neighbours(scores, patch, geometry)), geometry)
        : cropOf(patch, geometry);
      return { origin, patch, scores, geometry };
    }
    throw new Error("Expected the last level to decide, but it found no maximum.");
  }

  /**
   * The crop at an origin that `locate` found: what `rics_transforms.rics_crop` returns.
   *
   * @param {Image} image
   * @param {Origin} origin
   */
  cut(image, [top, left]) {
    const { k, cyclic, subpixel } = this.geometry;
    if (!subpixel) return cut(image, top, left, k);
    return resample(image, [UNIT * top, UNIT * left], k, k, cyclic);
  }
}

/**
 * The scores of a torus that has moved: those of the torus, moved along.
 *
 * @param {Scores} scores
 * @param {number} n
 * @param {readonly [dy: number, dx: number]} shift
 */
export function roll(scores, n, [dy, dx]) {
  const rolled = scores.slice(), across = remainder(dx, n);
  for (let y = 0; y < n; y++) {
    const from = remainder(y + dy, n) * n;
    const row = /** @type {any} */ (scores.subarray(from, from + n));
    rolled.set(row.subarray(across), y * n);
    rolled.set(row.subarray(0, across), (y + 1) * n - across);
  }
  return rolled;
}

/**
 * The crop that a patch stands for: a mod m; on the torus, the crop with the patch in its centre.
 *
 * @param {number} patch
 * @param {Geometry} geometry
 * @returns {Origin}
 */
function cropOf(patch, { n, k, t, positions, cyclic }) {
  const y = Math.floor(patch / positions), x = patch % positions;
  const centre = cyclic ? Math.floor((k - t) / 2) : 0, crops = cyclic ? n : n - k + 1;
  return [remainder(y - centre, crops), remainder(x - centre, crops)];
}

/**
 * The same for the peak beside a patch: the crop moves along with it.
 *
 * @param {number} patch
 * @param {import("./peaks.js").Peak} peak
 * @param {Geometry} geometry
 * @returns {Origin}
 */
function placeOf(patch, { down, across }, { n, k, t, positions, cyclic }) {
  const y = UNIT * Math.floor(patch / positions) + down, x = UNIT * (patch % positions) + across;
  if (t === k && !cyclic) return [y / UNIT, x / UNIT];
  const centre = cyclic ? UNIT * Math.floor((k - t) / 2) : 0;
  const room = UNIT * (cyclic ? n : n - k + 1), half = cyclic ? 0 : UNIT / 2;
  const inside = (/** @type {number} */ place) => remainder(place - centre + half, room) - half;
  return [inside(y) / UNIT, inside(x) / UNIT];
}

/**
 * The local maxima with the highest peak, in raster order.
 *
 * @param {Scores} scores
 * @param {Geometry} geometry
 */
function highestPeaks(scores, geometry) {
  /** @type {number[]} */
  let best = [];
  let top = -Infinity;
  for (let i = 0; i < scores.length; i++) {
    if (!isLocalMaximum(scores, i, geometry)) continue;
    const { height } = fit(neighbours(scores, i, geometry));
    if (height > top) [best, top] = [[], height];
    if (height === top) best.push(i);
  }
  return best;
}

/**
 * The nine scores around a place that is not at the edge, row by row.
 *
 * @param {Scores} scores
 * @param {number} i
 * @param {Geometry} geometry
 */
function neighbours(scores, i, { positions }) {
  const row = Math.floor(i / positions), column = i % positions;
  return Float64Array.from({ length: 9 }, (_, step) => {
    const y = remainder(row + Math.floor(step / 3) - 1, positions);
    return Number(scores[y * positions + remainder(column + (step % 3) - 1, positions)]);
  });
}

/**
 * All positions of the highest score, in raster order; with `nms`, among the local maxima only.
 *
 * @param {Scores} scores
 * @param {Geometry} geometry
 * @param {boolean} nms
 */
function maxima(scores, geometry, nms) {
  /** @type {number[]} */
  let best = [];
  for (let i = 0; i < scores.length; i++) {
    if (best.length > 0 && scores[i] < scores[best[0]]) continue;
    if (nms && !isLocalMaximum(scores, i, geometry)) continue;
    if (best.length > 0 && scores[i] > scores[best[0]]) best = [];
    best.push(i);
  }
  return best;
}

/**
 * Whether a score is at least as large as its eight neighbours, and not at the edge.
 *
 * @param {Scores} scores
 * @param {number} i
 * @param {Geometry} geometry
 */
function isLocalMaximum(scores, i, { positions, cyclic }) {
  const row = Math.floor(i / positions), column = i % positions, last = positions - 1;
  if (!cyclic && (row === 0 || column === 0 || row === last || column === last)) return false;
  for (let dy = -1; dy <= 1; dy++) {
    const y = remainder(row + dy, positions) * positions;
    for (let dx = -1; dx <= 1; dx++) {
      if (scores[y + remainder(column + dx, positions)] > scores[i]) return false;
    }
  }
  return true;
}

/**
 * One of the positions of equal score: by the content of the crops, never by position.
 *
 * @param {number[]} tied
 * @param {Image} image
 * @param {Geometry} geometry
 */
function firstByContent(tied, image, geometry) {
  const { n, k, cyclic } = geometry;
  const whole = cyclic ? cut(image, 0, 0, n + k - 1) : image;
  const place = (/** @type {number} */ patch) => {
    const [top, left] = cropOf(patch, geometry);
    return top * whole.width + left;
  };
  const hash = contentHash(whole, k);
  const key = (/** @type {number} */ patch) => hash[place(patch)] >> 1n; // as in the package
  return tied.reduce((best, patch) => (key(patch) > key(best) ? patch : best));
}
