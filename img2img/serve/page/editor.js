// Turns the mouse, fingers and keys into strokes of the mask, and into zoom and pan.

const STEP = 1.15; // factor of a step of zoom or brush size
const NEAR = 12; // pixels of CSS from the boundary that still take hold of it

export class Editor {
  /**
   * @param {View} view
   * @param {{changed: () => void, split: (share: number) => void}} told after each step, and while the boundary moves
   */
  constructor(view, told) {
    this.view = view;
    this.box = view.box;
    this.told = told;
    this.mask = null; // null: nothing to paint
    this.tool = "brush";
    this.diameter = 40; // pixels of the picture
    this.pen = null; // where the keyboard's pen is
    this.penDown = false;
    this.corner = null; // of a box that is drawn with keys
    this.pointers = new Map();
    this.drag = null; // what the pointer does: {kind, x, y}
    this.cursor = this.box.querySelector("#cursor");
    this.marquee = this.box.querySelector("#marquee");
    this.listen();
  }

  /** Paint on a mask, or on none. */
  edit(mask) {
    this.mask = mask;
    this.view.mask = mask;
    this.pen = this.corner = null;
    this.penDown = false;
    this.marquee.hidden = true;
    this.use(this.tool);
    this.view.redraw();
    this.told.changed();
  }

  use(tool) {
    this.tool = tool;
    this.corner = null;
    this.marquee.hidden = true;
    const paints = this.mask && (tool === "brush" || tool === "eraser");
    this.box.classList.toggle("painting", Boolean(paints));
    this.box.classList.toggle("boxing", Boolean(this.mask && tool === "box"));
    if (!paints) this.cursor.hidden = true;
  }

  get largest() {
    return Math.max(2, Math.max(this.view.width, this.view.height) / 2);
  }

  resizeBrush(diameter) {
    this.diameter = Math.max(1, Math.min(this.largest, diameter));
    if (this.pen) this.showCursor(...this.view.toBox(...this.pen));
    else if (this.last) this.showCursor(...this.last);
    this.told.changed();
  }

  undo() {
    this.restored(this.mask?.undo());
  }

  redo() {
    this.restored(this.mask?.redo());
  }

  clear() {
    this.step(() => this.mask.box(0, 0, this.mask.width, this.mask.height, 0));
  }

  restored(area) {
    if (area) this.view.redrawMask(area);
    this.told.changed();
  }

  step(paint) {
    this.mask.begin();
    this.view.redrawMask(paint());
    this.mask.end();
    this.told.changed();
  }

  stroke(from, to) {
    this.view.redrawMask(this.mask.line(...from, ...to, this.diameter / 2, this.tool === "eraser" ? 0 : 1));
  }

