// The page: whatever is on the paper is sent to be read; digits can be chosen, explained and corrected.
import { ApiError, correct, explain, read, setToken } from "./api.js";
import { csvOf, element, itemsOf, jsonOf, percent, showBars, showBoxes, showLines, textOf } from "./answer.js";
import { Pad } from "./pad.js";
import { translate, words } from "./words.js";

const PATIENCE_MS = 180; // a pause this long while drawing is worth an answer
const $ = (id) => document.getElementById(id);

// One state, drawn by `render`.
const state = { photo: null, picture: null, answer: null, chosen: null };
let asking = null; // AbortController of the request in flight
let explaining = null;
let timer = 0;

translate();
const pad = new Pad($("pad"), () => drawn());

function drawn() {
  buttons();
  clearTimeout(timer);
  timer = setTimeout(() => (pad.isEmpty ? forget() : askForDrawing()), PATIENCE_MS);
}

async function askForDrawing() {
  const picture = await pad.picture();
  if (!state.photo) await ask(picture);
}

async function ask(picture) {
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const answer = await read(picture, mine.signal);
    if (mine !== asking) return;
    const place = itemsOf(state.answer).indexOf(state.chosen);
    const items = itemsOf(answer);
    Object.assign(state, { picture, answer, chosen: items[place] ?? items.find((item) => !item.accepted) ?? items[0] ?? null });
    render();
    say(spoken(answer));
    await showWhy();
  } catch (error) {
    if (mine === asking) tell(error);
  }
}

function spoken(answer) {
  const items = itemsOf(answer);
  if (!items.some((item) => item.accepted)) return words.none;
  const n = items.filter((item) => !item.accepted).length;
  return textOf(answer) + (n ? `, ${n} ${words.unsure}` : "");
}

function tell(error) {
  if (error.name === "AbortError") return;
  if (error instanceof ApiError && error.status === 401) {
    $("key").hidden = false;
    $("token").focus();
    return;
  }
  Object.assign(state, { answer: null, chosen: null });
  render();
  const message = error instanceof ApiError ? error.message : words.away;
  note(message, true);
  say(message);
}

function note(text, doubtful = false) {
  $("note").textContent = text;
  $("note").classList.toggle("doubtful", doubtful);
}

function say(text) {
  $("status").textContent = text;
}

function buttons() {
  $("undo").disabled = pad.isEmpty || state.photo !== null;
  $("clear").disabled = pad.isEmpty && state.photo === null;
  $("hint").hidden = !pad.isEmpty || state.photo !== null;
}

function render() {
  const { answer, chosen, photo } = state;
  const items = itemsOf(answer);
  buttons();
  $("stage").className = `stage ${photo ? "with-photo" : "drawing"}`;
  $("photo").hidden = photo === null;
  $("pad").hidden = photo !== null;
  const focused = [...$("lines").querySelectorAll("button")].indexOf(document.activeElement);
  showLines($("lines"), answer, chosen, choose);
  if (focused >= 0) $("lines").querySelectorAll("button")[focused]?.focus();
  showBoxes($("boxes"), answer, chosen, choose);
  $("detail").hidden = chosen === null;
  $("take").hidden = items.length === 0;
  if (chosen) {
    $("saw").src = `data:image/png;base64,${chosen.framed}`;
    $("saw").alt = `28 × 28: ${chosen.digit}`;
    showBars($("bars"), chosen);
  }
  const sure = items.filter((item) => item.accepted || item.truth !== undefined).length;
  if (!answer) note("");
  else if (!sure) note(words.none, true);
  else if (sure < items.length) note(`${items.length - sure} ${words.unsure}`, true);
  else note(items.length === 1 && chosen.truth === undefined ? percent(chosen.confidence) : "");
}

function choose(item) {
  state.chosen = item;
  render();
  showWhy();
}

async function showWhy() {
  explaining?.abort();
  explaining = new AbortController();
  const { chosen } = state;
  if (!chosen) return;
  try {
    const { map } = await explain(chosen.framed, chosen.digit, explaining.signal);
    if (chosen !== state.chosen) return;
    $("map").src = `data:image/png;base64,${map}`;
    $("map").alt = words.map;
  } catch (error) {
    // The map is an extra: without it the answer stands.
    if (error.name !== "AbortError") $("map").removeAttribute("src");
  }
}

async function mend(truth) {
  const { chosen, picture } = state;
  if (!chosen || !picture) return;
  try {
    await correct(picture, chosen, truth);
    chosen.truth = truth;
    render();
    note(`${words.kept}: ${truth}`);
    say(`${truth}, ${words.kept}`);
  } catch (error) {
    note(error instanceof ApiError ? error.message : words.away, true);
  }
}

function forget() {
  asking?.abort();
  asking = null;
  if (state.photo) URL.revokeObjectURL(state.photo);
  Object.assign(state, { photo: null, picture: null, answer: null, chosen: null });
  render();
  say("");
}

function take(file) {
  if (!file) return;
  forget();
  pad.clear();
  state.photo = URL.createObjectURL(file);
  $("photo").src = state.photo;
  $("photo").alt = file.name ?? "";
  render();
  note("…");
  ask(file);
}

function save(text, type, name) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function copy() {
  const text = textOf(state.answer);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https, or without leave, there is the old way.
    const area = element("textarea", { value: text, className: "unseen" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    $("copy").focus();
  }
  note(words.copied);
  say(words.copied);
}

$("undo").addEventListener("click", () => pad.undo());
$("clear").addEventListener("click", () => { pad.clear(); forget(); $("pad").focus(); });
$("width").addEventListener("input", (event) => { pad.strokeWidth = Number(event.target.value); });
$("file").addEventListener("change", (event) => { take(event.target.files[0]); event.target.value = ""; });
$("copy").addEventListener("click", copy);
$("csv").addEventListener("click", () => save(csvOf(state.answer), "text/csv", "inkdigits.csv"));
$("json").addEventListener("click", () => save(jsonOf(state.answer), "application/json", "inkdigits.json"));
$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value);
  $("key").hidden = true;
  if (state.photo) fetch(state.photo).then((response) => response.blob()).then(ask);
  else if (!pad.isEmpty) askForDrawing();
});
for (let digit = 0; digit <= 9; digit++) {
  const key = element("button", { type: "button", textContent: digit });
  key.addEventListener("click", () => mend(digit));
  $("keys").append(key);
}
// On a chosen digit, the right one may simply be typed.
$("lines").addEventListener("keydown", (event) => {
  if (/^[0-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) mend(Number(event.key));
});
$("lines").addEventListener("focusin", (event) => {
  const place = [...$("lines").querySelectorAll("button")].indexOf(event.target);
  const item = itemsOf(state.answer)[place];
  if (item && item !== state.chosen) choose(item);
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("stage").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
window.addEventListener("online", () => { if (!pad.isEmpty && !state.photo) askForDrawing(); });
new ResizeObserver(() => showBoxes($("boxes"), state.answer, state.chosen, choose)).observe($("stage"));
$("photo").addEventListener("error", () => { $("photo").hidden = true; }); // TIFF: read by the server, not shown by browsers
render();
