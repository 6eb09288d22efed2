// The template editor. `state` is the form as it would be saved; every change of it can be undone.
import { ApiError, ask, picture, setToken } from "./api.js";

const $ = (id) => document.getElementById(id);
const LEAST_PX = 8; // a smaller rectangle was a click
const MOST_UNDONE = 200;
const LABEL_PX = 11; // of the screen, at least
const NUMBERS = ["cells", "rows", "columns", "decimals"];
const CONSTRAINTS = ["minimum", "maximum", "minLength", "maxLength", "pattern"];

let name = null; // of the form that is shown
let asked = null; // of the form that was asked for, which may be on its way
let state = { title: "", fields: [], rules: [] };
let proposals = [];
let pages = [];
let number = 0; // of the page that is shown
let wanted = 0; // of the page that was asked for, whose picture may be on its way
let chosen = null; // name of a field
let saved = "";
let past = [];
let future = [];
let tool = "draw";
let corners = []; // clicks of the table tool
let drag = null;
const pictures = new Map();

const copy = (value) => JSON.parse(JSON.stringify(value));
const byPage = () => [...state.fields].sort((a, b) => pageOf(a) - pageOf(b)); // in their order on each page
const field = () => state.fields.find((each) => each.name === chosen);
const pageOf = (each) => each.page ?? 0;
const open = () => proposals.filter((each) => !state.fields.some((own) => pageOf(own) === pageOf(each) && overlap(own.box, each.box) > 0.5));

function overlap(a, b) {
  const width = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  const both = Math.max(0, width) * Math.max(0, height);
  return both / (a[2] * a[3] + b[2] * b[3] - both);
}

function say(text, isBad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", isBad);
}

async function guarded(work) {
  try {
    await work();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) $("key").hidden = false;
    say(error instanceof ApiError ? error.message : "The server is not reached; nothing was saved.", true);
  }
}

// ------------------------------------------------------------------------------------------------------------ changing

function change(work) {
  const before = copy({ state, chosen, number });
  work();
  if (JSON.stringify(before.state) === JSON.stringify(state)) return;
  past.push(before);
  past = past.slice(-MOST_UNDONE);
  future = [];
  show();
}

function go(from, to) {
  if (!from.length) return;
  const { number: place, ...back } = from.pop();
  to.push(copy({ state, chosen, number: place }));
  ({ state, chosen } = back);
  turn(place);
}

function freeName(stem) {
  for (let i = 1; ; i += 1) if (!state.fields.some((each) => each.name === `${stem}${i}`)) return `${stem}${i}`;
}

function add(box, more = {}) {
  change(() => {
    chosen = freeName(more.layout === "table" ? "table" : "field");
    state.fields.push({ name: chosen, ...(number ? { page: number } : {}), box, ...more });
  });
  $("name").focus();
  $("name").select();
}

function takeProposal(each) {
  const { name: _, page: __, box, ...more } = each;
  add(box, more);
}

function remove() {
  change(() => {
    state.fields = state.fields.filter((each) => each.name !== chosen);
    chosen = null;
  });
}

function clamped([x, y, width, height]) {
  const { width: w, height: h } = pages[number];
  const size = [Math.max(4, Math.min(width, w)), Math.max(4, Math.min(height, h))];
  return [Math.max(0, Math.min(x, w - size[0])), Math.max(0, Math.min(y, h - size[1])), ...size].map(Math.round);
}

// ------------------------------------------------------------------------------------------------------------- showing

