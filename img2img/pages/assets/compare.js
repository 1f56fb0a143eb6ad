"use strict";
/* The page of `img2img compare`: two sides with a slider, all sides in a grid, and where they differ. */

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  const payload = new Payload();
  const stage = new Stage(get("stage"), () => {
    get("level").textContent = `${Math.round(stage.scale * 100)} %`;
  });
  const state = { place: -1, left: data.left, right: data.right, view: "slider", slider: 50, order: data.cases.map((_, i) => i) };
  const heat = colours(["#000004", "#51127c", "#b73779", "#fc8961", "#fcfdbf"]);
  const current = () => data.cases[state.order[state.place]];
  let turn = 0; // tells a picture that arrives late from the ones that are wanted now

  function make(tag, text, properties = {}) {
    const element = Object.assign(document.createElement(tag), properties);
    if (text !== null) element.textContent = text;
    return element;
  }

  async function show(place) {
    const changed = place !== state.place;
    state.place = Math.min(Math.max(place, 0), data.cases.length - 1);
    const one = current();
    const mine = ++turn;
    get("name").textContent = one.name;
    get("place").textContent = `${state.place + 1} of ${data.cases.length}, ${one.size[0]} × ${one.size[1]} pixels`;
    get("previous").disabled = state.place === 0;
    get("next").disabled = state.place === data.cases.length - 1;
    get("left-side").value = state.left;
    get("right-side").value = state.right;
    for (const button of get("list").querySelectorAll("button")) {
      const here = Number(button.dataset.case) === state.order[state.place];
      button.setAttribute("aria-current", String(here));
      if (here && changed) button.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    for (const button of document.querySelectorAll("[data-view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
    }
    get("pair").hidden = state.view === "grid";
    get("grid").hidden = state.view !== "grid";
    get("slider-row").hidden = state.view !== "slider";
    get("difference-row").hidden = state.view !== "difference";
    get("divider").hidden = state.view !== "slider";
    get("difference").hidden = state.view !== "difference";
    if (changed) describe(one);
    stage.resize(...one.size);
    try {
      await (state.view === "grid" ? fillGrid(one, mine) : fillPair(one, mine));
      if (changed && mine === turn) await crops(one, mine);
      if (mine === turn) get("stage").dataset.shown = String(state.order[state.place]);
    } catch (error) {
      if (mine === turn) get("message").textContent = error.message;
    }
  }

  /** Put a picture into a layer, or say why there is none. */
  function fill(layer, one, side, image) {
    const missing = one.problems[side] ?? `no result of ${data.sides[side].name}`;
    const content = image ? image.cloneNode() : make("p", missing, { className: "empty" });
    if (image) content.alt = `${one.name}: ${data.sides[side].name}`;
    layer.replaceChildren(content);
  }

  const pictureOf = (one, side) => (side in one.pictures ? payload.picture(one.pictures[side]) : null);

  async function fillPair(one, mine) {
    const [left, right] = await Promise.all([pictureOf(one, state.left), pictureOf(one, state.right)]);
    if (mine !== turn) return;
    fill(get("left"), one, state.left, left);
    fill(get("right"), one, state.right, right);
    get("left-tag").textContent = data.sides[state.left].name;
    get("right-tag").textContent = data.sides[state.right].name;
    if (state.view === "difference") subtract(one, left, right);
    stage.draw();
  }

  async function fillGrid(one, mine) {
    const images = await Promise.all(data.sides.map((_, side) => pictureOf(one, side)));
    if (mine !== turn) return;
    const panes = images.map((image, side) => {
      const pane = make("div", null, { className: "pane" });
      const layer = make("div", null, { className: "layer" });
      fill(layer, one, side, image);
      pane.append(layer, make("span", data.sides[side].name, { className: "tag left" }));
      return pane;
    });
    get("grid").replaceChildren(...panes);
    stage.draw();
  }

  /** The largest difference of the three channels, in colours from black to yellow. */
  function subtract(one, left, right) {
    const canvas = make("canvas", null);
    if (!left || !right) {
      get("difference").replaceChildren(make("p", "one of the two has no result", { className: "empty" }));
      return;
    }
    const factor = Math.min(1, Math.max(left.naturalWidth, right.naturalWidth) / one.size[0]);
    canvas.width = Math.max(1, Math.round(one.size[0] * factor));
    canvas.height = Math.max(1, Math.round(one.size[1] * factor));
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const pixels = [left, right].map((image) => {
      context.imageSmoothingEnabled = image.naturalWidth > canvas.width;
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      return context.getImageData(0, 0, canvas.width, canvas.height);
    });
    const [a, b] = pixels.map((one) => one.data);
    const gain = Number(get("gain").value);
    let total = 0;
    for (let i = 0; i < a.length; i += 4) {
      const difference = Math.max(Math.abs(a[i] - b[i]), Math.abs(a[i + 1] - b[i + 1]), Math.abs(a[i + 2] - b[i + 2]));
      total += difference;
      const colour = 3 * Math.min(255, difference * gain);
      [a[i], a[i + 1], a[i + 2]] = [heat[colour], heat[colour + 1], heat[colour + 2]];
    }
    context.putImageData(pixels[0], 0, 0);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Difference between ${data.sides[state.left].name} and ${data.sides[state.right].name}`);
    get("difference").replaceChildren(canvas);
    get("difference-mean").textContent = `mean ${(total / (a.length / 4)).toFixed(2)} of 255`;
  }

  /** 256 colours between the given ones, three bytes each. */
  function colours(stops) {
    const parts = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
    const table = new Uint8ClampedArray(3 * 256);
    for (let value = 0; value < 256; value++) {
      const at = (value / 255) * (stops.length - 1);
      const from = Math.min(Math.floor(at), stops.length - 2);
      for (let channel = 0; channel < 3; channel++) {
        table[3 * value + channel] = parts[from][channel] + (at - from) * (parts[from + 1][channel] - parts[from][channel]);
      }
    }
    return table;
  }

  /** The figures and problems of one picture. */
  function describe(one) {
    const rows = data.sides.flatMap((side, index) => {
      if (!one.figures[index]) return [];
      const row = make("tr", null);
      row.append(make("th", side.name, { scope: "row" }));
      for (const figure of data.figures) {
        const value = one.figures[index][figure.key];
        const cell = make("td", value === undefined ? "–" : value.toFixed(figure.digits), { className: "number" });
        const all = Object.values(one.figures).map((found) => found[figure.key]).filter((found) => found !== undefined);
        const best = figure.lower ? Math.min(...all) : Math.max(...all);
        if (all.length > 1 && value === best) cell.classList.add("best");
        row.append(cell);
      }
      return [row];
    });
    get("figures").replaceChildren(...rows);
    get("figures-table").hidden = rows.length === 0;
    const problems = Object.values(one.problems);
    get("message").textContent = problems.join("; ");
  }

  /** The areas where the sides differ most, from every side. */
  async function crops(one, mine) {
    get("crops-section").hidden = one.crops.length === 0;
    const images = await Promise.all(data.sides.map((_, side) => pictureOf(one, side)));
    if (mine !== turn) return;
    const buttons = one.crops.map(([left, top, width, height]) => {
      const button = make("button", null, { className: "crop", type: "button" });
      button.setAttribute("aria-label", `Zoom to the area at ${left}, ${top}`);
      button.addEventListener("click", () => stage.look(left, top, width, height));
      images.forEach((image, side) => {
        if (!image) return;
        const canvas = make("canvas", null, { width, height });
        const [across, down] = [image.naturalWidth / one.size[0], image.naturalHeight / one.size[1]];
        const context = canvas.getContext("2d");
        context.imageSmoothingEnabled = across >= 1;
        context.drawImage(image, left * across, top * down, width * across, height * down, 0, 0, width, height);
        const figure = make("figure", null);
        figure.append(canvas, make("figcaption", data.sides[side].name));
        button.append(figure);
      });
      return button;
    });
    get("crops").replaceChildren(...buttons);
  }

  function slide(percent) {
    state.slider = Math.min(Math.max(percent, 0), 100);
    get("pair").style.setProperty("--slider", `${state.slider}%`);
    get("slider").value = state.slider;
    get("slider").setAttribute("aria-valuetext", `${Math.round(state.slider)} % ${data.sides[state.left].name}`);
  }

  function choose(which, side) {
    if (side < 0 || side >= data.sides.length) return;
    const other = which === "left" ? "right" : "left";
    if (state[other] === side) state[other] = state[which]; // swap
    state[which] = side;
    show(state.place);
  }

  function view(name) {
    state.view = name;
    show(state.place);
  }

  function sort() {
    const here = state.order[state.place];
    const difference = (index) => data.cases[index].difference;
    state.order = data.cases.map((_, index) => index);
    if (get("sort").value === "difference") state.order.sort((a, b) => difference(b) - difference(a));
    const buttons = new Map([...get("list").querySelectorAll("button")].map((one) => [Number(one.dataset.case), one]));
    get("list").replaceChildren(...state.order.map((index) => buttons.get(index)));
    show(state.order.indexOf(here));
  }

  // While the whole picture is visible, dragging anywhere moves the slider; otherwise only its handle does.
  stage.grab = (event) => {
    if (state.view !== "slider") return false;
    if (event.type === "pointerdown" && stage.level !== null && event.target !== get("divider")) return false;
    const box = get("pair").getBoundingClientRect();
    slide(((event.clientX - box.left) / box.width) * 100);
    return true;
  };

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input:not([type=range])")) return;
    const onSlider = event.target === get("slider");
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
    if (digit) choose(event.shiftKey ? "left" : "right", Number(digit) - 1);
    else if (event.key === "ArrowLeft" && event.shiftKey) slide(state.slider - 2);
    else if (event.key === "ArrowRight" && event.shiftKey) slide(state.slider + 2);
    else if (event.key === "ArrowLeft" && !onSlider) show(state.place - 1);
    else if (event.key === "ArrowRight" && !onSlider) show(state.place + 1);
    else if (event.key === "z") stage.next();
    else if (event.key === "Z" || event.key === "0") stage.fit();
    else if (event.key === "d") view(state.view === "difference" ? "slider" : "difference");
    else if (event.key === "g") view(state.view === "grid" ? "slider" : "grid");
    else return;
    event.preventDefault();
  }

  document.addEventListener("keydown", key);
  get("previous").addEventListener("click", () => show(state.place - 1));
  get("next").addEventListener("click", () => show(state.place + 1));
  get("left-side").addEventListener("change", (event) => choose("left", Number(event.target.value)));
  get("right-side").addEventListener("change", (event) => choose("right", Number(event.target.value)));
  get("slider").addEventListener("input", (event) => slide(Number(event.target.value)));
  get("gain").addEventListener("change", () => show(state.place));
  get("sort").addEventListener("change", sort);
  get("larger").addEventListener("click", () => stage.zoom(stage.scale * 1.5));
  get("smaller").addEventListener("click", () => stage.zoom(stage.scale / 1.5));
  get("whole").addEventListener("click", () => stage.fit());
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => view(button.dataset.view));
  }
  for (const button of document.querySelectorAll("[data-case]")) {
    button.addEventListener("click", () => show(state.order.indexOf(Number(button.dataset.case))));
  }
  slide(50);
  show(0);
})();
