/**
 * Drawing: the stage with the window on it, the crops, and the scores as an overlay.
 *
 * @typedef {import("./experiment.js").Experiment} Experiment
 * @typedef {import("./image.js").Image} Image
 * @typedef {import("./selection.js").Choice} Choice
 */

import { canvasOf, context, imageData, remainder } from "./image.js";

/** Pixels of the scene that the stage shows around the window. */
const MARGIN = 36;
/** How many times larger pixels are in a magnified crop. */
const MAGNIFICATION = 8;
export const COLOURS = { centre: "#e66100", rics: "#1a85ff" };

/** Side of the stage in pixels of the scene. @param {number} n */
export function stageSide(n) {
  return n + 2 * MARGIN;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Experiment} experiment
 * @param {HTMLCanvasElement} scene  the experiment's scene
 * @param {boolean} overlay  whether to show the scores
 */
export function drawStage(canvas, experiment, scene, overlay) {
  const { n, k, cyclic } = experiment.settings;
  const side = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const target = context(canvas), unit = stageSide(n) / side;
  target.setTransform(1 / unit, 0, 0, 1 / unit, MARGIN / unit, MARGIN / unit); // window at 0, 0
  target.clearRect(-MARGIN, -MARGIN, stageSide(n), stageSide(n));
  const [y, x] = experiment.place.map((value) => (cyclic ? remainder(value, n) : value));
  const copies = cyclic ? [-n, 0, n, 2 * n] : [0];
  for (const dy of copies) for (const dx of copies) target.drawImage(scene, dx - x, dy - y);
  shadeOutside(target, n);
  target.save();
  target.beginPath();
  target.rect(-2, -2, n + 4, n + 4);
  target.clip();
  if (overlay) drawScores(target, experiment.choice);
  outline(target, experiment.centreOrigin, k, COLOURS.centre, unit, [6, 4]);
  for (const dy of cyclic ? [0, n] : [0]) {
    for (const dx of cyclic ? [0, n] : [0]) {
      const [top, left] = experiment.choice.origin;
      outline(target, [top - dy, left - dx], k, COLOURS.rics, unit, []);
    }
  }
  target.restore();
  outline(target, [0, 0], n, "white", unit, []);
}

/** @param {CanvasRenderingContext2D} target @param {number} n */
function shadeOutside(target, n) {
  target.beginPath();
  target.rect(-MARGIN, -MARGIN, stageSide(n), stageSide(n));
  target.rect(0, 0, n, n);
  target.fillStyle = "rgb(0 0 0 / 55%)";
  target.fill("evenodd");
}

/**
 * A square on a dark line, so that it shows on every background.
 *
 * @param {CanvasRenderingContext2D} target
 * @param {readonly [number, number]} origin
 * @param {number} side
 * @param {string} colour
 * @param {number} unit  one pixel of the screen
 * @param {number[]} dashes
 */
function outline(target, [top, left], side, colour, unit, dashes) {
  const scale = unit * devicePixelRatio;
  target.setLineDash([]);
  for (const [style, width] of /** @type {const} */ ([["rgb(0 0 0 / 60%)", 5], [colour, 2.5]])) {
    target.strokeStyle = style;
    target.lineWidth = width * scale;
    target.strokeRect(left, top, side, side);
    target.setLineDash(dashes.map((dash) => dash * scale));
  }
}

/**
 * The scores of all patches, each at the centre of its patch, and the outline of the best patch.
 *
 * @param {CanvasRenderingContext2D} target
 * @param {Choice} choice
 */
function drawScores(target, { scores, patch, geometry }) {
  const { n, t, positions, cyclic } = geometry;
  const map = canvasOf(heatMap(scores, positions)), centre = (t - 1) / 2;
  target.globalAlpha = 0.7;
  for (const dy of cyclic ? [0, n] : [0]) {
    for (const dx of cyclic ? [0, n] : [0]) target.drawImage(map, centre - dx, centre - dy);
  }
  target.globalAlpha = 1;
  const y = Math.floor(patch / positions), x = patch % positions;
  target.strokeStyle = "white";
  target.lineWidth = 1;
  target.setLineDash([]);
  for (const dy of cyclic ? [0, n] : [0]) {
    for (const dx of cyclic ? [0, n] : [0]) target.strokeRect(x - dx, y - dy, t, t);
  }
}

/**
 * Scores from the lowest (dark) to the highest (light).
 *
 * @param {import("./scores.js").Scores} scores
 * @param {number} side
 * @returns {Image}
 */
function heatMap(scores, side) {
  const data = new Uint8ClampedArray(4 * scores.length);
  const values = Float64Array.from(/** @type {ArrayLike<any>} */ (scores), Number);
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const range = high - low || 1;
  for (let i = 0; i < values.length; i++) {
    const share = ((values[i] - low) / range) ** 2; // the high ones are what matters
    data[4 * i] = 400 * share;
    data[4 * i + 1] = 560 * share - 280;
    data[4 * i + 2] = 90 + 250 * Math.sin(Math.PI * share) * (1 - share);
    data[4 * i + 3] = 255;
  }
  return { data, height: side, width: side };
}

/**
 * A crop, or its middle so many times as large that its pixels can be told apart.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Image} crop
 * @param {boolean} magnified
 */
export function drawCrop(canvas, crop, magnified) {
  const shown = magnified ? Math.ceil(crop.height / MAGNIFICATION) : crop.height;
  if (canvas.width !== shown) canvas.width = canvas.height = shown;
  canvas.style.imageRendering = magnified ? "pixelated" : "";
  const start = Math.floor((crop.height - shown) / 2);
  context(canvas).putImageData(imageData(crop), -start, -start);
}
