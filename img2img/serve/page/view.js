// Shows a picture, its result beside it, and its mask: any part, at any zoom. Coordinates are pixels of the picture.

const PREVIEW = 2048; // longest side of the copy that is drawn when zoomed out
const MOST_ZOOM = 32;
const CRISP = 3; // from this zoom on, pixels are shown as squares
const COLOUR = [235, 60, 40, 140]; // of the mask

/** A decoded picture and a smaller copy, because drawing 24 megapixels into a small canvas takes long. */
class Layer {
  constructor(bitmap) {
    this.full = bitmap;
    this.width = bitmap.width;
    this.height = bitmap.height;
    this.small = null;
    const factor = PREVIEW / Math.max(this.width, this.height);
    if (factor < 0.75) {
      this.small = new OffscreenCanvas(Math.max(1, Math.round(this.width * factor)), Math.max(1, Math.round(this.height * factor)));
      const context = this.small.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, 0, 0, this.small.width, this.small.height);
    }
  }

  close() {
    this.full.close();
  }
}

export class View {
  /** @param {HTMLElement} box has the canvases #picture and #mask. @param {() => void} changed called after zoom or pan */
  constructor(box, changed) {
    this.box = box;
    this.changed = changed;
    this.canvas = box.querySelector("#picture");
    this.overlay = box.querySelector("#mask");
    this.width = this.height = 1;
    this.zoom = 1; // pixels of CSS for each pixel of the picture
    this.left = this.top = 0; // the point of the picture in the upper left corner
    this.fitted = true;
    this.split = 0.5;
    this.before = this.after = this.mask = null;
    this.dirty = null; // what to draw of the mask, in pixels of the picture
    this.all = false;
    this.asked = false;
    new ResizeObserver(() => this.resize()).observe(box);
  }

  /** Show another picture. @param {ImageBitmap} bitmap is closed by the view later. */
  show(bitmap) {
    this.before?.close();
    this.before = new Layer(bitmap);
    this.width = bitmap.width;
    this.height = bitmap.height;
    this.compare(null);
    this.mask = null;
    this.fit();
  }

  /** Show a result beside the picture. @param {ImageBitmap | null} bitmap */
  compare(bitmap) {
    this.after?.close();
    this.after = bitmap && new Layer(bitmap);
    this.redraw();
  }

  clear() {
    this.before?.close();
    this.before = null;
    this.compare(null);
    this.mask = null;
  }

  fit() {
    const [wide, high] = this.size();
    this.zoom = Math.min(wide / this.width, high / this.height, MOST_ZOOM);
    this.left = (this.width - wide / this.zoom) / 2;
    this.top = (this.height - high / this.zoom) / 2;
    this.fitted = true;
    this.redraw();
  }

  /** Zoom by a factor around a point of the box. */
  zoomBy(factor, x = this.size()[0] / 2, y = this.size()[1] / 2) {
    const [wide, high] = this.size();
    const least = Math.min(wide / this.width, high / this.height, 1) / 2;
    const zoom = Math.max(least, Math.min(MOST_ZOOM, this.zoom * factor));
    this.left += x / this.zoom - x / zoom;
    this.top += y / this.zoom - y / zoom;
    this.zoom = zoom;
    this.fitted = false;
    this.keepInside();
    this.redraw();
  }

  /** Move the picture by pixels of CSS. */
  pan(x, y) {
    this.left -= x / this.zoom;
    this.top -= y / this.zoom;
    this.fitted = false;
    this.keepInside();
    this.redraw();
  }

  /** Move the picture so that a point is visible. */
  reveal(x, y) {
    const [wide, high] = this.size();
    const [at, down] = this.toBox(x, y);
    const margin = Math.min(40, wide / 4, high / 4);
    const missing = (place, length) => (place < margin ? margin - place : place > length - margin ? length - margin - place : 0);
    const [dx, dy] = [missing(at, wide), missing(down, high)];
    if ((dx || dy) && !this.fitted) this.pan(dx, dy);
  }

  toPicture(x, y) {
    return [this.left + x / this.zoom, this.top + y / this.zoom];
  }

  toBox(x, y) {
    return [(x - this.left) * this.zoom, (y - this.top) * this.zoom];
  }

  size() {
    return [this.box.clientWidth || 1, this.box.clientHeight || 1];
  }

  redraw() {
    this.all = true;
    this.ask();
    this.changed();
  }

