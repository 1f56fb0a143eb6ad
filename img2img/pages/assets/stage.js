"use strict";
/* A stage shows pictures of one size in one or more panes. All panes share zoom and position. */

const ZOOMS = [1, 2, 4, 8];
const LEAST = 0.02;
const MOST = 32;

class Stage {
  /**
   * @param {HTMLElement} root contains elements of class "pane"; the pictures in them follow zoom and position
   * @param {() => void} changed called after each change
   */
  constructor(root, changed = () => {}) {
    this.root = root;
    this.changed = changed;
    this.width = this.height = 1;
    this.level = null; // CSS pixels per pixel of the picture; null: the whole picture
    this.x = this.y = 0.5; // the point in the middle of a pane, relative to the picture
    this.pointers = new Map();
    /** May take a drag over: return true. */
    this.grab = () => false;
    root.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    root.addEventListener("pointerdown", (event) => this.#down(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      root.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    new ResizeObserver(() => this.draw()).observe(root);
  }

  /** Show pictures of another size. Zoom and position stay if the size is the same. */
  resize(width, height) {
    if (width !== this.width || height !== this.height) {
      [this.width, this.height, this.level, this.x, this.y] = [width, height, null, 0.5, 0.5];
    }
    this.draw();
  }

  get scale() {
    return this.level ?? this.whole;
  }

  /** The zoom at which a pane shows the whole picture. */
  get whole() {
    const pane = this.#pane();
    const fitting = Math.min(pane.width / this.width, pane.height / this.height);
    return fitting > 0 ? Math.min(fitting, MOST) : 1;
  }

  fit() {
    [this.level, this.x, this.y] = [null, 0.5, 0.5];
    this.draw();
  }

  /** Zoom; the point (left, top) of the window stays where it is. */
  zoom(level, left = null, top = null) {
    const pane = this.#pane(left, top);
    const before = this.scale;
    const after = Math.min(Math.max(level, LEAST), MOST);
    const right = left === null ? 0 : left - (pane.left + pane.width / 2);
    const down = top === null ? 0 : top - (pane.top + pane.height / 2);
    this.x += (right / this.width) * (1 / before - 1 / after);
    this.y += (down / this.height) * (1 / before - 1 / after);
    this.level = after;
    this.draw();
  }

  /** The next larger of the usual zooms, then the whole picture again. */
  next() {
    const larger = ZOOMS.find((one) => one > this.scale * 1.01);
    if (larger === undefined) this.fit();
    else this.zoom(larger);
  }

  /** Fill most of a pane with an area of the picture. */
  look(left, top, width, height) {
    const pane = this.#pane();
    this.x = (left + width / 2) / this.width;
    this.y = (top + height / 2) / this.height;
    this.level = Math.min((0.9 * Math.min(pane.width / width, pane.height / height)), MOST);
    this.draw();
  }

  pan(right, down) {
    this.x -= right / (this.width * this.scale);
    this.y -= down / (this.height * this.scale);
    this.draw();
  }

  draw() {
    this.x = Math.min(Math.max(this.x, 0), 1);
    this.y = Math.min(Math.max(this.y, 0), 1);
    const [width, height] = [this.width * this.scale, this.height * this.scale];
    const style = this.root.style;
    style.setProperty("--width", `${width}px`);
    style.setProperty("--height", `${height}px`);
    style.setProperty("--left", `${-100 * this.x}%`);
    style.setProperty("--top", `${-100 * this.y}%`);
    for (const one of this.root.querySelectorAll("img, canvas")) {
      const own = one.naturalWidth ?? one.width;
      one.style.imageRendering = own && width / own > 1.5 ? "pixelated" : "auto";
    }
    this.changed();
  }

  /** The pane at a point of the window, or the first one that is shown. */
  #pane(left = null, top = null) {
    const boxes = [...this.root.querySelectorAll(".pane")].map((one) => one.getBoundingClientRect());
    const inside = (box) => left >= box.left && left < box.right && top >= box.top && top < box.bottom;
    const seen = boxes.filter((box) => box.width > 0);
    return (left === null ? null : seen.find(inside)) ?? seen[0] ?? this.root.getBoundingClientRect();
  }

  #wheel(event) {
    event.preventDefault();
    const step = event.deltaMode === 0 ? event.deltaY : event.deltaY * 30;
    this.zoom(this.scale * Math.exp(-step / 400), event.clientX, event.clientY);
  }

  #down(event) {
    if (event.button !== 0 || event.target.closest("button, input, select, a")) return;
    this.root.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, taken: this.grab(event) });
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY, taken: before.taken };
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (other) {
      const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y);
      const growth = distance(now) / Math.max(distance(before), 1);
      this.zoom(this.scale * growth, (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else if (before.taken) {
      this.grab(event);
    } else {
      this.pan(now.x - before.x, now.y - before.y);
    }
  }
}
