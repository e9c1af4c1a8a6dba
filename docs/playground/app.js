/**
 * The page: controls and pointer on one side, the experiment and its pictures on the other.
 *
 * Photographs lie in photos/ beside this file; an own file is read by the browser and stays there.
 */

import { COLOURS, drawCrop, drawStage, stageSide } from "./draw.js";
import { Experiment } from "./experiment.js";
import { canvasOf, difference, read } from "./image.js";
import { SCORES } from "./scores.js";
import { robustnessBound, robustnessLimit } from "./theory.js";

/** @typedef {"centre" | "rics"} Name  of a crop */

/** Short side of an own photograph, in pixels: like the bundled ones. */
const SHORT = 400;
/** @type {Name[]} */
const NAMES = ["centre", "rics"];
const DELTAS = [1, 3];
const RANDOM = { moves: 100, delta: 3 };
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, 1], ArrowRight: [0, -1] };

const root = /** @type {HTMLElement} */ (document.getElementById("rics-playground"));
/** @type {(name: string) => any} */
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const form = /** @type {HTMLFormElement} */ (root.querySelector("form"));
const stage = /** @type {HTMLCanvasElement} */ (part("stage"));

/** @type {import("./image.js").Image} */
let photo;
/** @type {Experiment} */
let experiment;
/** @type {HTMLCanvasElement} */
let scene;
/** @type {Experiment["crops"]} */
let crops;
/** @type {Experiment["crops"] | undefined} before the last move */
let previous;
/** @type {import("./experiment.js").Pair | undefined} where the window lies at first */
let start;
/** @type {Promise<Blob>} */
let wanted;
let slowest = 0;

// --- the experiment ------------------------------------------------------------------------------

/** @returns {import("./experiment.js").Settings} */
function settings() {
  const values = new FormData(form); // without what is disabled
  return {
    n: Number(values.get("n")),
    k: Number(values.get("k")),
    score: String(values.get("score")),
    cyclic: values.get("shifts") === "cyclic",
    between: values.has("between"),
    halves: values.has("halves"),
  };
}

/**
 * Start to count again.
 *
 * @param {import("./experiment.js").Pair} [place]  of the window; by default where it lay at first
 */
function restart(place) {
  form.k.max = form.n.value; // the browser moves k along
  for (const name of ["n", "k"]) part(name).textContent = form[name].value;
  form.between.disabled = !SCORES[form.score.value].smooth;
  part("not-smooth").hidden = !form.between.disabled;
  const first = form.shifts.value === "cyclic" ? undefined : start;
  experiment = new Experiment(photo, settings(), place ?? first);
  scene = canvasOf(experiment.scene);
  slowest = 0;
  part("latency").textContent = "";
  part("verdict").textContent = "Move the photograph, and see below what each move does to the crops.";
  previous = undefined;
  draw();
  describe();
}

/**
 * Move the window, as an event asked for.
 *
 * @param {import("./experiment.js").Pair} place
 * @param {Event} event
 */
function move(place, event) {
  if (!experiment.moveTo(place)) return;
  const before = (previous = crops);
  draw();
  const what = (/** @type {Name} */ name) => compare(before[name].place, crops[name].place);
  part("verdict").textContent = `Centre crop ${what("centre")}. RICS crop ${what("rics")}.`;
  const latency = performance.now() - event.timeStamp;
  slowest = Math.max(slowest, latency);
  const times = [latency, slowest].map((time) => `${time.toFixed(1)} ms`);
  part("latency").textContent = `Answered in ${times[0]}, at most ${times[1]} so far.`;
}

/**
 * What a move did to a crop that lay at one place of the scene and now lies at another.
 *
 * @param {import("./experiment.js").Pair} before
 * @param {import("./experiment.js").Pair} after
 */
function compare(before, after) {
  const verdict = experiment.same(before, after) ? "kept" : "changed";
  const { between, halves } = experiment.settings;
  if (!between && !halves) return verdict;
  return `${verdict}: ${experiment.distance(before, after).toFixed(2)} px off`;
}

// --- what is shown -------------------------------------------------------------------------------

function draw() {
  const { choice, centreOrigin, settings } = experiment;
  drawStage(stage, experiment, scene, form.overlay.checked);
  crops = experiment.crops;
  for (const name of NAMES) {
    drawCrop(part(name), crops[name].image, form.magnify.checked);
    drawChange(name);
  }
  const inWords = (/** @type {number[]} */ origin, /** @type {number} */ digits) =>
    `(${origin.map((value) => value.toFixed(digits)).join(", ")})`;
  part("centre-origin").textContent = inWords(centreOrigin, 0);
  part("rics-origin").textContent = inWords(choice.origin, settings.between ? 2 : 0);
  root.dataset.place = experiment.place.join();
  root.dataset.origin = choice.origin.join();
  count();
}

/**
 * What the last move changed in a crop, as a picture and in words.
 *
 * @param {Name} name
 */
