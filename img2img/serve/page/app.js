// The page: brings the pictures, the options, the view and the server together.

import { Refusal, findToken, models, send, useToken } from "./api.js";
import { Editor } from "./editor.js";
import { Mask } from "./mask.js";
import { Options } from "./options.js";
import { Pictures, drawThumb } from "./pictures.js";
import { View } from "./view.js";

const MOST_SHOWN = 80e6; // pixels; browsers fail with larger pictures
const TRIES = 20; // while the server has no place
const HELP = {
  view: "Drag to move, wheel or + and - to zoom, 0 to fit.",
  paint:
    "Paint what is to be filled. [ and ] or the wheel: size; B, E, X, M: tools; Ctrl+Z: undo; Ctrl+wheel: zoom. " +
    "Keyboard: arrows move the pen, Space paints, Enter dots.",
  box: "Drag a box. Keyboard: arrows move, Space sets a corner.",
};

const $ = (id) => document.getElementById(id);
const view = new View($("view"), () => ($("zoom").value = `${Math.round(100 * view.zoom)} %`));
const editor = new Editor(view, { changed: showTools, tool: useTool, split: setSplit });
const options = new Options($("options"), () => showMode(mode));
const pictures = new Pictures($("list"), (picture) => showPicture(picture));
let mode = "picture"; // or "result"
let shown = null; // the picture that the view has decoded
let running = 0;

findToken();
start();

async function start() {
  try {
    options.fill(await models());
    $("unlock").hidden = true;
  } catch (error) {
    $("unlock").hidden = !(error instanceof Refusal && error.status === 401);
    say(error instanceof Refusal ? error.message : "The server does not answer.");
    if (!$("unlock").hidden) $("token").focus();
    return;
  }
  say("");
}

// --- what is shown ---------------------------------------------------------------------------------------------------

/** Decode a picture and show it. */
async function showPicture(picture) {
  view.clear();
  editor.edit(null);
  shown = null;
  mode = picture?.results.length ? "result" : "picture";
  show();
  if (!picture) return;
  const bitmap = await decoded(picture.file);
  if (pictures.current !== picture) {
    bitmap?.close();
    return;
  }
  shown = picture;
  picture.visible = Boolean(bitmap);
  if (bitmap) {
    drawThumb(picture, bitmap);
    $("view").hidden = false; // it needs a size to fit the picture
    view.resize();
    view.show(bitmap);
  }
  await showMode(mode);
}

/** Switch between the picture, with its mask if holes are to be filled, and the result. */
async function showMode(wanted) {
  const picture = pictures.current;
  mode = picture?.results.length && wanted === "result" ? "result" : "picture";
  const visible = isVisible(picture);
  const paints = visible && mode === "picture" && options.task === "inpaint";
  if (paints) picture.mask ??= new Mask(view.width, view.height);
  const mask = paints ? picture.mask : null;
  if (editor.mask !== mask) editor.edit(mask);
  if (mode === "picture" && view.after) view.compare(null);
  show();
  if (!visible || mode === "picture") return;
  const result = chosenResult(picture);
  const [width, height] = (picture.size ?? "0x0").split("x").map(Number);
  const bitmap = width * height > MOST_SHOWN ? null : await decoded(result.blob);
  if (pictures.current === picture && mode === "result" && bitmap) view.compare(bitmap);
  else bitmap?.close();
  show();
}

function isVisible(picture) {
  return Boolean(picture && shown === picture && picture.visible);
}

function chosenResult(picture) {
  return picture.results[$("which").selectedIndex] ?? picture.results[0];
}