function shape(kind, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function drawn(box, kind, label = "") {
  const group = shape("g", { class: kind });
  group.append(shape("rect", { x: box[0], y: box[1], width: box[2], height: box[3] }));
  const { width, height } = pages[number];
  const size = Math.max(height / 75, (LABEL_PX * width) / ($("stage").clientWidth || width));
  // Inside, where nothing is printed: above a field there often is its heading.
  if (label) group.append(shape("text", { x: box[0] + size / 4, y: box[1] + size, "font-size": size, "stroke-width": size / 5 }, label));
  return group;
}

function inner(each) {
  const [x, y, width, height] = each.box;
  const across = each.layout === "comb" ? each.cells : each.layout === "table" ? each.columns : 1;
  const down = each.layout === "table" ? each.rows : 1;
  const lines = [];
  for (let i = 1; i < (across ?? 1); i += 1) lines.push(`M${x + (i * width) / across} ${y}v${height}`);
  for (let i = 1; i < (down ?? 1); i += 1) lines.push(`M${x} ${y + (i * height) / down}h${width}`);
  return shape("path", { d: lines.join("") });
}

function show() {
  const { width, height } = pages[number];
  const isOne = pages.length === 1;
  $("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`);
  const groups = [];
  for (const each of open().filter((one) => pageOf(one) === number)) {
    const group = drawn(each.box, "proposed");
    group.append(inner(each));
    group.dataset.proposal = each.name;
    groups.push(group);
  }
  for (const each of state.fields.filter((one) => pageOf(one) === number)) {
    const group = drawn(each.box, each.name === chosen ? "chosen" : "field", each.name);
    group.append(inner(each));
    group.dataset.field = each.name;
    groups.push(group);
  }
  $("boxes").replaceChildren(...groups);
  $("list").replaceChildren(...byPage().map((each) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = isOne ? each.name : `${each.name} · page ${pageOf(each) + 1}`;
    button.setAttribute("aria-pressed", String(each.name === chosen));
    button.addEventListener("click", () => choose(each.name));
    item.append(button);
    return item;
  }));
  showField();
  if (document.activeElement !== $("rules")) $("rules").value = state.rules.join("\n");
  if (document.activeElement !== $("title")) $("title").value = state.title;
  $("undo").disabled = !past.length;
  $("redo").disabled = !future.length;
  $("save").disabled = !isChanged();
  $("all").disabled = !open().length;
  for (const each of ["draw", "table"]) $(each).setAttribute("aria-pressed", String(tool === each));
  $("stage").setAttribute("aria-label", isOne ? "The page with its fields" : `Page ${number + 1} of ${pages.length} with its fields`);
  $("page").value = String(number);
  $("before").disabled = number === 0;
  $("after").disabled = number === pages.length - 1;
  const all = open().length;
  const left = open().filter((each) => pageOf(each) === number).length;
  const elsewhere = all > left ? ` ${all - left} on other pages.` : "";
  $("hint").textContent = tool === "table"
    ? ["Click the top left of the first cell.", "Click the bottom right of the first cell.", "Click the bottom right of the last cell."][corners.length]
    : (left ? `${left} proposed: click a dashed field to take it, or drag a rectangle.` : "Drag a rectangle to add a field.") + elsewhere;
}

function showField() {
  const each = field();
  $("field").hidden = !each;
  $("none").hidden = Boolean(each);
  $("side-title").textContent = each ? `Field: ${each.name}` : "Field";
  if (!each) return;
  const limits = each.constraints ?? {};
  const values = {
    name: each.name, layout: each.layout ?? "line", type: each.type ?? "integer", check: each.check ?? "",
    enum: (limits.enum ?? []).join(" "),
    ...Object.fromEntries(NUMBERS.map((key) => [key, each[key] ?? ""])),
    ...Object.fromEntries(CONSTRAINTS.map((key) => [key, limits[key] ?? ""])),
  };
  for (const [key, value] of Object.entries(values)) if (document.activeElement !== $(key)) $(key).value = value;
  $("required").checked = limits.required ?? false;
  $("unique").checked = limits.unique ?? false;
  for (const element of document.querySelectorAll(".for-comb")) element.hidden = values.layout !== "comb";
  for (const element of document.querySelectorAll(".for-table")) element.hidden = values.layout !== "table";
  for (const element of document.querySelectorAll(".for-decimal")) element.hidden = values.type !== "decimal";
}

function choose(which) {
  chosen = which;
  const each = field();
  if (each && pageOf(each) !== number) turn(pageOf(each));
  else show();
}

// ---------------------------------------------------------------------------------------------------- the field's form

const valueOf = (text) => (text.trim() === "" ? undefined : Number(text));

function take() {
  const each = field();
  if (!each) return;
  change(() => {
    const wanted = $("name").value.trim();
    const isFree = !state.fields.some((other) => other !== each && other.name === wanted);
    if (/^[A-Za-z][A-Za-z0-9_]*$/.test(wanted) && isFree) {
      each.name = wanted;
      chosen = wanted;
      say("");
    } else if (wanted !== each.name) {
      say(isFree ? "A name begins with a letter and has letters, digits and _ alone." : `There is a field ${wanted} already.`, true);
    }
    each.layout = $("layout").value;
    each.type = $("type").value;
    for (const key of NUMBERS) each[key] = valueOf($(key).value);
    if (each.layout === "comb") each.cells ??= 4;
    else delete each.cells;
    if (each.layout === "table") [each.rows, each.columns] = [each.rows ?? 2, each.columns ?? 2];
    else [each.rows, each.columns] = [undefined, undefined];
    if (each.type !== "decimal") delete each.decimals;
    each.check = $("check").value.trim() || undefined;
    const limits = {
      required: $("required").checked || undefined,
      unique: $("unique").checked || undefined,
      minimum: valueOf($("minimum").value), maximum: valueOf($("maximum").value),
      minLength: valueOf($("minLength").value), maxLength: valueOf($("maxLength").value),
      pattern: $("pattern").value || undefined,
      enum: $("enum").value.trim() ? $("enum").value.trim().split(/\s+/) : undefined,
    };
    each.constraints = Object.values(limits).some((value) => value !== undefined) ? limits : undefined;
    Object.assign(each, copy(each));
    for (const key of Object.keys(each)) if (each[key] === undefined) delete each[key];
  });
}

for (const element of document.querySelectorAll("#field input, #field select")) element.addEventListener("change", take);
$("field").addEventListener("submit", (event) => {
  event.preventDefault();
  take();
});
$("rules").addEventListener("change", () => change(() => (state.rules = $("rules").value.split("\n").map((line) => line.trim()).filter(Boolean))));
$("title").addEventListener("change", () => change(() => (state.title = $("title").value.trim())));
$("remove").addEventListener("click", remove);

// ------------------------------------------------------------------------------------------------------------ the page

function place(event) {
  const box = $("stage").getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * pages[number].width, ((event.clientY - box.top) / box.height) * pages[number].height];
}

