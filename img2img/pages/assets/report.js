"use strict";
/* The page about runs: what the user has chosen stays when the page loads again, sheets over time, and that reload. */

const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);

const KEY = `img2img report ${location.pathname}`;
const view = { log: false, smooth: 0, from: null, to: null, hidden: [], sheet: null, reload: true };
try {
  Object.assign(view, JSON.parse(sessionStorage.getItem(KEY) || "{}"));
} catch { /* the browser keeps nothing: begin anew */ }

function keep() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(view));
  } catch { /* not kept */ }
}

function startCharts() {
  if (!find("charts")) return;
  const whole = find("whole");
  const changed = () => {
    whole.disabled = view.from === null;
    keep();
  };
  const charts = new Charts(find("charts"), data, view, changed);
  find("log").checked = view.log;
  find("smooth").value = view.smooth;
  find("smooth-value").textContent = view.smooth;
  whole.disabled = view.from === null;
  find("log").addEventListener("change", (event) => charts.update({ log: event.target.checked }));
  find("smooth").addEventListener("input", (event) => {
    find("smooth-value").textContent = event.target.value;
    charts.update({ smooth: Number(event.target.value) });
  });
  whole.addEventListener("click", () => charts.update({ from: null, to: null }));
}

function startSheets() {
  const slider = find("sheet");
  if (!slider) return;
  const last = data.sheets.length - 1;
  const picture = find("sheet-picture");
  const show = (place) => {
    const sheet = data.sheets[place];
    slider.value = place;
    slider.setAttribute("aria-valuetext", `step ${sheet.step}`);
    [picture.src, picture.width, picture.height] = [sheet.url, sheet.width, sheet.height];
    picture.alt = `Contact sheet of step ${sheet.step}`;
    find("sheet-step").textContent = `step ${sheet.step.toLocaleString("en")} (${place + 1} of ${last + 1})`;
    find("before").disabled = place === 0;
    find("after").disabled = place === last;
    view.sheet = place === last ? null : sheet.step; // the last sheet stays the last one while the run goes on
    keep();
  };
  const now = () => Number(slider.value);
  slider.addEventListener("input", () => show(now()));
  find("before").addEventListener("click", () => show(Math.max(now() - 1, 0)));
  find("after").addEventListener("click", () => show(Math.min(now() + 1, last)));
  let playing = null;
  const play = find("play");
  play.disabled = last === 0;
  play.addEventListener("click", () => {
    const stop = playing !== null;
    clearInterval(playing);
    playing = stop ? null : setInterval(() => show(now() === last ? 0 : now() + 1), 700);
    play.setAttribute("aria-pressed", String(!stop));
    play.textContent = stop ? "Play" : "Pause";
  });
  const kept = data.sheets.findIndex((sheet) => sheet.step === view.sheet);
  show(kept < 0 ? last : kept);
}

/* A page about a running training loads itself again. It says so if the training has not written it for long. */
function startReload() {
  const box = find("reload");
  if (!box) return;
  find("seconds").textContent = data.reload;
  box.checked = view.reload;
  box.addEventListener("change", () => {
    view.reload = box.checked;
    keep();
  });
  setInterval(() => {
    if (box.checked && !document.hidden) location.reload();
  }, 1000 * data.reload);
  const minutes = Math.floor((Date.now() / 1000 - data.written) / 60);
  if (minutes >= 5) find("written").textContent += `, ${minutes} minutes ago; 'img2img report' writes the page anew`;
}

startCharts();
startSheets();
startReload();
