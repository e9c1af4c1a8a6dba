/** The calculator of docs/choose.md: shows what playground/theory.js computes. */

import {
  latticeOrder, patchSize, robustnessBound, robustnessLimit, shiftConsistency,
} from "../playground/theory.js";

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Largest crop whose bound reaches the target; order(k) is its lattice order. */
function largestCrop(n, delta, target, order) {
  for (let k = n; k >= 1; k--) {
    if (robustnessBound(n, k, delta, order(k)) >= target) return `${k} px`;
  }
  return "none";
}

/** Everything that is shown, by the name of its place. */
export function results({ n, k, delta, target }) {
  const order = latticeOrder(n, k);
  const shift = [delta, delta];
  return {
    paper: percent(robustnessBound(n, k, delta, 1)),
    lattice: percent(robustnessBound(n, k, delta, order)),
    limit: percent(robustnessLimit(n, k, delta)),
    "paper-one": percent(shiftConsistency(n, k, shift, 1)),
    "lattice-one": percent(shiftConsistency(n, k, shift, order)),
    "paper-size": largestCrop(n, delta, target / 100, () => 1),
    "lattice-size": largestCrop(n, delta, target / 100, (size) => latticeOrder(n, size)),
    m: n - k + 1,
    order,
    patch: patchSize(n, k, order),
  };
}

/** What is wrong with the numbers, in words, or nothing. */
function problem({ n, k }, form) {
  if (!form.checkValidity()) return "Expected whole numbers within the ranges of the fields.";
  return k > n ? `Expected k to be at most ${n}, but got ${k}.` : "";
}

const root = document.querySelector(".calculator");
const form = root.querySelector("form");
const part = (name) => root.querySelector(`[data-part="${name}"]`);

function update() {
  const fields = [...form.elements].map((field) => [field.name, field.valueAsNumber]);
  const values = Object.fromEntries(fields);
  part("error").textContent = problem(values, form);
  for (const output of root.querySelectorAll("output")) output.textContent = "";
  if (part("error").textContent) return;
  for (const [name, text] of Object.entries(results(values))) part(name).textContent = text;
}

form.addEventListener("input", update);
form.addEventListener("submit", (event) => event.preventDefault());
update();
