// The form of options: the task, the model with the figures of its card, and the fields that the model has.

export const TASKS = [
  ["upscale", "Enlarge"],
  ["restore", "Restore"],
  ["translate", "Translate"],
  ["inpaint", "Fill holes"],
];
const FORMATS = ["png", "jpg", "webp", "tiff", "bmp", "avif"];
const MOST_FIGURES = 9; // that are shown without a click
const NO_FIGURES = new Set(["export", "16-bit weights", "blend"]); // checks of the file, not of its results

/** An element with attributes and children. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

export class Options {
  /** @param {HTMLFormElement} form @param {() => void} changed called when the task has changed */
  constructor(form, changed) {
    this.form = form;
    this.changed = changed;
    this.models = [];
    this.kept = {}; // what the user has set, for the next model that has the same field
    this.select = form.querySelector("#model");
    this.fields = form.querySelector("#fields");
    const tasks = form.querySelector("#tasks");
    for (const [name, label] of TASKS) {
      const radio = make("input", { type: "radio", name: "task", value: name, id: `task-${name}` });
      tasks.append(make("label", {}, radio, ` ${label}`));
      radio.addEventListener("change", () => this.showTask());
    }
    tasks.querySelector("input").checked = true;
    this.select.addEventListener("change", () => this.showModel());
    this.fields.addEventListener("input", (event) => this.keep(event.target));
  }

  /** @param {object[]} models the answer of GET /models */
  fill(models) {
    this.models = models;
    for (const [name] of TASKS) {
      this.form.querySelector(`#task-${name}`).disabled = !models.some((one) => one.operations.includes(name));
    }
    this.showTask();
  }

  get task() {
    return this.form.querySelector('input[name="task"]:checked').value;
  }

  get model() {
    return this.models.find((one) => one.name === this.select.value);
  }

  showTask() {
    const fitting = this.models.filter((one) => one.operations.includes(this.task));
    const usual = fitting.find((one) => one.default_of.includes(this.task)) ?? fitting[0];
    this.select.replaceChildren(...fitting.map((one) => make("option", { value: one.name, selected: one === usual }, one.name)));
    this.select.disabled = !fitting.length;
    this.showModel();
    this.changed();
  }

  showModel() {
    const model = this.model;
    this.form.querySelector("#facts").replaceChildren(...(model ? facts(model) : []));
    this.fields.replaceChildren(...(model ? this.fieldsOf(model) : []));
  }

  keep(input) {
    if (input.type !== "file" && input.type !== "checkbox") this.kept[input.name] = input.value;
  }

  /** The form that is sent, without the picture and the mask. */
  data() {
    const form = new FormData();
    form.set("model", this.select.value);
    for (const input of this.fields.querySelectorAll("input, select")) {
      if (input.type === "file") {
        if (input.files.length) form.set(input.name, input.files[0]);
      } else if (input.type === "checkbox") {
        if (input.checked) form.append(input.name, input.value);
      } else if (input.value !== "") form.set(input.name, input.value);
    }
    if (!form.has("samples")) form.delete("seed"); // one result has no seed
    return form;
  }

  fieldsOf(model) {
    const { task } = this;
    const found = [];
    if (task === "upscale") found.push(this.number("scale", "Scale", { min: 0.1, max: 256, step: "any", placeholder: model.scale }));
    if (model.directions.length) found.push(this.choice("direction", "Direction", model.directions));
    if (model.domains?.length) found.push(this.domains(model, task));
    if (task === "translate" && model.reference) {
      const input = make("input", { type: "file", name: "reference", id: "field-reference", accept: "image/*,.tif,.tiff", required: true });
      found.push(labelled("Reference", input, model.reference.about));
    }
    if (task === "translate" && model.latent) {
      found.push(this.number("samples", "Samples", { min: 1, max: 64, step: 1, placeholder: 1 }, "different results"));
      found.push(this.number("seed", "Seed", { min: 0, step: 1, placeholder: 0 }, "another seed draws other samples"));
    }
    if (task === "translate" && (model.latent || model.domains?.length)) found.push(tick("grid", "One contact sheet of all results"));
    found.push(this.strength());
    if (task === "inpaint") {
      found.push(this.number("dilate", "Grow the holes", { min: 0, max: 1000, step: 1, placeholder: 0 }, "pixels"));
      found.push(this.number("feather", "Blended rim", { min: 0, max: 1000, step: 1, placeholder: 3 }, "pixels"));
    }
    const more = [this.choice("format", "Format", ["", ...FORMATS], "as the picture")];
    more.push(this.number("quality", "Quality", { min: 1, max: 100, step: 1, placeholder: "usual" }, "of JPEG, WebP and AVIF"));
    if (task === "translate") more.push(this.choice("background", "Transparent pictures", ["", "white", "black"], "stay transparent"));
    if (task !== "inpaint") more.push(tick("color-fix", "Keep the colours of the picture"));
    more.push(tick("strip", "Drop metadata"), tick("first-frame", "First frame of animations"));
    found.push(make("details", {}, make("summary", {}, "More"), ...more));
    return found;
  }

  number(name, label, limits, hint) {
    const input = make("input", { type: "number", name, id: `field-${name}`, inputmode: "decimal", ...limits });
    input.value = this.kept[name] ?? "";
    return labelled(label, input, hint);
  }

  choice(name, label, values, first) {
    const select = make("select", { name, id: `field-${name}` });
    select.append(...values.map((value) => make("option", { value }, value || first)));
    if (values.includes(this.kept[name])) select.value = this.kept[name];
    return labelled(label, select);
  }

  domains(model, task) {
    if (task === "inpaint" || model.exclusive) {
      const select = make("select", { name: "to", id: "field-to" });
      select.append(...model.domains.map((name) => make("option", { value: name }, name)));
      if (task === "translate") select.append(make("option", { value: "all" }, "all of them"));
      if (this.kept.to) select.value = this.kept.to;
      if (!select.value) select.selectedIndex = 0;
      return labelled("Domain", select);
    }
    const ticks = model.domains.map((name) => make("label", {}, make("input", { type: "checkbox", name: "to", value: name }), ` ${name} `));
    return make("fieldset", { class: "row" }, make("legend", {}, "Domains"), ...ticks);
  }

  strength() {
    const input = make("input", { type: "range", name: "strength", id: "field-strength", min: 0, max: 1, step: 0.05 });
    input.value = this.kept.strength ?? 1;
    const shown = make("output", { for: "field-strength" }, `${Math.round(100 * input.value)} %`);
    input.addEventListener("input", () => (shown.value = `${Math.round(100 * input.value)} %`));
    const row = labelled("Strength", input);
    row.querySelector("label").append(" ", shown);
    return row;
  }
}

