/**
 * Crops at fractions of a pixel by fixed-point Lanczos taps, as in
 * rics_transforms/engine/resampling.py for uint8 images: in integers below 2^31.
 *
 * @typedef {import("./image.js").Image} Image
 */

import { TAPS, TORUS_TAPS, UNIT } from "./constants.js";
import { remainder } from "./image.js";

/**
 * The part of an image at a place between the pixels. Where the taps leave the image, its border is
 * repeated, or the image goes on at the opposite one.
 *
 * @param {Image} image
 * @param {readonly [top: number, left: number]} place  in 1/64 px
 * @param {number} height  of the part, like `width`
 * @param {number} width
 * @param {boolean} cyclic
 * @returns {Image}
 */
export function resample(image, [top, left], height, width, cyclic) {
  const data = new Uint8ClampedArray(4 * height * width).fill(255);
  const taps = cyclic ? TORUS_TAPS : TAPS;
  const down = taps[remainder(top, UNIT)], across = taps[remainder(left, UNIT)];
  const rows = lines(top, height, down.length, image.height, cyclic);
  const columns = lines(left, width, across.length, image.width, cyclic);
  for (let channel = 0; channel < 3; channel++) {
    const line = new Int32Array(columns.length);
    for (let y = 0; y < height; y++) {
      combineRows(line, image, rows.subarray(y), columns, channel, down);
      for (let x = 0; x < width; x++) {
        let sum = 1 << 13;
        for (let tap = 0; tap < across.length; tap++) sum += line[x + tap] * across[tap];
        data[4 * (y * width + x) + channel] = sum >> 14; // clamped to bytes by the array
      }
    }
  }
  return { data, height, width };
}

/**
 * Which rows or columns of an image the taps see.
 *
 * @param {number} start  in 1/64 px
 * @param {number} count
 * @param {number} taps  how many
 * @param {number} length  of the image
 * @param {boolean} cyclic
 */
function lines(start, count, taps, length, cyclic) {
  const first = Math.floor(start / UNIT) + 1 - taps / 2;
  return Int32Array.from({ length: count + taps - 1 }, (_, i) =>
    cyclic ? remainder(first + i, length) : Math.max(0, Math.min(first + i, length - 1)),
  );
}

/**
 * Some rows of one channel into one, in 1/4 grey level.
 *
 * @param {Int32Array} line  to be filled
 * @param {Image} image
 * @param {Int32Array} rows  at least as many as there are taps
 * @param {Int32Array} columns
 * @param {number} channel
 * @param {number[]} taps
 */
function combineRows(line, { data, width }, rows, columns, channel, taps) {
  line.fill(1 << 9);
  for (let tap = 0; tap < taps.length; tap++) {
    const weight = taps[tap], row = rows[tap] * width;
    for (let x = 0; x < line.length; x++) {
      line[x] += data[4 * (row + columns[x]) + channel] * weight;
    }
  }
  for (let x = 0; x < line.length; x++) line[x] >>= 10;
}
