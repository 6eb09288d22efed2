// The review page: keys only. What the reader read stays hidden until a person has keyed something else.
import { ApiError, ask, picture, setToken } from "./api.js";
import { groupScreens } from "./groups.js";

const $ = (id) => document.getElementById(id);
const NAME = "inkdigits-reviewer";
const post = (path, content) => ask("POST", `v1/review/${path}`, new Blob([JSON.stringify(content)], { type: "application/json" }));

// Pictures of the fields that come next, by their address: they are there before they are needed.
const pictures = new Map();
let tasks = [];
let current = null;
let queue = Promise.resolve(); // what is under way: a key pressed meanwhile waits for its turn
let nKeys = 0;
let nFields = 0;
let waiting = 0; // checked fields that somebody keyed and nobody can key again just now

const me = () => $("reviewer").value.trim() || "reviewer";

function fetched(path) {
  if (!pictures.has(path)) pictures.set(path, picture(path));
  return pictures.get(path);
}

function forget(path) {
  pictures.get(path)?.then(URL.revokeObjectURL, () => {});
  pictures.delete(path);
}

const closeOf = (task) => `v1/review/fields/${task.field}`;
const wideOf = (task) => `${closeOf(task)}?wide=true`;

// cases_2_3 is the cell in row 2 and column 3 of the table `cases`.
function titleOf(task) {
  const cell = task.name.match(/^(.+)_(\d+)_(\d+)$/);
  const name = cell ? `${cell[1]}, row ${cell[2]}, column ${cell[3]}` : task.name;
  return `Form ${task.form}: ${name.replaceAll("_", " ")}`;
}

function say(text, id = "outcome") {
  $(id).textContent = text;
}

// Do one thing after the other; say in a line what went wrong.
function guarded(work, id = "outcome") {
  queue = queue.then(work).catch((error) => {
    if (error instanceof ApiError && error.status === 401) $("key").hidden = false;
    say(error instanceof ApiError ? error.message : "The server is not reached; your last value was not kept.", id);
  });
  return queue;
}

function showProgress({ fields, pages_left: pages, rules_left: rules, doubts_left: doubts, audits_left: audits, seconds_each: seconds, attention }) {
  const left = rules + doubts + audits;
  waiting = audits;
  $("bar").hidden = false;
  $("bar").max = Math.max(1, fields);
  $("bar").value = fields - left;
  const parts = [`${left} of ${fields} fields left`];
  if (rules) parts.push(rules === 1 ? "1 breaks a rule" : `${rules} break a rule`);
  if (audits) parts.push(audits === 1 ? "1 accepted field to check, keyed twice" : `${audits} accepted fields to check, each keyed twice`);
  if (pages) parts.push(pages === 1 ? "1 page to align" : `${pages} pages to align`);
  if (attention.controls) parts.push(`found ${attention.found} of ${attention.controls} controls`);
  if (nFields) parts.push(`${(nKeys / nFields).toFixed(1)} keys a field`);
  if (seconds && left) parts.push(`about ${Math.max(1, Math.round((left * seconds) / 60))} min left`);
  $("counts").textContent = parts.join(" · ");
}

// What is promised changes with what is keyed, slowly: it is asked for now and then.
const ASK_EVERY = 20;

async function showPromise() {
  const { said, alarm } = await ask("GET", "v1/review/promise");
  for (const [id, text] of [["promise", said], ["alarm", alarm]]) {
    $(id).textContent = text;
    $(id).hidden = !text;
  }
}

function show(section) {
  for (const id of ["fields", "pages", "group", "done"]) $(id).hidden = id !== section;
}

function take(answer) {
  tasks = answer.tasks;
  showProgress(answer.progress);
  const near = new Set(tasks.map(closeOf));
  for (const task of tasks) fetched(closeOf(task));
  for (const path of pictures.keys()) if (!near.has(path) && path !== (current && closeOf(current))) forget(path);
}

async function showDone() {
  show("done");
  await showPromise();
  $("done-note").hidden = waiting > 0;
  $("waiting").hidden = !waiting;
  $("waiting").textContent = waiting === 1 ? "1 checked field waits to be keyed once more" : `${waiting} checked fields wait to be keyed once more`;
  if (waiting) $("waiting").append(": by somebody else, or by you in ten minutes.");
  $("look").hidden = !(await screens.find());
  if (!$("look").hidden) $("look").focus();
}

