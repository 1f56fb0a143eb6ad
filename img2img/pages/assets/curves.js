"use strict";
/* Interactive curves as SVG. `new Charts(place, data, view)` draws data.charts; see evaluation/report/charts.py. */

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 220, LEFT = 52, RIGHT = 10, TOP = 12, BOTTOM = 22, COLOURS = 8;

function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/* Four significant digits, as the tables of the page have. */
function shown(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

/* About `count` round numbers from `low` to `high`. */
function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((one) => one * power >= raw) || 10);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

/* The place of the step in `steps` that is nearest to `step`. */
function nearest(steps, step) {
  let low = 0, high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] <= step) low = middle; else high = middle;
  }
  return step - steps[low] < steps[high] - step ? low : high;
}

/* Exponential moving average without the bias of its start. Values that are null stay null. */
function smoothed(values, weight) {
  if (!weight) return values;
  let sum = 0, total = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + 1 - weight;
    return sum / total;
  });
}

class Charts {
  /* view: {log, smooth, from, to, hidden}, which the page may keep; changed() is called when it changes. */
  constructor(place, data, view, changed = () => {}) {
    this.data = data;
    this.view = view;
    this.changed = changed;
    this.cursor = null;
    this.charts = data.charts.map((chart) => new Chart(this, chart));
    for (const chart of this.charts) place.append(chart.figure);
    new ResizeObserver(() => this.draw()).observe(place);
    this.draw();
  }

  draw() { for (const chart of this.charts) chart.draw(); }

  update(changes) {
    Object.assign(this.view, changes);
    this.changed();
    this.draw();
  }

  toggle(key) {
    const hidden = new Set(this.view.hidden);
    if (!hidden.delete(key)) hidden.add(key);
    this.update({ hidden: [...hidden] });
  }

  point(step) {
    this.cursor = step;
    for (const chart of this.charts) chart.showCursor();
  }
}

class Chart {
  constructor(all, chart) {
    this.all = all;
    this.title = chart.title;
    this.series = chart.series.map((one, place) => ({ ...one, steps: all.data.steps[one.steps], place }));
    this.svg = shape("svg", { tabindex: "0", role: "slider", "aria-label": `${chart.title}: step`, height: HEIGHT });
    this.at = element("span", { class: "quiet" });
    this.legend = element("div", { class: "legend", role: "group", "aria-label": `Curves of ${chart.title}` });
    const heading = element("span", {}, chart.title);
    this.figure = element("figure", { class: "chart panel" }, element("figcaption", {}, heading, this.at), this.svg, this.legend);
    if (this.series.length > 4) this.figure.classList.add("wide");
    for (const one of this.series) {
      one.value = element("span", { class: "value" });
      one.button = element("button", { type: "button", class: `c${one.place % COLOURS}` }, element("span", {}, one.name), one.value);
      one.button.addEventListener("click", () => all.toggle(one.switch));
      this.legend.append(one.button);
    }
    this.listen();
  }

  visible() { return this.series.filter((one) => !this.all.view.hidden.includes(one.switch) && one.steps.length); }

  /* The steps that are shown: those of all curves, or the part that the user has chosen. */
  range() {
    const { from, to } = this.all.view;
    if (from !== null && to !== null) return [from, to];
    const firsts = this.series.filter((one) => one.steps.length).map((one) => one.steps[0]);
    const lasts = this.series.filter((one) => one.steps.length).map((one) => one.steps[one.steps.length - 1]);
    return firsts.length ? [Math.min(...firsts), Math.max(...lasts)] : [0, 1];
  }