  /** Draw a part of the mask again. @param {number[]} area left, top, right, bottom */
  redrawMask(area) {
    const old = this.dirty;
    this.dirty = old ? [Math.min(old[0], area[0]), Math.min(old[1], area[1]), Math.max(old[2], area[2]), Math.max(old[3], area[3])] : area;
    this.ask();
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      if (this.all) this.draw();
      else if (this.dirty) this.drawMask(this.dirty);
      this.all = false;
      this.dirty = null;
    });
  }

  resize() {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const [wide, high] = this.size().map((side) => Math.round(side * ratio));
    for (const canvas of [this.canvas, this.overlay]) {
      if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    }
    if (this.fitted) this.fit();
    else this.redraw();
  }

  keepInside() {
    const [wide, high] = this.size().map((side) => side / this.zoom);
    const middle = (place, length, shown) => Math.max(-shown / 2, Math.min(length - shown / 2, place));
    this.left = middle(this.left, this.width, wide);
    this.top = middle(this.top, this.height, high);
  }

  draw() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.before) return;
    this.drawLayer(context, this.before);
    if (this.after) {
      const from = Math.round(this.split * this.canvas.width);
      context.save();
      context.beginPath();
      context.rect(from, 0, this.canvas.width, this.canvas.height);
      context.clip();
      context.clearRect(from, 0, this.canvas.width, this.canvas.height);
      this.drawLayer(context, this.after);
      context.restore();
      context.fillStyle = "#000";
      context.fillRect(from - 2, 0, 4, this.canvas.height);
      context.fillStyle = "#fff";
      context.fillRect(from - 1, 0, 2, this.canvas.height);
    }
    this.drawMask([0, 0, this.width, this.height], true);
  }

  drawLayer(context, layer) {
    const device = this.zoom * (this.canvas.width / this.size()[0]); // pixels of the canvas for each of the picture
    const useSmall = layer.small && device * this.width <= layer.small.width;
    const source = useSmall ? layer.small : layer.full;
    const factor = source.width / this.width;
    const [x0, y0] = [Math.max(0, this.left), Math.max(0, this.top)];
    const x1 = Math.min(this.width, this.left + this.canvas.width / device);
    const y1 = Math.min(this.height, this.top + this.canvas.height / device);
    if (x1 <= x0 || y1 <= y0) return;
    const tall = source.height / this.height;
    context.imageSmoothingEnabled = device < CRISP * factor;
    context.imageSmoothingQuality = useSmall ? "medium" : "low";
    context.drawImage(
      source,
      ...[x0 * factor, y0 * tall, (x1 - x0) * factor, (y1 - y0) * tall],
      ...[(x0 - this.left) * device, (y0 - this.top) * device, (x1 - x0) * device, (y1 - y0) * device],
    );
  }

  /** Draw the part of the mask that a rectangle of the picture covers: one look into the mask for each pixel shown. */
  drawMask([left, top, right, bottom], whole = false) {
    const context = this.overlay.getContext("2d");
    if (whole) context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    if (!this.mask) return;
    const device = this.zoom * (this.overlay.width / this.size()[0]);
    const x0 = Math.max(0, Math.floor((Math.max(left, this.left, 0) - this.left) * device) - 1);
    const y0 = Math.max(0, Math.floor((Math.max(top, this.top, 0) - this.top) * device) - 1);
    const x1 = Math.min(this.overlay.width, Math.ceil((right - this.left) * device) + 1);
    const y1 = Math.min(this.overlay.height, Math.ceil((bottom - this.top) * device) + 1);
    if (x1 <= x0 || y1 <= y0) return;
    const piece = context.createImageData(x1 - x0, y1 - y0);
    const pixels = new Uint32Array(piece.data.buffer);
    const colour = new Uint32Array(new Uint8ClampedArray(COLOUR).buffer)[0];
    const { values, width, height } = this.mask;
    const columns = new Int32Array(x1 - x0);
    for (let x = x0; x < x1; x++) columns[x - x0] = Math.floor(this.left + (x + 0.5) / device);
    const from = columns.findIndex((column) => column >= 0);
    const first = from < 0 ? columns.length : from;
    const beyond = columns.findIndex((column) => column >= width);
    const last = beyond < 0 ? columns.length : beyond;
    for (let y = y0; y < y1; y++) {
      const row = Math.floor(this.top + (y + 0.5) / device);
      if (row < 0 || row >= height) continue;
      const start = row * width;
      const at = (y - y0) * piece.width;
      for (let x = first; x < last; x++) if (values[start + columns[x]]) pixels[at + x] = colour;
    }
    context.putImageData(piece, x0, y0);
  }
}