// Group screens come after all fields; a digit marked there may be a field to key.
const screens = groupScreens({
  send: async (path, content) => {
    const answer = await post(path, { reviewer: me(), ...content });
    take(answer);
    return answer;
  },
  leave: () => open(tasks[0]),
  guarded,
});
$("look").addEventListener("click", () => {
  show("group");
  screens.start();
});

// `typed` is what was keyed for this field before it was shown.
async function open(task, typed = "") {
  current = task ?? null;
  if (!current) {
    await showDone();
    return;
  }
  show("fields");
  $("place").textContent = titleOf(current);
  $("problem").textContent = current.problem;
  $("problem").hidden = !current.problem;
  $("text").value = typed;
  $("text").setAttribute("aria-invalid", "false");
  say("");
  await setContext(false);
  $("text").focus();
}

async function setContext(wide) {
  $("context").setAttribute("aria-pressed", String(wide));
  document.querySelector(".paper").classList.toggle("wide", wide);
  const task = current;
  const address = await fetched(wide ? wideOf(task) : closeOf(task));
  if (task === current) $("cut").src = address;
}

async function next() {
  take(await post("next", { reviewer: me() }));
  await open(tasks[0]);
}

const key = (text) => guarded(async () => {
  const task = current;
  nKeys += text.length + 1;
  const answer = await post("keys", { field: task.field, text, reviewer: me() });
  take(answer);
  if (answer.outcome.accepted) {
    nFields += 1;
    if (nFields % ASK_EVERY === 0) await showPromise();
    await open(tasks.find((each) => each.field !== task.field) ?? tasks[0], $("text").value);
  } else {
    await compare(text, answer.outcome);
  }
});

// What was keyed and what was read differ, or the value breaks a constraint: both are shown, with what stands around it.
async function compare(text, { read, problem }) {
  const line = $("outcome");
  line.replaceChildren("You keyed ", strong(text || "nothing"), `, read was `, strong(read || "nothing"), `; ${problem}. Key what is right; the same again keeps it.`);
  $("text").value = "";
  $("text").setAttribute("aria-invalid", "true");
  await setContext(true);
  $("text").focus();
}

function strong(text) {
  const element = document.createElement("strong");
  element.textContent = text;
  return element;
}

const back = () => guarded(async () => {
  const answer = await post("undo", { reviewer: me() });
  take(answer);
  if (answer.undone) await open(answer.undone);
  else say("Nothing of yours to take back.");
});

const later = () => guarded(async () => {
  take(await post("later", { field: current.field, reviewer: me() }));
  await open(tasks[0]);
});

const submit = () => {
  const text = $("text").value.trim();
  $("text").value = "";
  if (text) key(text);
  else say("Key the digits, or / where nothing can be read.");
};

// Keys of a numeric keypad that do something else than being written.
function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || $("fields").hidden) return;
  const entry = $("text");
  const isEmpty = entry.value === "";
  const actions = {
    "/": () => key(""),
    "+": () => guarded(() => setContext($("context").getAttribute("aria-pressed") !== "true")),
    "-": isEmpty ? back : null,
    ".": isEmpty ? later : null,
    "*": () => (entry.value = entry.value.startsWith("-") ? entry.value.slice(1) : `-${entry.value}`),
  };
  if (event.key in actions) {
    event.preventDefault();
    actions[event.key]?.();
  } else if (event.key.length === 1 && !/[0-9,.]/.test(event.key)) {
    event.preventDefault();
  }
}