  draw() {
    const width = Math.max(this.figure.clientWidth - 26, 200);
    const shownOnes = this.visible();
    const [from, to] = this.range();
    for (const one of this.series) {
      one.button.setAttribute("aria-pressed", String(shownOnes.includes(one)));
      one.smooth = smoothed(one.mean, this.all.view.smooth);
    }
    let low = Infinity, high = -Infinity;
    for (const one of shownOnes) {
      one.steps.forEach((step, place) => {
        if (step < from || step > to || one.mean[place] === null) return;
        for (const value of this.all.view.smooth ? [one.smooth[place]] : [one.mean[place]]) {
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
      });
    }
    if (low > high) [low, high] = [0, 1];
    const log = this.all.view.log && low > 0;
    this.scaleNote = this.all.view.log && !log ? "linear: has values of 0 or less" : "";
    const bend = log ? Math.log10 : (value) => value;
    let [bottom, top] = [bend(low), bend(high)];
    const margin = (top - bottom) * 0.05 || Math.abs(top) * 0.05 || 0.5;
    [bottom, top] = [bottom - margin, top + margin];
    this.x = (step) => LEFT + ((width - LEFT - RIGHT) * (step - from)) / (to - from || 1);
    this.y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (bend(value) - bottom) / (top - bottom));
    this.step = (x) => from + ((x - LEFT) * (to - from)) / (width - LEFT - RIGHT);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.replaceChildren(...this.frame(width, from, to, bottom, top, log), this.curves(shownOnes, width));
    this.overlay = shape("g", { class: "overlay" });
    this.svg.append(this.overlay);
    this.showCursor();
  }

  frame(width, from, to, bottom, top, log) {
    const parts = [];
    const values = log ? logTicks(bottom, top) : ticks(bottom, top, 5);
    for (const value of values) {
      const y = this.y(value);
      if (y < TOP - 1 || y > HEIGHT - BOTTOM + 1) continue;
      parts.push(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }));
      parts.push(shape("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, shown(value)));
    }
    for (const step of ticks(from, to, Math.max(2, Math.min(8, Math.floor(width / 90))))) {
      const anchor = this.x(step) > width - 30 ? "end" : "middle";
      parts.push(shape("text", { x: this.x(step), y: HEIGHT - 6, "text-anchor": anchor }, step.toLocaleString("en")));
    }
    const inside = (one) => one.step >= from && one.step <= to;
    for (const mark of this.all.data.marks.filter(inside)) {
      const line = shape("line", { class: "mark", x1: this.x(mark.step), x2: this.x(mark.step), y1: TOP, y2: HEIGHT - BOTTOM });
      line.append(shape("title", {}, mark.text));
      parts.push(line);
    }
    for (const warning of this.all.data.warnings.filter(inside)) {
      const x = this.x(warning.step);
      const flag = shape("path", { class: "warned", d: `M${x - 5} 1h10l-5 9z` });
      flag.append(shape("title", {}, `step ${warning.step}: ${warning.text}`));
      parts.push(flag);
    }
    return parts;
  }

  curves(shownOnes, width) {
    const name = `clip-${this.all.charts ? this.all.charts.indexOf(this) : 0}`;
    const clip = shape("clipPath", { id: name });
    clip.append(shape("rect", { x: LEFT, y: TOP - 4, width: width - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM + 8 }));
    const group = shape("g", { "clip-path": `url(#${name})` });
    group.append(clip);
    for (const one of shownOnes) {
      const colour = `c${one.place % COLOURS}${one.place >= COLOURS ? " dashed" : ""}`;
      if (one.low) group.append(shape("path", { class: `band ${colour}`, d: this.band(one) }));
      if (this.all.view.smooth) group.append(shape("path", { class: `line faint ${colour}`, d: this.path(one.steps, one.mean) }));
      group.append(shape("path", { class: `line ${colour}`, "data-name": one.name, d: this.path(one.steps, one.smooth) }));
      if (one.steps.length < 40) this.dots(group, one, colour);
    }
    return group;
  }

  dots(group, one, colour) {
    one.steps.forEach((step, place) => {
      if (this.drawable(one.smooth[place])) {
        group.append(shape("circle", { class: `point ${colour}`, cx: this.x(step), cy: this.y(one.smooth[place]), r: 2.2 }));
      }
    });
  }

  drawable(value) { return value !== null && Number.isFinite(this.y(value)); }

  path(steps, values) {
    let made = "", pen = false;
    steps.forEach((step, place) => {
      const there = this.drawable(values[place]);
      if (there) made += `${pen ? "L" : "M"}${this.x(step).toFixed(1)} ${this.y(values[place]).toFixed(1)}`;
      pen = there;
    });
    return made;
  }

  /* The range of the values behind each point of a long curve. A gap in the values splits it. */
  band(one) {
    let made = "", there = [];
    const close = () => {
      if (there.length > 1) {
        const corner = (values) => (place) => `${this.x(one.steps[place]).toFixed(1)} ${this.y(values[place]).toFixed(1)}`;
        made += `M${there.map(corner(one.high)).join("L")}L${there.reverse().map(corner(one.low)).join("L")}Z`;
      }
      there = [];
    };
    one.steps.forEach((_, place) => {
      if (this.drawable(one.low[place]) && this.drawable(one.high[place])) there.push(place); else close();
    });
    close();
    return made;
  }