function drawChange(name) {
  const { image, mean } = difference((previous ?? crops)[name].image, crops[name].image);
  drawCrop(part(`${name}-difference`), image, form.magnify.checked);
  const words = mean ? `Pixels differ by ${mean.toFixed(1)}` : "No pixel differs";
  part(`${name}-change`).textContent = previous ? words : "What a move changes";
}

function count() {
  const { moves, ...kept } = experiment.counts;
  part("moves").textContent = String(moves);
  for (const [name, count] of Object.entries(kept)) {
    if (name === "theory" && experiment.settings.halves) {
      part("theory-kept").textContent = part("theory-share").textContent = "–";
      continue;
    }
    part(`${name}-kept`).textContent = name === "theory" ? count.toFixed(1) : String(count);
    part(`${name}-share`).textContent = moves ? percent(count / moves) : "–";
  }
}

/** What theory says for these settings. */
function describe() {
  const { n, k, score, cyclic, halves } = experiment.settings;
  const bounds = DELTAS.map((delta) => {
    const bound = percent(robustnessBound(n, k, delta, experiment.order));
    const limit = percent(robustnessLimit(n, k, delta));
    return `${bound} within ${delta} px (no rule can promise more than ${limit})`;
  });
  const promise = cyclic
    ? "Theorem 2: every cyclic shift keeps the crop."
    : "With a pseudo-random score, the share of scenes whose crop no shift changes is at least " +
      `${bounds.join("; ")}.`;
  part("theory").textContent = halves
    ? "The theorems speak of whole pixels. Here a crop counts as kept if it lies at the same " +
      "place of the scene to a quarter of a pixel."
    : promise;
  part("caveat").hidden = cyclic || halves || SCORES[score].pseudoRandom;
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

// --- what is done --------------------------------------------------------------------------------

/**
 * Show a photograph, or say why not.
 *
 * @param {Promise<Blob>} blob
 * @param {{short?: number, place?: import("./experiment.js").Pair}} options
 *   short: side to scale it to; place: of the window at first, by default the centre
 */
async function show(blob, { short, place }) {
  wanted = blob;
  root.ariaBusy = "true";
  let problem = "";
  try {
    const image = await read(await blob, short);
    if (blob !== wanted) return; // another one was asked for meanwhile
    [photo, start] = [image, place];
    restart();
  } catch (error) {
    problem = `This photograph cannot be read: ${error instanceof Error ? error.message : error}`;
  }
  part("error").textContent = problem;
  root.ariaBusy = "false";
}

function showBundled() {
  form.own.value = "";
  const url = new URL(`photos/${form.photo.value}.png`, import.meta.url);
  return show(
    fetch(url).then((response) => {
      if (!response.ok) throw new Error(`${url} answered ${response.status}`);
      return response.blob();
    }),
    { place: form.photo.selectedOptions[0].dataset.place?.split(",").map(Number) },
  );
}

/** @param {PointerEvent} down */
function drag(down) {
  if (down.button !== 0) return;
  const from = experiment.place, scale = stageSide(experiment.settings.n) / stage.clientWidth;
  const follow = (/** @type {PointerEvent} */ event) => {
    const dy = (event.clientY - down.clientY) * scale, dx = (event.clientX - down.clientX) * scale;
    move([from[0] - dy, from[1] - dx], event);
  };
  stage.setPointerCapture(down.pointerId);
  stage.addEventListener("pointermove", follow);
  const end = () => stage.removeEventListener("pointermove", follow);
  stage.addEventListener("lostpointercapture", end, { once: true });
}

/** @param {KeyboardEvent} event */
function press(event) {
  const arrow = ARROWS[event.key];
  if (!arrow) return;
  event.preventDefault();
  const [y, x] = experiment.place, step = event.shiftKey ? 10 : experiment.step;
  move([y + step * arrow[0], x + step * arrow[1]], event);
}

/** Many random moves, in portions, so that the page goes on answering. */
async function sample() {
  const current = experiment;
  for (let i = 0; i < RANDOM.moves && current === experiment; i++) {
    current.moveAtRandom(RANDOM.delta);
    if (i % 5 === 4) {
      count();
      await new Promise((resolve) => setTimeout(resolve));
    }
  }
}

stage.addEventListener("pointerdown", drag);
stage.addEventListener("keydown", press);
new ResizeObserver(() => experiment && draw()).observe(stage);
part("random").addEventListener("click", sample);
part("reset").addEventListener("click", () => restart(experiment.place));
form.addEventListener("submit", (event) => event.preventDefault());
form.photo.addEventListener("change", showBundled);
form.own.addEventListener("change", () => {
  if (form.own.files.length === 0) return;
  form.photo.selectedIndex = -1;
  show(Promise.resolve(form.own.files[0]), { short: SHORT });
});
for (const name of ["n", "k", "score", "between", "halves"]) {
  form[name].addEventListener("input", () => restart(experiment.place));
}
for (const choice of form.shifts) choice.addEventListener("input", () => restart());
for (const name of ["overlay", "magnify"]) form[name].addEventListener("input", draw);
for (const [name, colour] of Object.entries(COLOURS)) root.style.setProperty(`--${name}`, colour);
showBundled();
