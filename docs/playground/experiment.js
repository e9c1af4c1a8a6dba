/**
 * A photograph that moves under a fixed window, and how often the crops keep their pixels.
 *
 * @typedef {import("./image.js").Image} Image
 * @typedef {import("./scores.js").Level} Level
 * @typedef {import("./scores.js").Scores} Scores
 * @typedef {import("./selection.js").Choice} Choice
 * @typedef {{n: number, k: number, score: string, cyclic: boolean}} Settings
 * @typedef {[y: number, x: number]} Pair
 */

import { cut, remainder } from "./image.js";
import { SCORES } from "./scores.js";
import { roll, Selector } from "./selection.js";
import { shiftConsistency } from "./theory.js";

export class Experiment {
  /** @type {Image} what the window shows */
  window;
  /** @type {Choice} */
  choice;

  /**
   * @param {Image} photo  no smaller than the window
   * @param {Settings} settings
   * @param {Pair} [place]  of the window in the photograph; by default its centre
   */
  constructor(photo, settings, place) {
    const { n, cyclic } = settings;
    /** @type {Pair} */
    const middle = [(photo.height - n) >> 1, (photo.width - n) >> 1];
    this.settings = settings;
    /** What lies under the window: the photograph, or the middle of it, repeated without end. */
    this.scene = cyclic ? cut(photo, ...middle, n) : photo;
    /** @type {Pair} */
    this.place = this.within(place ?? (cyclic ? [0, 0] : middle));
    this.order = SCORES[settings.score].order(n, settings.k);
    this.selector = new Selector(n, settings.k, SCORES[settings.score], cyclic);
    /** @type {Map<Level, Scores>} on the torus: of its scene, by level */
    this.known = new Map();
    this.counts = { moves: 0, centre: 0, rics: 0, theory: 0 };
    this.look();
  }

  /** Score the window and choose its crop, as the package does for an image of n x n pixels. */
  look() {
    const { n, cyclic } = this.settings;
    this.window = cut(this.scene, ...this.place, n);
    this.choice = cyclic
      ? this.selector.locate(this.window, (level) => roll(this.scores(level), n, this.place))
      : this.selector.locate(this.window);
  }

  /** The scores of all that the torus shows: a move only moves them. @param {Level} level */
  scores(level) {
    const scores = this.known.get(level) ?? this.selector.map(this.scene, level);
    this.known.set(level, scores);
    return scores;
  }

  /** Where a crop of the window lies in the scene. @param {Pair} origin @returns {Pair} */
  inScene([top, left]) {
    const { n, cyclic } = this.settings;
    const y = this.place[0] + top, x = this.place[1] + left;
    return cyclic ? [remainder(y, n), remainder(x, n)] : [y, x];
  }

  /** @returns {Pair} */
  get centreOrigin() {
    const margin = (this.settings.n - this.settings.k) >> 1;
    return [margin, margin];
  }

  /**
   * The nearest place that keeps the window inside the scene.
   *
   * @param {Pair} place
   * @returns {Pair}
   */
  within([y, x]) {
    const { n, cyclic } = this.settings;
    if (cyclic) return [y, x];
    const { height, width } = this.scene;
    return [Math.max(0, Math.min(y, height - n)), Math.max(0, Math.min(x, width - n))];
  }

  /**
   * Move the window and count which crops still show the same pixels of the scene.
   *
   * @param {Pair} place
   * @returns {boolean} whether it moved
   */
  moveTo(place) {
    const to = this.within(place);
    /** @type {Pair} */
    const shift = [to[0] - this.place[0], to[1] - this.place[1]];
    if (!shift.some(Boolean)) return false;
    const rics = this.inScene(this.choice.origin), centre = this.inScene(this.centreOrigin);
    this.place = to;
    this.look();
    const { n, k, cyclic } = this.settings;
    this.counts.moves += 1;
    this.counts.rics += Number(same(rics, this.inScene(this.choice.origin)));
    this.counts.centre += Number(same(centre, this.inScene(this.centreOrigin)));
    this.counts.theory += cyclic ? 1 : shiftConsistency(n, k, shift, this.order);
    return true;
  }

  /**
   * Count one move elsewhere: from a random place, by a random shift.
   *
   * @param {number} delta  largest shift in pixels along either axis
   */
  moveAtRandom(delta) {
    const { place, window, choice, scene, settings } = this;
    const below = (/** @type {number} */ count) => Math.floor(Math.random() * count);
    const margin = settings.cyclic ? -1 : settings.n - 1;
    this.place = [below(scene.height - margin), below(scene.width - margin)];
    this.look();
    const shift = () => below(2 * delta + 1) - delta;
    this.moveTo([this.place[0] + shift(), this.place[1] + shift()]);
    Object.assign(this, { place, window, choice });
  }
}

/** @param {Pair} a @param {Pair} b */
function same(a, b) {
  return a[0] === b[0] && a[1] === b[1];
}