  /* Show the values at the cursor, or the last ones without a cursor. */
  showCursor() {
    if (!this.overlay) return;
    const cursor = this.all.cursor;
    const shownOnes = this.visible();
    const [from, to] = this.range();
    this.overlay.replaceChildren();
    const first = shownOnes[0] || this.series[0];
    const at = first.steps.length ? first.steps[cursor === null ? first.steps.length - 1 : nearest(first.steps, cursor)] : 0;
    const words = [];
    for (const one of this.series) {
      const place = one.steps.length ? nearest(one.steps, cursor === null ? Infinity : cursor) : -1;
      const last = cursor === null ? one.steps.length - 1 : place;
      const value = last < 0 ? null : one.mean[last];
      one.value.textContent = shown(value);
      if (!shownOnes.includes(one)) continue;
      words.push(`${one.name} ${shown(value)}`);
      if (cursor !== null && this.drawable(one.smooth[last]) && one.steps[last] >= from && one.steps[last] <= to) {
        const dot = { class: `point c${one.place % COLOURS}`, cx: this.x(one.steps[last]), cy: this.y(one.smooth[last]), r: 4 };
        this.overlay.append(shape("circle", dot));
      }
    }
    if (cursor !== null && at >= from && at <= to) {
      this.overlay.prepend(shape("line", { class: "cursor", x1: this.x(at), x2: this.x(at), y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    this.at.textContent = [this.scaleNote, `step ${at.toLocaleString("en")}`].filter(Boolean).join(" · ");
    const state = { valuemin: from, valuemax: to, valuenow: at, valuetext: `step ${at}: ${words.join(", ")}` };
    for (const [key, value] of Object.entries(state)) this.svg.setAttribute(`aria-${key}`, value);
  }

  listen() {
    const svg = this.svg;
    const stepOf = (event) => {
      const box = svg.getBoundingClientRect();
      const [from, to] = this.range();
      const x = ((event.clientX - box.left) * svg.viewBox.baseVal.width) / box.width;
      return Math.min(Math.max(this.step(x), from), to);
    };
    let start = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button) return;
      start = stepOf(event);
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      const step = stepOf(event);
      this.all.point(step);
      if (start === null) return;
      const [a, b] = [Math.min(start, step), Math.max(start, step)].map(this.x);
      this.overlay.append(shape("rect", { class: "selected", x: a, y: TOP, width: b - a, height: HEIGHT - TOP - BOTTOM }));
    });
    svg.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const step = stepOf(event);
      const [from, to] = [Math.min(start, step), Math.max(start, step)];
      start = null;
      if (this.x(to) - this.x(from) > 8) this.all.update({ from, to }); else this.draw();
    });
    svg.addEventListener("pointercancel", () => { start = null; this.draw(); });
    svg.addEventListener("pointerleave", () => { if (start === null && document.activeElement !== svg) this.all.point(null); });
    svg.addEventListener("dblclick", () => this.all.update({ from: null, to: null }));
    svg.addEventListener("blur", () => this.all.point(null));
    svg.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const one = this.visible()[0];
    if (!one) return;
    const last = one.steps.length - 1;
    const now = this.all.cursor === null ? last : nearest(one.steps, this.all.cursor);
    const far = Math.max(1, Math.round(last / 10));
    const to = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, Home: 0, End: last, PageDown: now - far, PageUp: now + far }[event.key];
    if (event.key === "Escape") this.all.point(null);
    if (to === undefined) return;
    event.preventDefault();
    this.all.point(one.steps[Math.min(Math.max(to, 0), last)]);
  }
}

/* Powers of ten, or with 2 and 5 times them if there are few. */
function logTicks(bottom, top) {
  if (top - bottom < 0.7) return ticks(10 ** bottom, 10 ** top, 4).filter((value) => value > 0);
  const found = [];
  const factors = top - bottom < 3 ? [1, 2, 5] : [1];
  for (let power = Math.floor(bottom); power <= top; power += 1) {
    for (const factor of factors) found.push(Number((factor * 10 ** power).toPrecision(6)));
  }
  return found;
}
