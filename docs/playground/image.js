/**
 * Images and their parts. `ImageData` is an `Image`; alpha is ignored.
 *
 * @typedef {{data: Uint8ClampedArray, height: number, width: number}} Image  RGBA, row by row
 */

/** The remainder that is never negative. @param {number} a @param {number} n */
export function remainder(a, n) {
  return ((a % n) + n) % n;
}

/**
 * A part of an image that goes on at the opposite border.
 *
 * @param {Image} image
 * @param {number} top  any integer, like `left`
 * @param {number} left
 * @param {number} side  of the square to cut out
 * @returns {Image}
 */
export function cut(image, top, left, side) {
  const from = pixelsOf(image), to = new Uint32Array(side * side);
  for (let y = 0; y < side; y++) {
    const row = remainder(top + y, image.height) * image.width;
    for (let x = 0; x < side; ) {
      const column = remainder(left + x, image.width);
      const run = Math.min(side - x, image.width - column);
      to.set(from.subarray(row + column, row + column + run), y * side + x);
      x += run;
    }
  }
  return { data: new Uint8ClampedArray(to.buffer), height: side, width: side };
}

/**
 * Mean absolute difference of two images of equal size over pixels and channels, in grey levels.
 *
 * @param {Image} a
 * @param {Image} b
 */
export function meanDifference(a, b) {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += Math.abs(a.data[i] - b.data[i]);
  return sum / (3 * a.height * a.width); // alpha is the same everywhere
}

/** One number per pixel. @param {Image} image */
function pixelsOf({ data }) {
  return new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
}

/** @param {Image} image @returns {HTMLCanvasElement} a canvas that shows it */
export function canvasOf({ data, height, width }) {
  const canvas = Object.assign(document.createElement("canvas"), { height, width });
  context(canvas).putImageData(new ImageData(/** @type {any} */ (data), width, height), 0, 0);
  return canvas;
}

/**
 * Read an image: as it is, or scaled to a short side.
 *
 * @param {Blob} blob
 * @param {number} [short]
 * @returns {Promise<Image>}
 */
export async function read(blob, short) {
  const bitmap = await createImageBitmap(blob);
  const scale = short ? short / Math.min(bitmap.width, bitmap.height) : 1;
  const width = Math.round(bitmap.width * scale), height = Math.round(bitmap.height * scale);
  const canvas = Object.assign(document.createElement("canvas"), { height, width });
  const target = context(canvas);
  target.fillStyle = "white"; // behind transparent pixels
  target.fillRect(0, 0, width, height);
  target.imageSmoothingQuality = "high";
  target.drawImage(bitmap, 0, 0, width, height);
  return target.getImageData(0, 0, width, height);
}

/** @param {HTMLCanvasElement} canvas */
export function context(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}
