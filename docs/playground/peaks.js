/**
 * Where the peaks of a smooth score map lie between the pixels, as in
 * rics_transforms/engine/peaks.py: in integers that float64 holds.
 *
 * @typedef {{height: number, down: number, across: number}} Peak  its offset in 1/64 px
 */

import { DROP_BITS, REACH, UNIT } from "./constants.js";

/**
 * The peak of the quadratic surface through 3 x 3 scores, of which the middle one is highest.
 *
 * Scores on this page lie below 2^42, so that no product reaches 2^53; quotients of such integers
 * are rounded down exactly.
 *
 * @param {ArrayLike<number>} around  nine scores, row by row
 * @returns {Peak}
 */
export function fit(around) {
  const centre = around[4];
  const drops = Array.from(around, (score) => centre - score);
  const unit = Math.floor(Math.max(...drops) / 2 ** DROP_BITS) + 1;
  const [nw, n, ne, w, , e, sw, s, se] = drops.map((drop) => Math.floor(drop / unit));
  const gy = n - s, gx = w - e;
  const hyy = Math.max(1, n + s), hxx = Math.max(1, w + e);
  const mixed = ne + sw - nw - se;
  const hxy = mixed * mixed < 16 * hyy * hxx ? mixed : 0;
  const determinant = 16 * hyy * hxx - hxy * hxy;
  const down = ratio(8 * hxx * gy + 2 * hxy * gx, determinant);
  const across = ratio(8 * hyy * gx + 2 * hxy * gy, determinant);
  const slope = gy * down + gx * across;
  const bend = hyy * down * down + hxx * across * across;
  const rise = 2 * UNIT * slope - 2 * bend + hxy * down * across;
  const height = centre + Math.floor((Math.floor(rise / 2 ** 7) * unit) / 2 ** 7);
  return { height, down, across };
}

/**
 * The quotient in 1/64, to the nearest, halves away from 0, within REACH.
 *
 * @param {number} numerator  of magnitude below 2^45, so that 2 UNIT times it stays below 2^52
 * @param {number} denominator  at most 2^46
 */
function ratio(numerator, denominator) {
  const twice = 2 * UNIT * Math.abs(numerator) + denominator;
  const size = Math.min(REACH, Math.floor(twice / (2 * denominator)));
  return numerator < 0 ? -size : size;
}
