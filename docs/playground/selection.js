/**
 * From score maps to crop origins, as in rics_transforms/selection.py: square windows and crops.
 *
 * @typedef {import("./image.js").Image} Image
 * @typedef {import("./scores.js").Score} Score
 * @typedef {import("./scores.js").Scores} Scores
 * @typedef {{n: number, k: number, t: number, positions: number, cyclic: boolean}} Geometry
 * @typedef {[top: number, left: number]} Origin
 * @typedef {{origin: Origin, patch: number, scores: Scores, geometry: Geometry}} Choice
 */

import { contentHash } from "./hashing.js";
import { cut, remainder } from "./image.js";
import { patchSize } from "./theory.js";

/**
 * The crop that a score selects: what `rics_transforms.locate` returns, bit for bit.
 *
 * @param {Image} image  square
 * @param {number} k
 * @param {Score} score
 * @param {boolean} cyclic  whether crops wrap around the borders
 * @returns {Choice} with the winning patch and the scores among which it won
 */
export function locate(image, k, score, cyclic) {
  const n = image.width, t = patchSize(n, k, score.order(n, k));
  const geometry = { n, k, t, positions: cyclic ? n : n - t + 1, cyclic };
  const whole = cyclic ? cut(image, 0, 0, n + t - 1) : image;
  for (const level of score.levels(t)) {
    const scores = level.map(whole, t);
    const best = maxima(scores, geometry, level.nms);
    if (best.length === 0) continue;
    const patch = best.length === 1 ? best[0] : firstByContent(best, image, geometry);
    return { origin: cropOf(patch, geometry), patch, scores, geometry };
  }
  throw new Error("Expected the last level to decide, but it found no maximum.");
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
