// A mask with one byte per pixel of the photo. Strokes fill spans of rows, so that they cost the same on large photos.

import { encode } from "./png.js";

const TILE = 256; // side of the pieces that undo remembers
const MOST_BYTES = 96 << 20; // of what undo remembers

/** A rectangle: left, top, right, bottom in pixels; right and bottom are outside. @typedef {number[]} Rectangle */

export class Mask {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.values = new Uint8Array(width * height);
    this.done = []; // steps that can be undone: maps of tile -> its values before
    this.undone = [];
    this.step = null;
  }

  /** Begin a step, which `undo` takes back as a whole. */
  begin() {
    this.step = new Map();
  }

  end() {
    if (this.step && this.step.size) {
      this.done.push(this.step);
      this.undone = [];
      this.forget();
    }
    this.step = null;
  }

  /** Draw a line with round ends. @returns {Rectangle} what may have changed */
  line(x0, y0, x1, y1, radius, value) {
    const area = this.clipped(Math.min(x0, x1) - radius, Math.min(y0, y1) - radius, Math.max(x0, x1) + radius + 1, Math.max(y0, y1) + radius + 1);
    this.remember(area);
    const [dx, dy] = [x1 - x0, y1 - y0];
    const length = Math.hypot(dx, dy);
    for (let y = area[1]; y < area[3]; y++) {
      const middle = y + 0.5;
      let [low, high] = join(disc(x0, y0, radius, middle), disc(x1, y1, radius, middle));
      if (length > 0) [low, high] = join([low, high], band(x0, y0, dx / length, dy / length, length, radius, middle));
      const first = Math.max(area[0], Math.ceil(low - 0.5));
      const last = Math.min(area[2], Math.floor(high - 0.5) + 1);
      if (last > first) this.values.fill(value, y * this.width + first, y * this.width + last);
    }
    return area;
  }

  /** Fill a box. @returns {Rectangle} */
  box(x0, y0, x1, y1, value) {
    const area = this.clipped(Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1));
    this.remember(area);
    for (let y = area[1]; y < area[3]; y++) this.values.fill(value, y * this.width + area[0], y * this.width + area[2]);
    return area;
  }

  /** Take back a step, or do it again. @returns {Rectangle | null} what has changed */
  undo() {
    return this.swap(this.done, this.undone);
  }

  redo() {
    return this.swap(this.undone, this.done);
  }

  isEmpty() {
    return !this.values.includes(1);
  }

  /** @returns {Promise<Blob>} a PNG that is white where to fill */
  toPNG() {
    return encode(this.values, this.width, this.height);
  }

  /** Replace the mask by a picture of its size: what is bright and opaque is filled. As a step. */
  load(bitmap) {
    const strip = 512;
    const canvas = new OffscreenCanvas(this.width, Math.min(strip, this.height));
    const context = canvas.getContext("2d", { willReadFrequently: true });
    this.begin();
    this.remember([0, 0, this.width, this.height]);
    for (let top = 0; top < this.height; top += strip) {
      const rows = Math.min(strip, this.height - top);
      context.clearRect(0, 0, this.width, strip);
      context.drawImage(bitmap, 0, -top);
      const pixels = context.getImageData(0, 0, this.width, rows).data;
      const from = top * this.width;
      for (let i = 0, at = 0; i < rows * this.width; i++, at += 4) {
        const light = 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2];
        this.values[from + i] = light >= 127.5 && pixels[at + 3] >= 128 ? 1 : 0;
      }
    }
    this.end();
  }

  clipped(left, top, right, bottom) {
    const within = (value, most) => Math.max(0, Math.min(most, value));
    return [
      within(Math.floor(left), this.width),
      within(Math.floor(top), this.height),
      within(Math.ceil(right), this.width),
      within(Math.ceil(bottom), this.height),
    ];
  }

  /** Keep the values of the tiles that a rectangle touches, once for each step. */
  remember([left, top, right, bottom]) {
    if (right <= left || bottom <= top || !this.step) return;
    const across = Math.ceil(this.width / TILE);
    for (let row = Math.floor(top / TILE); row * TILE < bottom; row++) {
      for (let column = Math.floor(left / TILE); column * TILE < right; column++) {
        const key = row * across + column;
        if (!this.step.has(key)) this.step.set(key, this.tile(row, column));
      }
    }
  }

  tile(row, column) {
    const [left, top, right, bottom] = this.clipped(column * TILE, row * TILE, (column + 1) * TILE, (row + 1) * TILE);
    const kept = new Uint8Array((right - left) * (bottom - top));
    for (let y = top; y < bottom; y++) kept.set(this.values.subarray(y * this.width + left, y * this.width + right), (y - top) * (right - left));
    return kept;
  }

  swap(from, to) {
    const step = from.pop();
    if (!step) return null;
    const across = Math.ceil(this.width / TILE);
    const opposite = new Map();
    const area = [this.width, this.height, 0, 0];
    for (const [key, kept] of step) {
      const [row, column] = [Math.floor(key / across), key % across];
      opposite.set(key, this.tile(row, column));
      const [left, top, right, bottom] = this.clipped(column * TILE, row * TILE, (column + 1) * TILE, (row + 1) * TILE);
      for (let y = top; y < bottom; y++) this.values.set(kept.subarray((y - top) * (right - left), (y - top + 1) * (right - left)), y * this.width + left);
      area[0] = Math.min(area[0], left);
      area[1] = Math.min(area[1], top);
      area[2] = Math.max(area[2], right);
      area[3] = Math.max(area[3], bottom);
    }
    to.push(opposite);
    return area;
  }

  /** Drop the oldest steps beyond the limit. */
  forget() {
    const bytes = (step) => step.size * TILE * TILE;
    let sum = this.done.reduce((total, step) => total + bytes(step), 0);
    while (sum > MOST_BYTES && this.done.length > 1) sum -= bytes(this.done.shift());
  }
}

/** The part of a row that a disc covers. */
function disc(x, y, radius, row) {
  const square = radius * radius - (row - y) * (row - y);
  return square < 0 ? [Infinity, -Infinity] : [x - Math.sqrt(square), x + Math.sqrt(square)];
}

/** The part of a row that a band covers: the points beside a line, at most `radius` away. (ux, uy): its direction. */
function band(x0, y0, ux, uy, length, radius, row) {
  let [low, high] = [-Infinity, Infinity];
  // along = ux * dx + uy * dy lies in 0..length, and across = uy * dx - ux * dy in -radius..radius; dy is known.
  const dy = row - y0;
  for (const [factor, rest, least, most] of [[ux, uy * dy, 0, length], [uy, -ux * dy, -radius, radius]]) {
    if (Math.abs(factor) < 1e-9) {
      if (rest < least || rest > most) return [Infinity, -Infinity];
      continue;
    }
    const ends = [(least - rest) / factor, (most - rest) / factor];
    low = Math.max(low, Math.min(...ends));
    high = Math.min(high, Math.max(...ends));
  }
  return low > high ? [Infinity, -Infinity] : [x0 + low, x0 + high];
}

/** Two overlapping parts of a row as one. */
function join(a, b) {
  return [Math.min(a[0], b[0]), Math.max(a[1], b[1])];
}
