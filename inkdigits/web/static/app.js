// The page: what is on the paper is sent to be read; digits can be chosen, explained and corrected.
import { ApiError, correct, explain, forgetHand, hand, hasToken, learnHand, read, setToken, takeBack } from "./api.js";
import { csvOf, element, itemsOf, jsonOf, percent, showBars, showBoxes, showLines, textOf } from "./answer.js";
import { translate, words } from "./i18n.js";
import { Pad } from "./pad.js";
import { Zoom } from "./zoom.js";

const PATIENCE_MS = 180; // a pause this long while drawing is worth an answer
const $ = (id) => document.getElementById(id);

// A sheet is the drawing or one dropped picture, with its answer. Everything that is shown is drawn by `render`.
const newSheet = (file = null) =>
  ({ file, url: file && URL.createObjectURL(file), isShowable: true, picture: file, answer: null, chosen: null });
let drawing = newSheet();
let photos = [];
let place = 0; // of the photo that is shown
let asking = null; // AbortController of the request in flight
let explaining = null;
let saving = Promise.resolve(); // corrections go one after the other
let timer = 0;

const current = () => photos[place] ?? drawing;

translate();
const pad = new Pad($("pad"), () => drawn());
const zoom = new Zoom($("stage"), $("view"), () => { showZoom(); showAllBoxes(); });

// ------------------------------------------------------------------------------------------------ asking

function drawn() {
  buttons();
  waitFor(true);
  clearTimeout(timer);
  timer = setTimeout(() => (pad.isEmpty ? forget() : askForDrawing()), PATIENCE_MS);
}

async function askForDrawing() {
  const picture = await pad.picture();
  if (!photos.length) await ask(drawing, picture);
}

// The answer that is shown is not yet that of the picture.
function waitFor(isWaiting) {
  $("lines").setAttribute("aria-busy", String(isWaiting));
}

async function ask(sheet, picture) {
  asking?.abort();
  waitFor(true);
  const mine = (asking = new AbortController());
  try {
    const answer = await read(picture, mine.signal);
    if (mine !== asking) return;
    waitFor(false);
    const index = itemsOf(sheet.answer).indexOf(sheet.chosen);
    const items = itemsOf(answer);
    Object.assign(sheet, { picture, answer, chosen: items[index] ?? items.find((item) => !item.accepted) ?? items[0] ?? null });
    $("key").hidden = true;
    render();
    say(spoken(answer));
    await showWhy();
  } catch (error) {
    if (mine === asking) fail(sheet, error);
  }
}

function spoken(answer) {
  const items = itemsOf(answer);
  if (!items.some((item) => item.accepted)) return words.none;
  const n = items.filter((item) => !item.accepted).length;
  return textOf(answer) + (n ? `, ${n} ${words.unsure}` : "");
}

function fail(sheet, error) {
  if (error.name === "AbortError") return;
  waitFor(false);
  Object.assign(sheet, { answer: null, chosen: null });
  render();
  report(error);
}

function report(error) {
  if (error instanceof ApiError && error.status === 401) askForToken();
  else announce(error instanceof ApiError ? error.message : words.away, true);
}

function askForToken() {
  const message = hasToken() ? words.wrongToken : words.needToken;
  // A late answer to an older request must not clear what somebody is typing.
  if ($("key").hidden) $("token").value = "";
  $("key").hidden = false;
  $("token").setAttribute("aria-invalid", String(hasToken()));
  $("token").focus();
  announce(message, true);
}

function announce(text, rejected = false) {
  note(text, rejected);
  say(text);
}

function note(text, rejected = false) {
  $("note").textContent = text;
  $("note").classList.toggle("rejected", rejected);
}

function say(text) {
  $("status").textContent = text;
}

// ------------------------------------------------------------------------------------------------ showing

function buttons() {
  const hasPhoto = photos.length > 0;
  $("undo").disabled = pad.isEmpty;
  $("clear").disabled = pad.isEmpty && !hasPhoto;
  $("hint").hidden = !pad.isEmpty || hasPhoto;
  for (const node of document.querySelectorAll(".for-drawing")) node.hidden = hasPhoto;
  $("zoom").hidden = !hasPhoto || !current().isShowable;
}

