// Requests to the server this page came from. Pictures go out as the bytes they are.
const TOKEN = "inkdigits-token";

// A token comes once, behind the address's #, where no server and no log sees it.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given !== null) {
  sessionStorage.setItem(TOKEN, given);
  history.replaceState(null, "", location.pathname);
}

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

async function send(method, path, body, signal) {
  const headers = body ? { "Content-Type": body.type || "application/octet-stream" } : {};
  const token = sessionStorage.getItem(TOKEN);
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { method, headers, body, signal });
  if (response.ok) return response;
  const { error } = await response.json();
  throw new ApiError(response.status, error.code, error.message);
}

export const ask = async (method, path, body, signal) => (await send(method, path, body, signal)).json();

// An address by which an <img> shows a picture that may be behind the token.
export const picture = async (path) => URL.createObjectURL(await (await send("GET", path)).blob());

const post = (path, parameters, body, signal) => ask("POST", `${path}?${new URLSearchParams(parameters)}`, body, signal);

export const read = (picture, signal) => post("v1/read", { layout: "page", framed: true }, picture, signal);

export const explain = (framed, digit, signal) => post("v1/explain", { digit }, bytesOf(framed), signal);

// `truth` is the right digit, or null where it is not a digit.
export const correct = (picture, item, truth) =>
  post("v1/corrections", { layout: "page", box: item.box.join(","), answer: item.digit, truth: truth ?? "none" }, picture);

export const takeBack = (id) => ask("DELETE", `v1/corrections/${id}`);

// What was learned of the hand that corrected; to learn it, and to forget what was learned last.
export const hand = () => ask("GET", "v1/hand");
export const learnHand = () => ask("POST", "v1/hand");
export const forgetHand = () => ask("DELETE", "v1/hand");

function bytesOf(base64) {
  return new Blob([Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))], { type: "image/png" });
}
