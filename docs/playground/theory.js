/**
 * What RICS guarantees: rics_transforms/theory.py for square images and crops, in float64.
 *
 * n: side of the image, k: of the crop, m = n - k + 1 crop positions per axis, j: lattice order.
 * Probabilities are over scenes, for a score whose maximum is equally likely anywhere.
 */

import { MIN_PATCH } from "./constants.js";

/** @param {number} n @param {number} k */
export function latticeOrder(n, k) {
  return Math.max(1, Math.floor((n + 1 - MIN_PATCH) / (n - k + 1)));
}

/** Side of the patches of a lattice. @param {number} n @param {number} k @param {number} order */
export function patchSize(n, k, order) {
  return n - order * (n - k + 1) + 1;
}

/**
 * Probability, at least, that no shift within `delta` pixels changes the crop (Theorems 1 and 3).
 *
 * @param {number} n
 * @param {number} k
 * @param {number} delta
 * @param {number} order
 */
export function robustnessBound(n, k, delta, order) {
  const m = n - k + 1;
  return ((order * Math.max(m - 2 * delta, 0)) / (order * m + 2 * delta)) ** 2;
}

/** The most that any rule can promise. @param {number} n @param {number} k @param {number} delta */
export function robustnessLimit(n, k, delta) {
  const m = n - k + 1;
  return (Math.max(m - 2 * delta, 0) / m) ** 2;
}

/**
 * Probability, at least, that the shift by (dy, dx) keeps the crop.
 *
 * @param {number} n
 * @param {number} k
 * @param {readonly [dy: number, dx: number]} shift
 * @param {number} order
 */
export function shiftConsistency(n, k, shift, order) {
  const m = n - k + 1, patches = order * m;
  const [dy, dx] = shift.map(Math.abs);
  if (Math.max(dy, dx) >= m) return 0;
  const keep = order * (m - dy) * order * (m - dx);
  return keep / (2 * patches * patches - (patches - dy) * (patches - dx));
}
