/**
 * 64-bit words modulo 2^64 without BigInt, which would be too slow for every pixel.
 *
 * `Words` are Int32Arrays that hold word i as its lower half at 2 i and its upper half at 2 i + 1.
 *
 * @typedef {Int32Array} Words
 * @typedef {readonly [low: number, high: number]} Word  both halves as int32
 */

/** @param {bigint} value @returns {Word} the word congruent to an integer */
export function word(value) {
  return [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))];
}

/** @param {Words} words @returns {BigInt64Array} the same memory as signed integers */
export function signed(words) {
  return new BigInt64Array(words.buffer);
}

/**
 * Replace word i by itself times `factor` plus a word given by its halves.
 *
 * @param {Words} words
 * @param {number} i
 * @param {Word} factor
 * @param {number} low
 * @param {number} high
 */
export function multiplyAdd(words, i, factor, low, high) {
  const a = words[2 * i], b = factor[0];
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const carry = a1 * b1 + (middle >>> 16) + ((a0 * b1 + (middle & 0xffff)) >>> 16);
  const product = Math.imul(a, b) >>> 0, sum = product + (low >>> 0);
  const upper = carry + Math.imul(a, factor[1]) + Math.imul(words[2 * i + 1], b) + high;
  words[2 * i] = sum;
  words[2 * i + 1] = upper + (sum > 0xffffffff ? 1 : 0);
}
