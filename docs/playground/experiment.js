/**
 * A photograph that moves under a fixed window, and how often the crops stay where they are in it.
 *
 * @typedef {import("./image.js").Image} Image
 * @typedef {import("./scores.js").Level} Level
 * @typedef {import("./scores.js").Scores} Scores
 * @typedef {import("./selection.js").Choice} Choice
 * @typedef {{
 *   n: number, k: number, score: string, cyclic: boolean,
 *   between: boolean,  // whether RICS places its crops between the pixels
 *   halves: boolean,  // whether the window moves by half pixels
 * }} Settings
 * @typedef {[y: number, x: number]} Pair
 * @typedef {{image: Image, known: Map<Level, Scores>}} Exposure  known: on the torus
 */

import { enlarge, expose } from "./camera.js";
import { cut, remainder } from "./image.js";
import { SCORES } from "./scores.js";
import { roll, Selector } from "./selection.js";
import { shiftConsistency } from "./theory.js";

/**
 * Pixels up to which crops lie at the same place of the scene, as for `rics verify`: of whole
 * places, only equal ones are as near.
 */
const TOLERANCE = 0.25;

/** @type {WeakMap<Image, Image>} photographs, enlarged */
const ENLARGED = new WeakMap();

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
    const { n, k, cyclic, between, halves } = settings;
    /** @type {Pair} */
    const middle = [(photo.height - n) >> 1, (photo.width - n) >> 1];
    this.settings = settings;
    /** What lies under the window: the photograph, or the middle of it, repeated without end. */
    this.scene = cyclic ? cut(photo, ...middle, n) : photo;
    /** Moves of the window are multiples of this, in pixels. */
    this.step = halves ? 1 / 2 : 1;
    /** @type {Pair} */
    this.place = this.within(place ?? (cyclic ? [0, 0] : middle));
    const score = SCORES[settings.score];
    this.order = score.order(n, k);
    this.selector = new Selector(n, k, score, cyclic, between);
    /** @type {Record<string, Exposure>} by the fractions of the window's place */
    this.exposures = {};
    this.counts = { moves: 0, centre: 0, rics: 0, theory: 0 };
    this.look();
  }

  /** Score the window and choose its crop, as the package does for an image of n x n pixels. */
  look() {
    const { n, cyclic } = this.settings;
    const [y, x] = this.place.map(Math.floor), exposure = this.exposure;
    this.window = cut(exposure.image, y, x, n);
    this.choice = cyclic
      ? this.selector.locate(this.window, (level) => roll(this.scores(exposure, level), n, [y, x]))
      : this.selector.locate(this.window);
  }

  /**
   * The scene as the window's pixels show it: those of the photograph, or with half pixels, what a
   * camera sees that lies at the same fraction of a pixel.
   */
  get exposure() {
    const { cyclic, halves } = this.settings;
    const [down, right] = this.place.map((value) => 2 * (value - Math.floor(value)));
    return (this.exposures[`${down} ${right}`] ??= {
      image: halves ? expose(this.enlarged, [down, right], cyclic) : this.scene,
      known: new Map(),
    });
  }

  /** The scene at twice its resolution. */
  get enlarged() {
    const enlarged = ENLARGED.get(this.scene) ?? enlarge(this.scene, this.settings.cyclic);
    ENLARGED.set(this.scene, enlarged);
    return enlarged;
  }

  /**
   * The scores of all that the torus shows: a move by whole pixels only moves them.
   *
   * @param {Exposure} exposure
   * @param {Level} level
   */
  scores({ image, known }, level) {
    const scores = known.get(level) ?? this.selector.map(image, level);
    known.set(level, scores);
    return scores;
  }

  /** Where a crop of the window lies in the scene. @param {Pair} origin @returns {Pair} */
  inScene([top, left]) {
    const { n, cyclic } = this.settings;
    const y = this.place[0] + top, x = this.place[1] + left;
    return cyclic ? [remainder(y, n), remainder(x, n)] : [y, x];
  }

  /** What the two crops show, and where they lie in the scene. */
  get crops() {
    const { window, choice, centreOrigin } = this, k = this.settings.k;
    return {
      centre: { image: cut(window, ...centreOrigin, k), place: this.inScene(centreOrigin) },
      rics: {
        image: this.selector.cut(window, choice.origin),
        place: this.inScene(choice.origin),
      },
    };
  }

  /** @returns {Pair} */
  get centreOrigin() {
    const margin = (this.settings.n - this.settings.k) >> 1;
    return [margin, margin];
  }

  /**
   * The nearest place that the window can move to, inside the scene.
   *
   * @param {Pair} place
   * @returns {Pair}
   */
  within(place) {
    const { n, cyclic } = this.settings;
    const [y, x] = place.map((value) => Math.round(value / this.step) * this.step);
    if (cyclic) return [y, x];
    const { height, width } = this.scene;
    return [Math.max(0, Math.min(y, height - n)), Math.max(0, Math.min(x, width - n))];
  }

  /**
   * Move the window and count which crops still lie at the same place of the scene.
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
    this.counts.rics += Number(this.same(rics, this.inScene(this.choice.origin)));
    this.counts.centre += Number(this.same(centre, this.inScene(this.centreOrigin)));
    this.counts.theory += cyclic ? 1 : shiftConsistency(n, k, shift, this.order);
    return true;
  }

  /** Whether two places of the scene are the same, or nearly. @param {Pair} a @param {Pair} b */
  same(a, b) {
    return this.distance(a, b) <= TOLERANCE;
  }

  /**
   * Pixels between two places of the scene, along the axis on which they are further apart.
   *
   * @param {Pair} a
   * @param {Pair} b
   */
  distance(a, b) {
    const { n, cyclic } = this.settings;
    const along = a.map((value, axis) => Math.abs(value - b[axis]));
    return Math.max(...along.map((value) => (cyclic ? Math.min(value, n - value) : value)));
  }

  /**
   * Count one move elsewhere: from a random place, by a random shift.
   *
   * @param {number} delta  largest shift in pixels along either axis
   */
  moveAtRandom(delta) {
    const { place, window, choice, scene, settings, step } = this;
    const upTo = (/** @type {number} */ most) =>
      Math.floor(Math.random() * (most / step + 1)) * step;
    const margin = settings.cyclic ? 0 : settings.n;
    this.place = [upTo(scene.height - margin), upTo(scene.width - margin)];
    this.look();
    const shift = () => upTo(2 * delta) - delta;
    this.moveTo([this.place[0] + shift(), this.place[1] + shift()]);
    Object.assign(this, { place, window, choice });
  }
}
