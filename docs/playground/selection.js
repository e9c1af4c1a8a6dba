/**
 * From score maps to crop origins, as in rics_transforms/engine/selection.py:
 * square windows and crops.
 *
 * @typedef {import("./image.js").Image} Image
 * @typedef {import("./scores.js").Level} Level
 * @typedef {import("./scores.js").Score} Score
 * @typedef {import("./scores.js").Scores} Scores
 * @typedef {{n: number, k: number, t: number, positions: number, cyclic: boolean}} Geometry
 * @typedef {[top: number, left: number]} Origin
 * @typedef {{origin: Origin, patch: number, scores: Scores, geometry: Geometry}} Choice
 */

import { contentHash } from "./hashing.js";
import { cut, remainder } from "./image.js";
import { patchSize } from "./theory.js";

/** A score, made ready for windows of n x n pixels and crops of k x k. */
export class Selector {
  /**
   * @param {number} n
   * @param {number} k
   * @param {Score} score
   * @param {boolean} cyclic  whether crops wrap around the borders
   */
  constructor(n, k, score, cyclic) {
    const t = patchSize(n, k, score.order(n, k));
    /** @type {Geometry} */
    this.geometry = { n, k, t, positions: cyclic ? n : n - t + 1, cyclic };
    this.levels = score.levels(t);
  }

  /** All scores of an image by one level. @param {Image} image @param {Level} level */
  map(image, level) {
    const { n, t, cyclic } = this.geometry;
    return level.map(cyclic ? cut(image, 0, 0, n + t - 1) : image, t);
  }

  /**
   * The crop that the score selects: what `rics_transforms.locate` returns, bit for bit.
   *
   * @param {Image} image
   * @param {(level: Level) => Scores} [map]  the image's scores, if they are known already
   * @returns {Choice} with the winning patch and the scores among which it won
   */
  locate(image, map = (level) => this.map(image, level)) {
    const { geometry } = this;
    for (const level of this.levels) {
      const scores = map(level);
      const best = maxima(scores, geometry, level.nms);
      if (best.length === 0) continue;
      const patch = best.length === 1 ? best[0] : firstByContent(best, image, geometry);
      return { origin: cropOf(patch, geometry), patch, scores, geometry };
    }
    throw new Error("Expected the last level to decide, but it found no maximum.");
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
