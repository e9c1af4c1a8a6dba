/**
 * Images and their parts. `ImageData` is an `Image`; alpha is ignored.
 *
 * @typedef {{data: Uint8ClampedArray, height: number, width: number}} Image  RGBA, row by row
 */

/** How many times as bright differences are shown. */
const GAIN = 4;

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
 * Absolute difference of two images of equal size: a picture of it, made brighter, and its mean over
 * pixels and channels, in grey levels.
 *
 * @param {Image} a
 * @param {Image} b
 */
export function difference(a, b) {
  const data = new Uint8ClampedArray(a.data.length);
  let sum = 0;
  for (let i = 0; i < data.length; i++) {
    const distance = Math.abs(a.data[i] - b.data[i]);
    sum += distance; // alpha is the same everywhere
    data[i] = i % 4 < 3 ? GAIN * distance : 255;
  }
  const { height, width } = a;
  return { image: { data, height, width }, mean: sum / (3 * height * width) };
}

/** One number per pixel. @param {Image} image */
function pixelsOf({ data }) {
  return new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
}

/** @param {Image} image @returns {HTMLCanvasElement} a canvas that shows it */
export function canvasOf(image) {
  const { height, width } = image;
  const canvas = Object.assign(document.createElement("canvas"), { height, width });
  context(canvas).putImageData(imageData(image), 0, 0);
  return canvas;
}

/** @param {Image} image @returns {ImageData} for the browser */
export function imageData({ data, height, width }) {
  return new ImageData(/** @type {any} */ (data), width, height);
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
