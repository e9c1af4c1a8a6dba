/**
 * A camera that moves by half a pixel: each of its pixels is the mean of 2 x 2 of a finer scene, as
 * in `rics_transforms.shifts.Camera`.
 *
 * @typedef {import("./image.js").Image} Image
 */

import { UNIT } from "./constants.js";
import { remainder } from "./image.js";
import { resample } from "./resampling.js";

/**
 * An image with twice as many rows and columns: its pixels lie in the middle of the quarters of the
 * old ones.
 *
 * @param {Image} image
 * @param {boolean} cyclic  whether it goes on at the opposite border
 * @returns {Image}
 */
export function enlarge(image, cyclic) {
  const { height, width } = image, large = new Uint32Array(4 * height * width);
  for (const y of [0, 1]) {
    for (const x of [0, 1]) {
      const place = /** @type {const} */ ([quarter(y), quarter(x)]);
      const { data } = resample(image, place, height, width, cyclic);
      const from = new Uint32Array(data.buffer);
      for (let i = 0; i < from.length; i++) {
        const row = Math.floor(i / width), column = i % width;
        large[(2 * row + y) * 2 * width + 2 * column + x] = from[i];
      }
    }
  }
  return { data: new Uint8ClampedArray(large.buffer), height: 2 * height, width: 2 * width };
}

/** Where the first or the second half of a pixel has its middle. @param {number} half */
function quarter(half) {
  return ((2 * half - 1) * UNIT) / 4;
}

/**
 * What the camera sees of an enlarged scene when it has moved by 0 or 1 of its pixels.
 *
 * @param {Image} scene
 * @param {readonly [down: number, right: number]} move
 * @param {boolean} cyclic  whether the scene goes on at the opposite border; else it ends there
 * @returns {Image}
 */
export function expose(scene, [down, right], cyclic) {
  const height = scene.height / 2 - (cyclic ? 0 : down);
  const width = scene.width / 2 - (cyclic ? 0 : right);
  const data = new Uint8ClampedArray(4 * height * width);
  for (let y = 0, i = 0; y < height; y++) {
    const row = 4 * scene.width * (2 * y + down);
    const below = 4 * scene.width * remainder(2 * y + down + 1, scene.height);
    for (let x = 0; x < width; x++) {
      const column = 4 * (2 * x + right), beside = 4 * remainder(2 * x + right + 1, scene.width);
      for (let channel = 0; channel < 4; channel++, i++) {
        const a = column + channel, b = beside + channel, from = scene.data;
        data[i] = (from[row + a] + from[row + b] + from[below + a] + from[below + b] + 2) >> 2;
      }
    }
  }
  return { data, height, width };
}