function render() {
  const { answer, chosen, file, isShowable } = current();
  buttons();
  $("stage").classList.toggle("with-photo", file !== null);
  $("stage").classList.toggle("drawing", file === null);
  $("photo").hidden = file === null || !isShowable;
  $("unshown").hidden = isShowable || answer === null;
  $("pad").hidden = file !== null;
  $("pages").hidden = photos.length < 2;
  $("page").textContent = photos.length ? `${place + 1} / ${photos.length} · ${file.name}` : "";
  $("previous").disabled = place === 0;
  $("next").disabled = place >= photos.length - 1;
  const focused = [...$("lines").querySelectorAll("button")].indexOf(document.activeElement);
  showLines($("lines"), answer, chosen, choose);
  if (focused >= 0) $("lines").querySelectorAll("button")[focused]?.focus();
  showAllBoxes();
  $("detail").hidden = chosen === null;
  $("take").hidden = itemsOf(answer).length === 0;
  if (chosen) showChosen(chosen);
  summarize(answer, chosen);
}

function showAllBoxes() {
  showBoxes($("boxes"), current().answer, current().chosen, choose);
}

function showZoom() {
  $("zoom-level").textContent = `${Math.round(100 * zoom.level)} %`;
  $("smaller").disabled = zoom.level === 1;
  $("larger").disabled = zoom.isLargest;
}

function showChosen(item) {
  $("saw").src = `data:image/png;base64,${item.framed}`;
  $("saw").alt = `28 × 28: ${item.digit}`;
  showBars($("bars"), item);
  const isCorrected = item.truth !== undefined;
  [...$("keys").children].forEach((key, digit) => key.setAttribute("aria-pressed", String(item.truth === digit)));
  $("not-digit").setAttribute("aria-pressed", String(item.truth === null));
  if (!isCorrected && document.activeElement === $("take-back")) focusChosen();
  $("take-back").disabled = !isCorrected;
}

function focusChosen() {
  $("lines").querySelector("[aria-pressed=true]")?.focus();
}

function summarize(answer, chosen) {
  const items = itemsOf(answer);
  const sure = items.filter((item) => item.accepted || item.truth !== undefined).length;
  if (!answer) note("");
  else if (!sure) note(words.none, true);
  else if (sure < items.length) note(`${items.length - sure} ${words.unsure}`, true);
  else note(items.length === 1 && chosen.truth === undefined ? percent(chosen.confidence) : "");
}

function choose(item) {
  current().chosen = item;
  render();
  zoom.reveal($("boxes").querySelector(".chosen rect"));
  showWhy();
}

async function showWhy() {
  explaining?.abort();
  explaining = new AbortController();
  const { chosen } = current();
  if (!chosen) return;
  try {
    const { map } = await explain(chosen.framed, chosen.digit, explaining.signal);
    if (chosen !== current().chosen) return;
    $("map").src = `data:image/png;base64,${map}`;
    $("map").alt = words.map;
  } catch (error) {
    // The map is an extra: without it the answer stands.
    if (error.name !== "AbortError") $("map").removeAttribute("src");
  }
}

// ------------------------------------------------------------------------------------------------ correcting

// Keep what the chosen item is: a digit, or null where it is not one.
function mark(truth) {
  const { chosen, picture } = current();
  if (!chosen || !picture) return;
  save(async () => {
    const { id } = await correct(picture, chosen, truth);
    (chosen.corrections ??= []).push({ id, truth });
    chosen.truth = truth;
    render();
    announce(`${words.kept}: ${truth ?? words.notDigit}`);
    await showHand();
  });
}

function unmark() {
  const { chosen } = current();
  if (!chosen) return;
  save(async () => {
    const last = chosen.corrections?.at(-1);
    if (!last) return;
    await takeBack(last.id);
    chosen.corrections.pop();
    const before = chosen.corrections.at(-1);
    if (before) chosen.truth = before.truth;
    else delete chosen.truth;
    render();
    announce(words.takenBack);
    await showHand();
  });
}

function save(step) {
  saving = saving.then(step).catch(report);
}

// ------------------------------------------------------------------------------------------------ a hand

const filled = (text, values) => text.replace(/{(\w)}/g, (_, name) => values[name]);
const errorsOf = (n, [a, b]) => ({ n, a, b });