$("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("text").addEventListener("keydown", onKey);
$("empty").addEventListener("click", () => key(""));
$("context").addEventListener("click", () => guarded(() => setContext($("context").getAttribute("aria-pressed") !== "true")));
$("later").addEventListener("click", later);
$("back").addEventListener("click", back);
// A digit keyed anywhere but in another field goes where it is meant.
document.addEventListener("keydown", (event) => {
  if (!$("fields").hidden && event.target === document.body && /^[0-9]$/.test(event.key)) $("text").focus();
});

// ----------------------------------------------------------------------------------------------- pages that were not aligned

let pages = [];
let anchors = [];
let points = [];
let cross = null;
const skipped = new Set();

function marks(svg, image, places, at = null) {
  const width = image.naturalWidth || 1;
  const height = image.naturalHeight || 1;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const size = Math.max(width, height) / 45;
  const elements = places.flatMap(([x, y], i) => [
    shape("circle", { cx: x, cy: y, r: size * 0.6, "stroke-width": size / 6 }),
    shape("text", { x: x + size * 0.8, y: y + size * (y + 2 * size < height ? 1.4 : -0.4), "font-size": size * 1.6, "stroke-width": size / 4 }, String(i + 1)),
  ]);
  if (at) elements.push(shape("path", { class: "cross", "stroke-width": size / 6, d: `M${at[0] - size} ${at[1]}h${2 * size}M${at[0]} ${at[1] - size}v${2 * size}` }));
  svg.replaceChildren(...elements);
}

function shape(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key_, value] of Object.entries(attributes)) element.setAttribute(key_, value);
  element.textContent = text;
  return element;
}

function drawMarks() {
  marks($("scan-marks"), $("scan"), points, cross);
  marks($("template-marks"), $("template"), anchors[Number($("number").value)] ?? []);
  $("align").disabled = points.length !== 4;
  $("unset").disabled = !points.length;
  say(points.length < 4 ? `Place ${points.length + 1} of 4` : "Align it so, or go back.", "page-outcome");
}

function set(point) {
  if (points.length < 4) points.push(point);
  drawMarks();
}

async function takePages(answer) {
  pages = answer.pages.filter(({ page }) => !skipped.has(page));
  if (answer.anchors.length) anchors = answer.anchors;
  if (!pages.length) {
    await next();
    return;
  }
  show("pages");
  say(pages.length === 1 ? "1 page to align" : `${pages.length} pages to align`, "counts");
  points = [];
  cross = null;
  $("page-title").textContent = `${pages[0].source.split("/").at(-1)}: not aligned with the form`;
  $("page-problem").textContent = pages[0].problem;
  $("which").hidden = anchors.length < 2;
  $("number").replaceChildren(...anchors.map((_, i) => new Option(String(i + 1), String(i))));
  $("scan").src = await picture(`v1/review/pages/${pages[0].page}`);
  await showTemplate();
}

async function showTemplate() {
  $("template").src = await fetched(`v1/review/template/${$("number").value}`);
  await Promise.all([$("scan").decode(), $("template").decode()]);
  drawMarks();
}

const align = (content) => guarded(async () => {
  await takePages(await post(`pages/${pages[0].page}`, content));
}, "page-outcome");

$("scan-stage").addEventListener("click", (event) => {
  const box = $("scan").getBoundingClientRect();
  const scale = $("scan").naturalWidth / box.width;
  set([(event.clientX - box.left) * scale, (event.clientY - box.top) * scale]);
});
$("scan-stage").addEventListener("keydown", (event) => {
  const [width, height] = [$("scan").naturalWidth, $("scan").naturalHeight];
  const step = Math.max(width, height) / (event.shiftKey ? 500 : 50);
  const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  cross ??= [width / 2, height / 2];
  if (move) cross = [Math.min(width, Math.max(0, cross[0] + move[0])), Math.min(height, Math.max(0, cross[1] + move[1]))];
  else if (event.key === "Enter") set([...cross]);
  else if (event.key === "Backspace") points.pop();
  else return;
  event.preventDefault();
  drawMarks();
});
$("number").addEventListener("change", () => guarded(showTemplate, "page-outcome"));
$("align").addEventListener("click", () => align({ number: Number($("number").value), anchors: points }));
$("unset").addEventListener("click", () => {
  points.pop();
  drawMarks();
});
$("stranger").addEventListener("click", () => align({ anchors: null }));
$("skip").addEventListener("click", () => {
  skipped.add(pages[0].page);
  guarded(() => takePages({ pages, anchors }), "page-outcome");
});

// --------------------------------------------------------------------------------------------------------------- start

$("reviewer").value = localStorage.getItem(NAME) ?? "reviewer";
$("reviewer").addEventListener("change", () => localStorage.setItem(NAME, me()));
const start = () => guarded(async () => {
  await showPromise();
  await takePages(await ask("GET", "v1/review/pages"));
}, "counts");
$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value);
  $("key").hidden = true;
  start();
});
start();