/** Bring all controls in line with the state. */
function show() {
  const picture = pictures.current;
  const visible = isVisible(picture);
  const undecoded = Boolean(picture && shown === picture && !picture.visible);
  const painting = Boolean(editor.mask);
  $("view").hidden = !visible;
  $("no-preview").hidden = !undecoded || Boolean(picture.error);
  $("drop").classList.toggle("empty", !picture);
  $("tabs").hidden = !picture || undecoded;
  $("tools").hidden = !painting;
  $("split-row").hidden = !(visible && view.after);
  $("show-picture").setAttribute("aria-pressed", String(mode === "picture"));
  $("show-result").setAttribute("aria-pressed", String(mode === "result"));
  $("show-result").disabled = !picture?.results.length;
  $("view-help").textContent = !visible ? "" : !painting ? HELP.view : editor.tool === "box" ? HELP.box : HELP.paint;
  $("view").setAttribute("aria-label", painting ? "Mask editor" : mode === "result" ? "Picture and result" : "Picture");
  $("error").hidden = !picture?.error;
  $("error").textContent = !picture?.error || picture.error.includes(picture.file.name) ? (picture?.error ?? "") : `${picture.file.name}: ${picture.error}`;
  showOutcome(picture);
  const waiting = pictures.all.filter((one) => one.state !== "done" && !one.stop);
  $("run").disabled = !picture || Boolean(picture.stop) || !options.model;
  $("run-all").hidden = waiting.length < 2;
  $("run-all").textContent = `Run all ${waiting.length}`;
  $("cancel").hidden = !running;
  showTools();
}

function showOutcome(picture) {
  const results = picture?.results ?? [];
  $("outcome").hidden = mode !== "result" || !results.length;
  if ($("outcome").hidden) return;
  const select = $("which");
  if (select.results !== results) {
    select.results = results;
    select.replaceChildren(...results.map((one) => new Option(one.name)));
  }
  const result = chosenResult(picture);
  $("samples-row").hidden = results.length < 2;
  $("outcome-title").textContent = `${result.name}${picture.size ? `, ${picture.size.replace("x", "×")}` : ""}`;
  $("download").href = result.url;
  $("download").download = result.name;
  $("download-all").hidden = pictures.all.reduce((count, one) => count + one.results.length, 0) < 2;
  $("notes").replaceChildren(
    ...picture.notes.map((note) => {
      const item = document.createElement("li");
      item.textContent = note;
      return item;
    }),
  );
}

function showTools() {
  const { mask } = editor;
  for (const button of $("tools").querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === editor.tool));
  $("undo").disabled = !mask?.done.length;
  $("redo").disabled = !mask?.undone.length;
  $("clear").disabled = $("export").disabled = !mask || !(mask.done.length || mask.undone.length);
  $("brush-size").value = `${Math.round(editor.diameter)} px`;
  $("brush").value = (100 * Math.log(editor.diameter)) / Math.log(editor.largest);
}

function useTool(name) {
  editor.use(name);
  show();
}

function setSplit(share) {
  view.split = Math.max(0, Math.min(1, share));
  $("split").value = 1000 * view.split;
  view.redraw();
}

function say(text) {
  $("status").textContent = text;
}

/** @returns {Promise<ImageBitmap | null>} null if the browser does not know the format, or the file is no picture. */
async function decoded(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    return null;
  }
}

// --- work ------------------------------------------------------------------------------------------------------------

/** Send a picture, and again while the server has no place for it. */
async function run(picture) {
  const task = options.task;
  const form = options.data();
  form.set("image", picture.file);
  pictures.forget(picture);
  const began = performance.now();
  picture.stop = new AbortController();
  running++;
  pictures.update(picture, { state: "sending", share: 0 });
  $("progress").hidden = false;
  $("progress").value = 0;
  if (mode === "result" && picture === pictures.current) await showMode("picture");
  show();
  try {
    if (task === "inpaint" && picture.mask && !picture.mask.isEmpty()) form.set("mask", await picture.mask.toPNG(), "mask.png");
    const answer = await sendPatiently(task, form, picture);
    picture.results = answer.files.map(({ name, blob }) => ({ name, blob, url: URL.createObjectURL(blob) }));
    pictures.update(picture, { state: "done", notes: answer.notes, size: answer.size });
    say(`${picture.file.name}: done in ${((performance.now() - began) / 1000).toFixed(1)} s, by ${answer.model}`);
  } catch (error) {
    const cancelled = error.name === "AbortError";
    const message = cancelled ? "" : error instanceof Refusal ? error.message : "The server does not answer.";
    pictures.update(picture, { state: cancelled ? "cancelled" : "failed", error: message });
    say(cancelled ? `${picture.file.name}: cancelled` : "");
  } finally {
    picture.stop = null;
    running--;
    $("progress").hidden = !running;
  }
  if (picture === pictures.current) await showMode("result");
  else show();
}