function labelled(text, input, hint) {
  const label = make("label", { for: input.id, class: "field" }, text);
  if (hint) label.append(" ", make("span", { class: "hint quiet" }, hint));
  return make("p", {}, label, input);
}

function tick(name, text) {
  return make("p", {}, make("label", {}, make("input", { type: "checkbox", name, value: "true" }), ` ${text}`));
}

/** What the card says. */
function facts(model) {
  const size = model.parameters >= 1e6 ? `${(model.parameters / 1e6).toFixed(1)} M` : `${Math.round(model.parameters / 1e3)} k`;
  const rows = [
    ["Scale", model.scale > 1 && `×${model.scale}`],
    ["Parameters", model.parameters && `${size}, ${model.precision}`],
    ["For", { clean: "clean photos", degraded: "poor photos" }[model.input_quality]],
    ["Licence", model.licence],
    ["Trained on", model.trained_on?.join(", ")],
  ].filter(([, value]) => value);
  const list = (pairs, kind) => make("dl", { class: kind }, ...pairs.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, [value].flat().join(", "))]));
  const figures = Object.entries(model.metrics ?? {})
    .filter(([name]) => !NO_FIGURES.has(name))
    .map(([name, found]) => [name, figuresOf(found)]);
  const count = figures.flatMap(([, found]) => found).length;
  if (!figures.length) return [list(rows)];
  return [list(rows), make("details", { open: count <= MOST_FIGURES }, make("summary", {}, "Figures"), list(figures, "figures"))];
}

function figuresOf(found) {
  const numbers = Object.entries(found).filter(([name, value]) => typeof value === "number" && name !== "cases");
  return numbers.map(([name, value]) => `${titled(name)} ${Number(value.toPrecision(4))}`);
}

/** The name of a figure as people write it: psnr_y becomes PSNR. */
function titled(name) {
  return name.replace(/^(psnr|ssim|swd|niqe|l1|fid|lpips)(_y)?\b/, (found, short) => short.toUpperCase());
}
