// Group screens of the review page: cut-outs that were all read as the same digit. Enter accepts all but what is marked.
import { picture } from "./api.js";

const $ = (id) => document.getElementById(id);
const COLUMNS = 8; // of the picture that holds the cut-outs
const ROWS = 5;

// `send(path, content)` asks the server and returns its answer; `leave()` goes on with something else.
export function groupScreens({ send, leave, guarded }) {
  const pictures = new Map(); // by screen: the next one's is there before it is needed
  let screens = [];
  let marked = new Map(); // position -> what is written there
  let at = 0;

  const fetched = ({ screen }) => {
    if (!pictures.has(screen)) pictures.set(screen, picture(`v1/review/screens/${screen}`));
    return pictures.get(screen);
  };

  function label(position) {
    const said = marked.get(position);
    const what = said === undefined ? screens[0].digit : said === "" ? "no digit" : `rather ${said}`;
    return `Cut-out ${position + 1} of ${screens[0].n}: ${what}`;
  }

  function draw(position) {
    const tile = $("tiles").children[position];
    tile.setAttribute("aria-label", label(position));
    tile.classList.toggle("marked", marked.has(position));
    tile.firstChild.textContent = { undefined: "", "": "/" }[marked.get(position)] ?? marked.get(position);
  }

  function move(to) {
    const tiles = $("tiles").children;
    tiles[at]?.setAttribute("tabindex", "-1");
    at = Math.min(tiles.length - 1, Math.max(0, to));
    tiles[at].setAttribute("tabindex", "0");
    tiles[at].focus();
  }

  function mark(text) {
    if (text === screens[0].digit || text === null) marked.delete(at);
    else marked.set(at, text);
    draw(at);
    $("group-outcome").textContent = marked.size ? `${marked.size} marked` : "";
    move(at);
  }

  async function show(answer) {
    screens = answer.screens;
    for (const screen of screens) fetched(screen);
    if (answer.tasks.length || !screens.length) {
      await leave();
      return;
    }
    marked = new Map();
    $("group-title").textContent = `All of these were read as ${screens[0].digit}`;
    $("group-outcome").textContent = "";
    const address = await fetched(screens[0]);
    $("tiles").replaceChildren(...Array.from({ length: screens[0].n }, (_, position) => {
      const tile = document.createElement("button");
      tile.type = "button";
      tile.className = "tile";
      tile.tabIndex = -1;
      tile.style.backgroundImage = `url(${address})`;
      tile.style.backgroundPosition = `${((position % COLUMNS) / (COLUMNS - 1)) * 100}% ${(Math.floor(position / COLUMNS) / (ROWS - 1)) * 100}%`;
      tile.append(document.createElement("span"));
      tile.addEventListener("click", () => move(position));
      return tile;
    }));
    for (let position = 0; position < screens[0].n; position += 1) draw(position);
    move(0);
  }

  const accept = () => guarded(async () => {
    const [done] = screens;
    const answer = await send(`screens/${done.screen}`, { marked: Object.fromEntries(marked) });
    pictures.get(done.screen)?.then(URL.revokeObjectURL, () => {});
    pictures.delete(done.screen);
    await show(answer);
  }, "group-outcome");

  const stop = () => guarded(() => leave(), "group-outcome");

  // How many cut-outs stand in a row on this window.
  const across = () => getComputedStyle($("tiles")).gridTemplateColumns.split(" ").length;

  function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const actions = {
      ArrowRight: () => move(at + 1), "+": () => move(at + 1), ArrowLeft: () => move(at - 1), "-": () => move(at - 1),
      ArrowDown: () => move(at + across()), ArrowUp: () => move(at - across()), Home: () => move(0), End: () => move(screens[0].n - 1),
      Enter: accept, "/": () => mark(""), ".": stop, Backspace: () => mark(null), Delete: () => mark(null),
    };
    const action = /^[0-9]$/.test(event.key) ? () => mark(event.key) : actions[event.key];
    if (!action) return;
    event.preventDefault();
    if (!event.repeat || event.key !== "Enter") action();
  }

  $("tiles").addEventListener("keydown", onKey);
  for (const button of document.querySelectorAll("#marks button")) button.addEventListener("click", () => mark(button.value));
  $("accept-group").addEventListener("click", accept);
  $("leave-group").addEventListener("click", stop);
  return {
    // Ask whether there are screens, and have the first one's picture.
    find: async () => {
      ({ screens } = await send("screens", {}));
      for (const screen of screens) fetched(screen);
      return screens.length > 0;
    },
    start: () => guarded(async () => show(await send("screens", {})), "group-outcome"),
  };
}
