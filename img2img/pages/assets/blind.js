"use strict";
/* The page of `img2img compare --blind`: one choice at a time. Answers are saved as a JSON file. */

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  const payload = new Payload(9);
  const stage = new Stage(get("stage"), () => {
    get("level").textContent = `${Math.round(stage.scale * 100)} %`;
  });
  const session = [...crypto.getRandomValues(new Uint8Array(8))].map((one) => one.toString(16).padStart(2, "0")).join("");
  const answers = data.trials.map(() => null);
  let place = 0;
  let began = performance.now();
  let saved = 0; // number of answers in the last file
  let turn = 0;

  const answered = () => answers.filter(Boolean).length;

  async function show(wanted) {
    place = Math.min(Math.max(wanted, 0), data.trials.length - 1);
    const trial = data.trials[place];
    const mine = ++turn;
    describe();
    stage.resize(...trial.size);
    try {
      const images = await Promise.all([trial.a, trial.b, trial.input].map((number) => payload.picture(number)));
      if (mine !== turn) return;
      ["a", "b", "input"].forEach((id, index) => {
        const image = images[index].cloneNode();
        image.alt = id === "input" ? "Input" : `Picture ${id.toUpperCase()}`;
        get(id).replaceChildren(image);
      });
      stage.draw();
      began = performance.now();
      get("stage").dataset.shown = String(place);
      const following = data.trials[place + 1];
      if (following) [following.a, following.b].forEach((number) => payload.picture(number).catch(() => {}));
    } catch (error) {
      get("message").textContent = error.message;
    }
  }

  function describe() {
    get("place").textContent = `${place + 1} of ${data.trials.length}`;
    get("progress").value = answered();
    get("back").disabled = place === 0;
    get("forward").disabled = place === data.trials.length - 1;
    get("save").disabled = answered() === 0;
    for (const button of document.querySelectorAll("[data-vote]")) {
      button.setAttribute("aria-pressed", String(answers[place]?.vote === button.dataset.vote));
    }
  }

  function vote(choice) {
    const seconds = Math.round((performance.now() - began) / 100) / 10;
    answers[place] = { trial: place, key: data.trials[place].key, vote: choice, seconds };
    if (place < data.trials.length - 1) show(place + 1);
    else describe();
    const left = data.trials.length - answered();
    get("message").textContent = left ? "" : "All answered. Save your answers and send the file.";
  }

  function save() {
    const votes = answers.filter(Boolean);
    const file = { format: data.format, version: 1, salt: data.salt, session, trials: data.trials.length, votes };
    const url = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" }));
    const link = Object.assign(document.createElement("a"), { href: url, download: `votes-${session}.json` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    saved = votes.length;
    get("message").textContent = `Saved ${saved} of ${data.trials.length} answers as ${link.download}.`;
  }

  function toggleInput() {
    const hidden = (get("input-pane").hidden = !get("input-pane").hidden);
    get("show-input").setAttribute("aria-pressed", String(!hidden));
    stage.draw();
  }

  const KEYS = {
    a: () => vote("A"),
    1: () => vote("A"),
    b: () => vote("B"),
    2: () => vote("B"),
    t: () => vote("tie"),
    3: () => vote("tie"),
    ArrowLeft: () => show(place - 1),
    ArrowRight: () => show(place + 1),
    i: toggleInput,
    z: () => stage.next(),
    0: () => stage.fit(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  window.addEventListener("beforeunload", (event) => {
    if (answered() > saved) event.preventDefault();
  });
  for (const button of document.querySelectorAll("[data-vote]")) {
    button.addEventListener("click", () => vote(button.dataset.vote));
  }
  get("back").addEventListener("click", () => show(place - 1));
  get("forward").addEventListener("click", () => show(place + 1));
  get("show-input").addEventListener("click", toggleInput);
  get("zoom").addEventListener("click", () => stage.next());
  get("whole").addEventListener("click", () => stage.fit());
  get("save").addEventListener("click", save);
  show(0);
})();
