/**
 * Hashes of patches modulo 2^64, as in rics_transforms/engine/hashing.py.
 *
 * @typedef {import("./exact.js").Field} Field
 * @typedef {import("./image.js").Image} Image
 * @typedef {import("./int64.js").Word} Word
 * @typedef {import("./int64.js").Words} Words
 */

import { CHANNELS, COLUMN, MIX, ROW } from "./constants.js";
import { multiplyAdd, signed, word } from "./int64.js";

const ROW_WORD = word(ROW), COLUMN_WORD = word(COLUMN), MIX_WORD = word(MIX);
const CHANNEL_WORDS = CHANNELS.map(word);

/** Scramble word i one to one. @param {Words} words @param {number} i */
function mix(words, i) {
  words[2 * i] ^= words[2 * i + 1];
  multiplyAdd(words, i, MIX_WORD, 0, 0);
}

/** base^exponent modulo 2^64. @param {bigint} base @param {number} exponent */
function power(base, exponent) {
  let result = 1n;
  for (let i = 0; i < exponent; i++) result = BigInt.asUintN(64, result * base);
  return result;
}

/**
 * The filter of RICS-rand: t x t near-Gaussian integers, each a sum of 12 uniform ones.
 *
 * @param {number} t
 */
export function gaussianFilter(t) {
  const z = new Int32Array(2);
  return Int32Array.from({ length: t * t }, (_, i) => {
    let sum = 0;
    for (let part = 12 * i; part < 12 * i + 12; part++) {
      z[0] = part;
      z[1] = 0;
      for (let round = 0; round < 3; round++) {
        multiplyAdd(z, 0, COLUMN_WORD, 0, 0);
        mix(z, 0);
      }
      sum += z[1] >> 16;
    }
    return sum >> 4;
  });
}

/**
 * Pseudo-random score of every patch of t x t pixels.
 *
 * Rows are hashed modulo 2^32 by powers of COLUMN, columns of them modulo 2^64 by powers of ROW;
 * both by Horner's rule from the end, adding what enters and taking away what leaves.
 *
 * @param {Field} field
 * @param {number} t
 * @returns {BigInt64Array}
 */
export function rollingHash(field, t) {
  const rows = field.height - t + 1, columns = field.width - t + 1;
  const hashes = hashRows(field, t), leaves = word(-power(ROW, t));
  const map = new Int32Array(2 * rows * columns), change = new Int32Array(2);
  const running = new Int32Array(2 * columns);
  for (let y = field.height - 1; y >= 0; y--) {
    for (let x = 0; x < columns; x++) {
      const enters = hashes[y * columns + x];
      change[0] = y + t < field.height ? hashes[(y + t) * columns + x] : 0;
      change[1] = change[0] >> 31;
      multiplyAdd(change, 0, leaves, enters, enters >> 31);
      multiplyAdd(running, x, ROW_WORD, change[0], change[1]);
    }
    if (y < rows) map.set(running, 2 * y * columns);
  }
  for (let i = 0; i < rows * columns; i++) mix(map, i);
  return signed(map);
}

/** Hash of every t neighbours of a row, modulo 2^32. @param {Field} field @param {number} t */
function hashRows({ data, height, width }, t) {
  const columns = width - t + 1, hashes = new Int32Array(height * columns);
  const base = COLUMN_WORD[0], leaves = word(power(COLUMN, t))[0];
  for (let y = 0; y < height; y++) {
    let hash = 0;
    for (let x = width - 1; x >= 0; x--) {
      const i = y * width + x;
      hash = Math.imul(hash, base) + data[i];
      if (x + t < width) hash -= Math.imul(data[i + t], leaves);
      if (x < columns) hashes[y * columns + x] = hash;
    }
  }
  return hashes;
}

/**
 * Hash of all that is in a crop of k x k pixels, channels apart: orders crops of equal score.
 *
 * On the torus the package goes on to compare pixels, lest two different crops have the same 64
 * bits. That is left out here.
 *
 * @param {Image} image
 * @param {number} k
 * @returns {BigInt64Array} one per pixel: of the crop that starts there, if it fits
 */
export function contentHash({ data, height, width }, k) {
  const words = new Int32Array(2 * height * width), term = new Int32Array(2);
  for (let i = 0; i < height * width; i++) {
    for (let channel = 0; channel < 3; channel++) {
      term[0] = data[4 * i + channel];
      term[1] = 0;
      multiplyAdd(term, 0, CHANNEL_WORDS[channel], words[2 * i], words[2 * i + 1]);
      words.set(term, 2 * i);
    }
  }
  join(k, (step) => joinHashes(words, step, COLUMN_WORD));
  join(k, (step) => joinHashes(words, step * width, ROW_WORD));
  return signed(words);
}

/**
 * Mix every word with the one `step` further.
 *
 * @param {Words} words
 * @param {number} step
 * @param {Word} base
 */
function joinHashes(words, step, base) {
  for (let i = 0; i < words.length / 2 - step; i++) {
    multiplyAdd(words, i, base, words[2 * (i + step)], words[2 * (i + step) + 1]);
    mix(words, i);
  }
}

/**
 * Combine every `length` neighbours, doubling; the last pair may overlap.
 *
 * @param {number} length
 * @param {(step: number) => void} pair  combines each with the one `step` further
 */
function join(length, pair) {
  for (let span = 1, step = 1; span < length; span += step) {
    step = Math.min(span, length - span);
    pair(step);
  }
}