async function sendPatiently(task, form, picture) {
  const told = (state) => {
    if (state.state === "unknown" || !picture.stop) return;
    pictures.update(picture, { state: state.state, share: state.share });
    $("progress").value = state.share;
    say(`${picture.file.name}: ${state.state === "waiting" ? `waiting, ${state.ahead} before it` : `${Math.floor(100 * state.share)} %`}`);
  };
  for (let attempt = 1; ; attempt++) {
    try {
      return await send(task, form, picture.stop.signal, told);
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 429 || attempt === TRIES) throw error;
      pictures.update(picture, { state: "waiting" });
      say(`${picture.file.name}: ${error.message}`);
      await pause(1000 * Math.max(1, error.wait), picture.stop.signal);
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

async function runAll() {
  for (const picture of pictures.all.filter((one) => one.state !== "done" && !one.stop)) {
    if (stopped) break;
    await run(picture);
  }
}

// --- what the user does ----------------------------------------------------------------------------------------------

let stopped = false;

$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken($("token").value.trim());
  start();
});
$("files").addEventListener("change", () => {
  pictures.add($("files").files);
  $("files").value = "";
});
$("options").addEventListener("submit", (event) => {
  event.preventDefault();
  stopped = false;
  if (pictures.current && !pictures.current.stop) run(pictures.current);
});
$("run-all").addEventListener("click", () => {
  stopped = false;
  if ($("options").reportValidity()) runAll();
});
$("cancel").addEventListener("click", () => {
  stopped = true;
  for (const picture of pictures.all) picture.stop?.abort();
});
$("show-picture").addEventListener("click", () => showMode("picture"));
$("show-result").addEventListener("click", () => showMode("result"));
$("zoom-in").addEventListener("click", () => view.zoomBy(1.5));
$("zoom-out").addEventListener("click", () => view.zoomBy(1 / 1.5));
$("zoom-fit").addEventListener("click", () => view.fit());
$("split").addEventListener("input", () => setSplit($("split").value / 1000));
$("which").addEventListener("change", () => showMode("result"));
$("brush").addEventListener("input", () => editor.resizeBrush(editor.largest ** ($("brush").value / 100)));
$("undo").addEventListener("click", () => editor.undo());
$("redo").addEventListener("click", () => editor.redo());
$("clear").addEventListener("click", () => editor.clear());
for (const button of $("tools").querySelectorAll("[data-tool]")) button.addEventListener("click", () => useTool(button.dataset.tool));
$("use").addEventListener("click", () => {
  const result = chosenResult(pictures.current);
  pictures.add([new File([result.blob], result.name, { type: result.blob.type })]);
});
$("download-all").addEventListener("click", async () => {
  for (const { name, url } of pictures.all.flatMap((one) => one.results)) {
    save(name, url);
    await new Promise((resolve) => setTimeout(resolve, 200)); // browsers drop downloads that come at once
  }
});
$("export").addEventListener("click", async () => {
  const url = URL.createObjectURL(await editor.mask.toPNG());
  save(`${pictures.current.file.name.replace(/\.[^.]*$/, "")}_mask.png`, url);
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
});
$("mask-file").addEventListener("change", async () => {
  const [file] = $("mask-file").files;
  $("mask-file").value = "";
  if (file) await importMask(file);
});

async function importMask(file) {
  const { mask } = editor;
  const picture = pictures.current;
  const bitmap = await decoded(file);
  if (editor.mask !== mask || !mask) return;
  if (!bitmap) picture.error = `${file.name} is no picture that the browser can show`;
  else if (bitmap.width !== mask.width || bitmap.height !== mask.height) {
    picture.error = `the mask has ${bitmap.width}x${bitmap.height} pixels, the photo ${mask.width}x${mask.height}`;
  } else {
    picture.error = "";
    mask.load(bitmap);
    view.redraw();
  }
  bitmap?.close();
  show();
}

function save(name, url) {
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: name });
  link.click();
}

for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  $("drop").classList.remove("over");
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  pictures.add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) pictures.add(event.clipboardData.files);
});
