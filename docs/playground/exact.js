/**
 * Arithmetic that cannot round, as in rics_transforms/engine/exact.py: integer functions of every
 * patch.
 *
 * A field is one integer per pixel. Maps of patches of t x t pixels have one value per patch
 * position, row by row. Sums are made in place over the whole array: what runs over the end of a
 * row is never read.
 *
 * @typedef {{data: Int32Array, height: number, width: number}} Field
 * @typedef {import("./image.js").Image} Image
 */

import { HAT_ARM, HAT_DOUBLINGS, HAT_SHARE } from "./constants.js";

/** Sum over the three channels. @param {Image} image @returns {Field} */
export function channelSum({ data, height, width }) {
  const sum = new Int32Array(height * width);
  for (let i = 0; i < sum.length; i++) sum[i] = data[4 * i] + data[4 * i + 1] + data[4 * i + 2];
  return { data: sum, height, width };
}

/**
 * |difference to the pixel below| + |to the right|, one row and column less.
 *
 * @param {Field} field
 * @returns {Field}
 */
export function gradientMagnitude({ data, height, width }) {
  const edges = new Int32Array((height - 1) * (width - 1));
  for (let y = 0, i = 0; y < height - 1; y++) {
    for (let x = 0; x < width - 1; x++) {
      const corner = y * width + x;
      edges[i++] =
        Math.abs(data[corner + width] - data[corner]) + Math.abs(data[corner + 1] - data[corner]);
    }
  }
  return { data: edges, height: height - 1, width: width - 1 };
}

/**
 * Mexican-hat response of every patch: an integer Laplacian of a field smoothed by additions.
 *
 * The field is at most twice a channel sum of uint8, so that no sum reaches 2^31: doublings beyond
 * HAT_DOUBLINGS are shifted away.
 *
 * @param {Field} field
 * @param {number} t  side of the patches, which the hat fills
 * @returns {Int32Array}
 */
export function hat({ data, height, width }, t) {
  const { steps, arm } = hatGeometry(t);
  const shift = Math.max(0, 2 * steps.length - HAT_DOUBLINGS);
  const x = data.slice();
  for (const step of steps) cascade(x, step);
  for (let i = 0; i < x.length; i++) x[i] >>= shift;
  for (const step of steps) cascade(x, step * width);
  const rows = height - t + 1, columns = width - t + 1;
  const response = new Int32Array(rows * columns);
  for (let row = 0, i = 0; row < rows; row++) {
    let c = (row + arm) * width + arm;
    for (let column = 0; column < columns; column++, c++) {
      response[i++] = 4 * x[c] - x[c - arm * width] - x[c + arm * width] - x[c - arm] - x[c + arm];
    }
  }
  return response;
}

/**
 * Add to an array its copy shifted by `step`.
 *
 * @param {Int32Array} x
 * @param {number} step
 */
function cascade(x, step) {
  for (let i = 0; i < x.length - step; i++) x[i] += x[i + step];
}

/**
 * Steps of the smoothing cascade and arm of the Laplacian that fill `span` pixels.
 *
 * @param {number} span
 */
export function hatGeometry(span) {
  const arm = Math.max(1, Math.floor((span * HAT_ARM + 50) / 100));
  const steps = [];
  for (let rest = span - 1 - 2 * arm; rest > 0; rest -= steps[0]) {
    steps.unshift(Math.ceil(rest / HAT_SHARE));
  }
  return { steps, arm };
}

/**
 * Correlation with u(y) g(x) + g(y) u(x), in float64: every partial sum is an integer below 2^53.
 *
 * @param {Field} field
 * @param {{u: Float64Array, g: Float64Array}} filters
 * @returns {Float64Array}
 */
export function correlateSeparable({ data, height, width }, { u, g }) {
  const rows = height - u.length + 1, columns = width - u.length + 1;
  const x = new Float64Array(height * width + 3);
  x.set(data);
  const first = correlateLines(correlateLines(x, height, width, g), columns, height, u);
  const second = correlateLines(correlateLines(x, height, width, u), columns, height, g);
  return first.subarray(0, rows * columns).map((value, i) => value + second[i]);
}

/**
 * Correlate every line with a filter, and transpose: [lines, length] to [positions, lines].
 *
 * Four positions at a time, so that input and output have room for three more. A line that repeats
 * an earlier one, as on the torus, is not correlated again.
 *
 * @param {Float64Array} x
 * @param {number} lines
 * @param {number} length
 * @param {Float64Array} taps
 */
function correlateLines(x, lines, length, taps) {
  const positions = length - taps.length + 1, result = new Float64Array((positions + 3) * lines);
  for (let line = 0; line < lines; line++) {
    if (repeats(x, line, length, positions)) {
      for (let to = line; to < result.length; to += lines) result[to] = result[to - positions];
      continue;
    }
    for (let p = 0; p < positions; p += 4) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let tap = 0, from = line * length + p; tap < taps.length; tap++, from++) {
        const weight = taps[tap];
        a += weight * x[from];
        b += weight * x[from + 1];
        c += weight * x[from + 2];
        d += weight * x[from + 3];
      }
      const to = p * lines + line;
      result[to] = a;
      result[to + lines] = b;
      result[to + 2 * lines] = c;
      result[to + 3 * lines] = d;
    }
  }
  return result;
}

/**
 * Whether a line equals the one `period` lines before it.
 *
 * @param {Float64Array} x
 * @param {number} line
 * @param {number} length
 * @param {number} period
 */
function repeats(x, line, length, period) {
  if (line < period) return false;
  const start = line * length, back = period * length;
  for (let i = start; i < start + length; i++) if (x[i] !== x[i - back]) return false;
  return true;
}
