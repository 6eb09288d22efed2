// What was read: digits to choose from, boxes over the picture, bars, and text to take away.
import { words } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";

export const percent = (share) => (share >= 0.9995 ? "100 %" : `${(100 * share).toFixed(share >= 0.1 ? 1 : 2)} %`);

// A corrected item has `truth`: the right digit, or null where it is not a digit.
const isCorrected = (item) => item.truth !== undefined;

const valueOf = (item) => (isCorrected(item) ? item.truth ?? "" : item.digit);

export const itemsOf = (answer) => (answer ? answer.lines.flatMap((line) => line.items) : []);

export function showLines(root, answer, chosen, onChoose) {
  const n = itemsOf(answer).length;
  if (!n) {
    root.replaceChildren(element("p", { className: "nothing", textContent: "–", ariaHidden: "true" }));
    return;
  }
  const rows = answer.lines.map((line) => {
    const row = element("div", { className: n <= 4 ? "line single" : "line", role: "group", ariaLabel: line.text });
    row.append(...parts(line).map((part) => (typeof part === "string" ? mark(part) : button(part, chosen, onChoose))));
    return row;
  });
  root.replaceChildren(...rows);
}

// A line's digits with the separators and signs between them.
function parts(line) {
  const items = [...line.items];
  return [...line.text].map((character) => (/\d/.test(character) && items.length ? items.shift() : character));
}

const mark = (character) => element("span", { className: "mark", textContent: character, ariaHidden: "true" });

function button(item, chosen, onChoose) {
  const isRemoved = item.truth === null;
  const text = isRemoved ? item.digit : valueOf(item);
  const node = element("button", { type: "button", className: "digit", textContent: text });
  node.setAttribute("aria-pressed", String(item === chosen));
  let label = `${text}, ${percent(item.confidence)}`;
  if (isCorrected(item)) {
    node.classList.add(isRemoved ? "removed" : "corrected");
    if (!isRemoved) node.append(element("sup", { textContent: "✓" }));
    label = isRemoved ? `${text}: ${words.notDigit}` : `${text}, ${words.kept}`;
  } else if (!item.accepted) {
    node.classList.add("rejected");
    node.append(element("sup", { textContent: "?" }));
    label += `, ${words.unsure}`;
  }
  node.ariaLabel = label;
  node.title = label;
  node.addEventListener("click", () => onChoose(item));
  return node;
}

export function showBoxes(root, answer, chosen, onChoose) {
  root.replaceChildren();
  if (!answer) return;
  root.setAttribute("viewBox", `0 0 ${answer.width} ${answer.height}`);
  // Letters of about 14 screen pixels, whatever the picture's size.
  const { width, height } = root.getBoundingClientRect();
  const unit = Math.max(answer.width / Math.max(width, 1), answer.height / Math.max(height, 1));
  for (const ink of answer.left_out) root.append(leftOut(ink, unit));
  for (const item of itemsOf(answer)) root.append(box(item, item === chosen, unit, answer, onChoose));
}

// Ink of a digit's size that is part of no digit in the answer.
function leftOut({ box: [x, y, width, height] }, unit) {
  const group = document.createElementNS(SVG, "g");
  group.setAttribute("class", "left-out");
  group.append(rectangle(x, y, width, height, 2 * unit, 2 * unit, words.notDigit));
  return group;
}

function rectangle(x, y, width, height, pad, round, name) {
  const rect = document.createElementNS(SVG, "rect");
  const sides = { x: x - pad, y: y - pad, width: width + 2 * pad, height: height + 2 * pad, rx: round };
  for (const [side, value] of Object.entries(sides)) rect.setAttribute(side, value);
  const title = document.createElementNS(SVG, "title");
  title.textContent = name;
  rect.append(title);
  return rect;
}

function box(item, isChosen, unit, answer, onChoose) {
  const [x, y, width, height] = item.box;
  const pad = 2 * unit;
  const group = document.createElementNS(SVG, "g");
  const rejected = !item.accepted && !isCorrected(item);
  group.setAttribute("class", `${item.truth === null ? "removed" : rejected ? "rejected" : "sure"}${isChosen ? " chosen" : ""}`);
  const round = rejected ? 10 * unit : 2 * unit;
  const rect = rectangle(x, y, width, height, pad, round, `${item.digit} · ${percent(item.confidence)}`);
  rect.addEventListener("click", () => onChoose(item));
  const text = document.createElementNS(SVG, "text");
  const size = Math.min(Math.max(13 * unit, height / 4), 18 * unit);
  const above = y - pad - 4 * unit;
  text.setAttribute("x", x + width / 2);
  text.setAttribute("y", above > size ? above : Math.min(y + height + pad + size, answer.height - 2 * unit));
  text.setAttribute("font-size", size);
  text.textContent = item.truth === null ? "✕" : `${valueOf(item)}${rejected ? "?" : ""}`;
  group.append(rect, text);
  return group;
}

// Ten bars: the answer's confidence, and what it says of the others.
export function showBars(root, item) {
  const shares = new Map([...item.alternatives, [item.digit, item.confidence]]);
  root.replaceChildren(...Array.from({ length: 10 }, (_, digit) => bar(digit, shares.get(digit) ?? 0, digit === item.digit)));
}

function bar(digit, share, isTop) {
  const row = element("li", { className: isTop ? "top" : "" });
  const value = percent(share);
  const progress = element("progress", { max: 1, value: share, ariaLabel: `${digit}: ${value}` });
  const text = element("span", { className: "percent", textContent: share >= 0.0005 ? value : "", ariaHidden: "true" });
  row.append(element("span", { textContent: digit, ariaHidden: "true" }), progress, text);
  return row;
}

export function textOf(answer) {
  return answer.lines
    .map((line) => parts(line).map((part) => (typeof part === "string" ? part : valueOf(part))).join(""))
    .join("\n");
}

export function csvOf(answer) {
  const rows = ["line,position,digit,confidence,accepted,corrected,x,y,width,height"];
  answer.lines.forEach((line, i) => line.items.forEach((item, j) => {
    const { confidence, accepted, box: place } = item;
    rows.push([i + 1, j + 1, valueOf(item), confidence, accepted, isCorrected(item), ...place].join(","));
  }));
  return `${rows.join("\r\n")}\r\n`;
}

export function jsonOf(answer) {
  return `${JSON.stringify(answer, (key, value) => (key === "framed" || key === "corrections" ? undefined : value), 2)}\n`;
}

export function element(name, properties = {}) {
  const { role, ...rest } = properties;
  const node = Object.assign(document.createElement(name), rest);
  if (role) node.setAttribute("role", role);
  return node;
}