const between = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];

$("stage").addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !pages.length) return;
  const group = event.target.closest("g");
  const own = group?.dataset.field;
  drag = { from: place(event), group, own, box: own && copy(state.fields.find((each) => each.name === own).box) };
  $("stage").setPointerCapture(event.pointerId);
});
$("stage").addEventListener("pointermove", (event) => {
  if (!drag || tool === "table") return;
  const at = place(event);
  const moved = [at[0] - drag.from[0], at[1] - drag.from[1]];
  if (Math.hypot(...moved) < LEAST_PX) return;
  for (const old of $("boxes").querySelectorAll(".new")) old.remove();
  const box = drag.own ? [drag.box[0] + moved[0], drag.box[1] + moved[1], drag.box[2], drag.box[3]] : between(drag.from, at);
  drag.result = clamped(box);
  $("boxes").append(drawn(drag.result, "new"));
});
$("stage").addEventListener("pointerup", (event) => {
  const { group, own, result } = drag ?? {};
  drag = null;
  if (!pages.length) return;
  if (tool === "table") {
    corner(place(event));
  } else if (result && own) {
    change(() => {
      chosen = own;
      field().box = result;
    });
  } else if (result && Math.min(result[2], result[3]) >= LEAST_PX) {
    add(result);
  } else if (group?.dataset.proposal) {
    takeProposal(proposals.find((each) => each.name === group.dataset.proposal));
  } else {
    choose(own ?? null);
  }
});

// The first cell's corners and the last one's say how many rows and columns there are.
function corner(point) {
  corners.push(point);
  if (corners.length === 3) {
    const [first, , last] = corners;
    const cell = between(first, corners[1]);
    const box = between(first, last);
    corners = [];
    tool = "draw";
    if (Math.min(cell[2], cell[3]) >= LEAST_PX) {
      const columns = Math.max(1, Math.round(box[2] / cell[2]));
      const rows = Math.max(1, Math.round(box[3] / cell[3]));
      add(clamped(box), { layout: "table", rows, columns });
    }
  }
  show();
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

$("stage").addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  const all = byPage();
  if (arrow && field()) {
    change(() => {
      const box = field().box;
      const from = event.shiftKey ? 2 : 0;
      const moved = [...box];
      moved[from] += arrow[0];
      moved[from + 1] += arrow[1];
      field().box = clamped(moved);
    });
  } else if ("npNP".includes(event.key) && event.key.length === 1 && all.length) {
    const isNext = event.key.toLowerCase() === "n";
    const at = all.findIndex((each) => each.name === chosen);
    // With none chosen: the first one from this page on, or the last one up to it.
    const from = isNext ? all.findIndex((each) => pageOf(each) >= number) - 1 : all.findLastIndex((each) => pageOf(each) <= number) + 1;
    const to = (at < 0 ? from : at) + (isNext ? 1 : -1);
    choose(all.at(to % all.length).name);
  } else if (event.key === "PageDown" || event.key === "PageUp") {
    turn(wanted + (event.key === "PageDown" ? 1 : -1));
  } else if (event.key === "Delete" || event.key === "Backspace") {
    if (field()) remove();
  } else if (event.key === "Enter") {
    const [next] = open().filter((each) => pageOf(each) === number);
    if (next) takeProposal(next);
  } else if (event.key === "Escape") {
    corners = [];
    tool = "draw";
    choose(null);
  } else {
    return;
  }
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.target.matches("textarea, input")) return;
  const key = event.key.toLowerCase();
  if (key === "z" && !event.shiftKey) go(past, future);
  else if (key === "y" || (key === "z" && event.shiftKey)) go(future, past);
  else if (key === "s") save();
  else return;
  event.preventDefault();
});
$("draw").addEventListener("click", () => useTool("draw"));
$("table").addEventListener("click", () => useTool("table"));
$("undo").addEventListener("click", () => go(past, future));
$("redo").addEventListener("click", () => go(future, past));
$("all").addEventListener("click", () => change(() => {
  for (const each of open()) {
    const { name: _, ...more } = each;
    state.fields.push({ name: freeName(more.layout === "table" ? "table" : "field"), ...more });
  }
}));