// Show how far the corrections are from a hand, or what was learned of it; `said` in the place of that.
async function showHand(said) {
  const { can_learn, corrections, needed, learned } = await hand();
  $("hand").hidden = !can_learn || !(corrections || learned);
  $("learn").disabled = corrections < needed;
  $("forget").hidden = !learned;
  const counts = { n: corrections, m: needed };
  const state = corrections < needed ? filled(words.toLearn, counts) : filled(words.ready, counts);
  const shown = said ?? (learned ? filled(words.learned, errorsOf(learned.n, learned.errors)) : state);
  // New corrections count after it was learned, too.
  $("hand-state").textContent = learned ? `${shown} · ${filled(words.ready, counts)}` : shown;
}

async function learn() {
  $("learn").disabled = true;
  $("hand-state").textContent = words.learning;
  try {
    const { kept, n, digits } = await learnHand();
    const errors = errorsOf(n, [digits.errors_before, digits.errors_after]);
    await showHand(kept ? filled(words.learned, errors) : `${words.notKept} (${digits.objection})`);
  } catch (error) {
    await showHand(error.message);
  }
}

async function unlearn() {
  await forgetHand();
  await showHand(words.forgotten);
}

// ------------------------------------------------------------------------------------------------ pictures

function forget() {
  clearTimeout(timer); // a drawing that was not asked for yet must not clear the picture that takes its place
  asking?.abort();
  asking = null;
  waitFor(false);
  for (const { url } of photos) URL.revokeObjectURL(url);
  photos = [];
  drawing = newSheet();
  zoom.reset();
  render();
  say("");
}

function open(files) {
  if (!files.length) return;
  forget();
  pad.clear();
  photos = [...files].map(newSheet);
  turnTo(0);
}

function turnTo(index) {
  asking?.abort();
  place = index;
  const sheet = current();
  zoom.reset();
  $("photo").src = sheet.url;
  $("photo").alt = sheet.file.name;
  render();
  waitFor(false);
  if (sheet.answer) return showWhy();
  note("…");
  return ask(sheet, sheet.file);
}

function download(text, type, name) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function copy() {
  const text = textOf(current().answer);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https, or without permission, there is the old way.
    const area = element("textarea", { value: text, className: "unseen" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    $("copy").focus();
  }
  announce(words.copied);
}

// ------------------------------------------------------------------------------------------------ events

for (let digit = 0; digit <= 9; digit++) {
  const key = element("button", { type: "button", textContent: digit });
  key.addEventListener("click", () => mark(digit));
  $("keys").append(key);
}
const clicks = {
  undo: () => pad.undo(),
  clear: () => { pad.clear(); forget(); $("pad").focus(); },
  larger: () => zoom.step(1),
  smaller: () => zoom.step(-1),
  previous: () => turnTo(place - 1),
  next: () => turnTo(place + 1),
  "not-digit": () => mark(null),
  "take-back": unmark,
  learn: () => save(learn),
  forget: () => save(unlearn),
  copy,
  csv: () => download(csvOf(current().answer), "text/csv", "inkdigits.csv"),
  json: () => download(jsonOf(current().answer), "application/json", "inkdigits.json"),
};
for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
$("width").addEventListener("input", (event) => { pad.strokeWidth = Number(event.target.value); });
$("file").addEventListener("change", (event) => { open([...event.target.files]); event.target.value = ""; });
$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value);
  $("key").hidden = true;
  note("…");
  if (photos.length) ask(current(), current().file);
  else if (!pad.isEmpty) askForDrawing();
});
$("lines").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^[0-9]$/.test(event.key)) mark(Number(event.key));
  else if (event.key === "x" || event.key === "Delete") mark(null);
  else if (event.key === "Backspace") unmark();
});
$("lines").addEventListener("focusin", (event) => {
  const index = [...$("lines").querySelectorAll("button")].indexOf(event.target);
  const item = itemsOf(current().answer)[index];
  if (item && item !== current().chosen) choose(item);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("stage").classList.toggle("over", kind === "dragover");
    if (kind === "drop") open(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => open(event.clipboardData.files));
window.addEventListener("online", () => { if (!pad.isEmpty && !photos.length) askForDrawing(); });
new ResizeObserver(showAllBoxes).observe($("stage"));
$("photo").addEventListener("error", () => { // TIFF: read by the server, not shown by browsers
  if ($("photo").src !== current().url) return;
  current().isShowable = false;
  render();
});
showZoom();
render();
showHand().catch(() => {}); // without a token, say: the page is of use without it
