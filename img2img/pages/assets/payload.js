"use strict";
/* The pictures of a page (see img2img/pages/embedded.py). They are decoded when they are first asked for. */

class Payload {
  /** @param {number} most number of decoded pictures to keep */
  constructor(most = 24) {
    this.most = most;
    this.kept = new Map();
  }

  /** A decoded picture by its number. Rejects if the page is cut off before it. */
  picture(number) {
    const found = this.kept.get(number) ?? this.#decoded(number);
    this.kept.delete(number); // and to the end: the last one used
    this.kept.set(number, found);
    if (this.kept.size > this.most) this.kept.delete(this.kept.keys().next().value);
    return found;
  }

  async #decoded(number) {
    const image = new Image();
    image.src = `data:${await this.#text(number)}`;
    await image.decode();
    return image;
  }

  /** The text of a picture, as soon as the browser has read so much of the page. */
  async #text(number) {
    for (;;) {
      const element = document.getElementById(`picture-${number}`);
      if (element?.nextElementSibling) return element.textContent;
      if (document.readyState !== "loading") throw new Error("the page is not complete: write or copy it again");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