  listen() {
    const { box } = this;
    box.addEventListener("pointerdown", (event) => this.down(event));
    box.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, (event) => this.up(event));
    box.addEventListener("pointerleave", () => (this.cursor.hidden = true));
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    box.addEventListener("keydown", (event) => this.keyDown(event));
    box.addEventListener("keyup", (event) => event.key === " " && this.liftPen());
    box.addEventListener("blur", () => this.liftPen());
  }

  place(event) {
    const frame = this.box.getBoundingClientRect();
    return [event.clientX - frame.left - this.box.clientLeft, event.clientY - frame.top - this.box.clientTop];
  }

  down(event) {
    if (event.button > 1) return;
    this.box.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
    this.pen = null;
    if (this.pointers.size === 2) {
      this.startPinch();
      return;
    }
    const [x, y] = this.place(event);
    const at = this.view.toPicture(x, y);
    const boundary = this.view.after ? this.view.split * this.view.size()[0] : NaN;
    if (Math.abs(x - boundary) <= NEAR) this.drag = { kind: "split" };
    else if (!this.mask || this.tool === "move" || event.button === 1) this.drag = { kind: "pan", x, y };
    else if (this.tool === "box") this.drag = { kind: "box", at };
    else {
      this.drag = { kind: "stroke", at };
      this.mask.begin();
      this.stroke(at, at);
    }
    if (event.button === 1) event.preventDefault(); // no automatic scrolling
  }

  move(event) {
    const [x, y] = this.place(event);
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, [x, y]);
    this.last = [x, y];
    if (event.pointerType !== "touch") this.showCursor(x, y);
    const { drag, view } = this;
    if (!drag) return;
    if (drag.kind === "pinch") this.pinch();
    else if (drag.kind === "split") this.told.split(x / view.size()[0]);
    else if (drag.kind === "pan") {
      view.pan(x - drag.x, y - drag.y);
      [drag.x, drag.y] = [x, y];
    } else if (drag.kind === "box") this.showMarquee(drag.at, view.toPicture(x, y));
    else {
      const passed = event.getCoalescedEvents?.() ?? [];
      for (const one of passed.length ? passed : [event]) {
        const at = view.toPicture(...this.place(one));
        this.stroke(drag.at, at);
        drag.at = at;
      }
    }
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    const { drag } = this;
    if (!drag || (drag.kind === "pinch" && this.pointers.size)) return;
    this.drag = null;
    if (drag.kind === "box") {
      this.marquee.hidden = true;
      const to = this.view.toPicture(...this.place(event));
      if (event.type === "pointerup") this.step(() => this.mask.box(...this.whole(drag.at, to), 1));
    } else if (drag.kind === "stroke") {
      this.mask.end();
      this.told.changed();
    }
  }

  startPinch() {
    if (this.drag?.kind === "stroke") {
      this.mask.end(); // a second finger means that the first one was not to paint
      this.undo();
    }
    this.marquee.hidden = true;
    const [a, b] = [...this.pointers.values()];
    this.drag = { kind: "pinch", length: Math.hypot(a[0] - b[0], a[1] - b[1]), x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2 };
  }

  pinch() {
    if (this.pointers.size < 2) return;
    const { drag } = this;
    const [a, b] = [...this.pointers.values()];
    const length = Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
    const [x, y] = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    this.view.pan(x - drag.x, y - drag.y);
    this.view.zoomBy(length / Math.max(1, drag.length), x, y);
    Object.assign(drag, { length, x, y });
  }

  wheel(event) {
    event.preventDefault();
    const up = event.deltaY < 0;
    if (this.mask && !event.ctrlKey && (this.tool === "brush" || this.tool === "eraser")) {
      this.resizeBrush(this.diameter * (up ? STEP : 1 / STEP));
    } else this.view.zoomBy(up ? STEP : 1 / STEP, ...this.place(event));
  }

  keyDown(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (!this.mask || !["z", "y"].includes(key)) return;
      if (key === "y" || event.shiftKey) this.redo();
      else this.undo();
      event.preventDefault();
      return;
    }
    const tools = { b: "brush", e: "eraser", x: "box", m: "move" };
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { view } = this;
    if (key === "+" || key === "=") view.zoomBy(STEP * STEP);
    else if (key === "-") view.zoomBy(1 / STEP / STEP);
    else if (key === "0") view.fit();
    else if (arrows[key]) this.arrow(arrows[key], event.shiftKey);
    else if (!this.mask) return;
    else if (tools[key]) this.told.tool(tools[key]);
    else if (key === "[") this.resizeBrush(this.diameter / STEP);
    else if (key === "]") this.resizeBrush(this.diameter * STEP);
    else if (key === " " || key === "Enter") this.press(event);
    else if (key === "Escape" && this.corner) this.use(this.tool);
    else return;
    event.preventDefault();
  }

  /** Move the pen, or the picture if there is nothing to paint. */
  arrow([dx, dy], fine) {
    const { view } = this;
    if (!this.mask || this.tool === "move") {
      view.pan(-60 * dx, -60 * dy);
      return;
    }
    const from = this.pen ?? this.middle();
    const step = fine ? 1 : Math.max(1, this.tool === "box" ? 10 / view.zoom : this.diameter / 4);
    const within = (value, most) => Math.max(0, Math.min(most, value));
    this.pen = [within(from[0] + dx * step, view.width), within(from[1] + dy * step, view.height)];
    if (this.penDown) this.stroke(from, this.pen);
    view.reveal(...this.pen);
    if (this.corner) this.showMarquee(this.corner, this.pen);
    this.showCursor(...view.toBox(...this.pen));
  }

  /** The keyboard's pen goes down, or sets a corner of a box. */
  press(event) {
    if (event.repeat || this.tool === "move") return;
    this.pen ??= this.middle();
    if (this.tool === "box") {
      if (this.corner) {
        const from = this.corner;
        this.use("box");
        this.step(() => this.mask.box(...this.whole(from, this.pen), 1));
      } else {
        this.corner = this.pen;
        this.showMarquee(this.corner, this.pen);
      }
    } else if (event.key === " ") {
      this.penDown = true;
      this.mask.begin();
      this.stroke(this.pen, this.pen);
    } else this.step(() => this.mask.line(...this.pen, ...this.pen, this.diameter / 2, this.tool === "eraser" ? 0 : 1));
    this.showCursor(...this.view.toBox(...this.pen));
  }

  liftPen() {
    if (!this.penDown) return;
    this.penDown = false;
    this.mask.end();
    this.told.changed();
  }

  middle() {
    return this.view.toPicture(...this.view.size().map((side) => side / 2));
  }

  /** A box between two points that contains every pixel it touches. */
  whole([x0, y0], [x1, y1]) {
    return [Math.floor(Math.min(x0, x1)), Math.floor(Math.min(y0, y1)), Math.ceil(Math.max(x0, x1)), Math.ceil(Math.max(y0, y1))];
  }

  showCursor(x, y) {
    const paints = this.mask && (this.tool === "brush" || this.tool === "eraser");
    this.cursor.hidden = !(paints || (this.mask && this.pen));
    if (this.cursor.hidden) return;
    const side = Math.max(4, paints ? this.diameter * this.view.zoom : 8);
    Object.assign(this.cursor.style, { width: `${side}px`, height: `${side}px`, transform: `translate(${x - side / 2}px, ${y - side / 2}px)` });
  }

  showMarquee(from, to) {
    const [a, b] = [this.view.toBox(...from), this.view.toBox(...to)];
    this.marquee.hidden = false;
    Object.assign(this.marquee.style, {
      left: `${Math.min(a[0], b[0])}px`,
      top: `${Math.min(a[1], b[1])}px`,
      width: `${Math.abs(a[0] - b[0])}px`,
      height: `${Math.abs(a[1] - b[1])}px`,
    });
  }
}