function useTool(which) {
  tool = which;
  corners = [];
  show();
}

// -------------------------------------------------------------------------------------------------- opening and saving

const path = (more = "", which = name) => `v1/forms/${encodeURIComponent(which)}${more}`;
const isChanged = () => pages.length > 0 && JSON.stringify(state) !== saved;

const save = () => guarded(async () => {
  const [sent, form] = [JSON.stringify(state), name];
  await ask("PUT", path(), new Blob([sent], { type: "application/json" }));
  if (form !== name) return;
  saved = sent;
  show();
  say(`Saved: ${state.fields.length} fields, ${state.rules.length} rules.`);
});
$("save").addEventListener("click", save);

// Shows another page once its picture is there; of several that were asked for in between, the last one.
const turn = (to) => guarded(async () => {
  wanted = Math.max(0, Math.min(to, pages.length - 1));
  const [page, form] = [wanted, name];
  if (!pictures.has(page)) {
    const found = await picture(path(`/pages/${page}`));
    if (form !== name) return;
    pictures.set(page, found);
  }
  if (page !== wanted) return;
  if (page !== number) [corners, drag] = [[], null];
  number = page;
  if (field() && pageOf(field()) !== number) chosen = null;
  $("picture").src = pictures.get(number);
  show();
});
$("page").addEventListener("change", () => turn(Number($("page").value)));
$("before").addEventListener("click", () => turn(wanted - 1));
$("after").addEventListener("click", () => turn(wanted + 1));

// Shows another form once it is there; of several that were asked for in between, the last one.
async function openForm(which) {
  asked = which;
  const { form, proposals: found } = await ask("GET", path("", which));
  if (asked !== which) return;
  name = which;
  state = { title: form.title ?? "", fields: form.fields, rules: form.rules ?? [] };
  [pages, proposals, past, future, chosen, saved] = [form.pages, found, [], [], null, JSON.stringify(state)];
  pictures.clear();
  $("which").hidden = pages.length < 2;
  $("page").replaceChildren(...pages.map((_, i) => new Option(String(i + 1), String(i))));
  $("of").textContent = `of ${pages.length}`;
  number = 0;
  say("");
  await turn(0);
}

async function switchForm() {
  const which = $("form").value;
  if (isChanged() && !confirm(`Changes to “${state.title || name}” are not saved. Discard them?`)) {
    $("form").value = name;
    return;
  }
  await guarded(() => openForm(which));
  if (asked === which) $("form").value = name; // the one before where this one cannot be opened
}
$("form").addEventListener("change", switchForm);
addEventListener("beforeunload", (event) => {
  document.activeElement?.blur(); // what is being typed counts
  if (isChanged()) event.preventDefault();
});

const start = () => guarded(async () => {
  const { forms } = await ask("GET", "v1/forms");
  $("form").replaceChildren(...forms.map((each) => new Option(each.title || each.name, each.name)));
  const usable = forms.filter((each) => !each.problem);
  for (const each of forms) if (each.problem) say(each.problem, true);
  if (!usable.length) {
    say("No form in this folder yet: `inkdigits form new FOLDER PAGES` begins one.", true);
    return;
  }
  $("form").value = usable[0].name;
  await openForm(usable[0].name);
});
$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value);
  $("key").hidden = true;
  start();
});
start();
