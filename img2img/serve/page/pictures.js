// The list of pictures: thumbnails, what happens to each of them, and which one is shown.

import { make } from "./options.js";

const THUMB = 240; // longest side in pixels

/**
 * A picture of the user.
 * @typedef {{file: File, state: string, share: number, error: string, notes: string[], results: {name: string, blob: Blob, url: string}[],
 *   size: string | null, mask: object | null, stop: AbortController | null, element: HTMLElement,
 *   drawn: boolean}} Picture
 */

export class Pictures {
  /** @param {HTMLElement} list @param {(picture: Picture | null) => void} chosen */
  constructor(list, chosen) {
    this.list = list;
    this.chosen = chosen;
    this.all = [];
    this.current = null;
    this.drawing = false;
  }

  /** Add files and show the first of them. */
  add(files) {
    const added = [...files].map((file) => this.made(file));
    this.all.push(...added);
    if (added.length) this.choose(added[0]);
  }

  choose(picture) {
    this.current = picture;
    for (const one of this.all) one.element.querySelector(".pick").setAttribute("aria-pressed", String(one === picture));
    this.chosen(picture);
    this.drawThumbs();
  }

  /** Draw the missing thumbnails, one after the other, so that only one more picture is in memory. */
  async drawThumbs() {
    if (this.drawing) return;
    this.drawing = true;
    for (let picture; (picture = this.all.find((one) => !one.drawn && one !== this.current)); ) {
      picture.drawn = true;
      try {
        const bitmap = await createImageBitmap(picture.file);
        drawThumb(picture, bitmap);
        bitmap.close();
      } catch {
        // The browser does not know the format, or it is no picture: the name is enough.
      }
    }
    this.drawing = false;
  }

  remove(picture) {
    picture.stop?.abort();
    this.forget(picture);
    const at = this.all.indexOf(picture);
    this.all.splice(at, 1);
    picture.element.remove();
    if (picture === this.current) this.choose(this.all[Math.min(at, this.all.length - 1)] ?? null);
    (this.current?.element.querySelector(".pick") ?? document.getElementById("files")).focus();
  }

  /** Drop the results of a picture. */
  forget(picture) {
    for (const one of picture.results) URL.revokeObjectURL(one.url);
    Object.assign(picture, { results: [], notes: [], error: "", size: null });
  }

  /** Show what happens to a picture. */
  update(picture, changes) {
    Object.assign(picture, changes);
    const shown = picture.element.querySelector(".state");
    shown.textContent = picture.state === "working" ? `${Math.floor(100 * picture.share)} %` : picture.state;
    shown.className = `state ${{ failed: "bad", done: "good" }[picture.state] ?? "quiet"}`;
  }

  made(file) {
    const picture = { file, state: "ready", share: 0, error: "", notes: [], results: [], size: null, mask: null, stop: null, element: null, drawn: false };
    const thumb = make("canvas", { class: "thumb", width: 1, height: 1, "aria-hidden": "true" });
    const name = make("span", { class: "name" }, file.name);
    const pick = make("button", { type: "button", class: "pick", "aria-pressed": "false", title: file.name }, thumb, name, make("span", { class: "state quiet" }, "ready"));
    pick.addEventListener("click", () => this.choose(picture));
    const remove = make("button", { type: "button", class: "remove", "aria-label": `Remove ${file.name}`, title: "Remove" }, "×");
    remove.addEventListener("click", () => this.remove(picture));
    picture.element = make("li", {}, pick, remove);
    this.list.append(picture.element);
    return picture;
  }
}

/** Draw a decoded picture into the thumbnail. */
export function drawThumb(picture, bitmap) {
  picture.drawn = true;
  const canvas = picture.element.querySelector("canvas");
  const factor = Math.min(1, THUMB / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * factor));
  canvas.height = Math.max(1, Math.round(bitmap.height * factor));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}
