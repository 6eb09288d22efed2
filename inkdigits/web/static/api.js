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

export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

async function post(path, parameters, body, signal) {
  const headers = { "Content-Type": body.type || "application/octet-stream" };
  const token = sessionStorage.getItem(TOKEN);
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(`${path}?${new URLSearchParams(parameters)}`, { method: "POST", headers, body, signal });
  const answer = await response.json();
  if (!response.ok) throw new ApiError(response.status, answer.error.code, answer.error.message);
  return answer;
}

export const read = (picture, signal) => post("/v1/read", { layout: "page", framed: true }, picture, signal);

export const explain = (framed, digit, signal) => post("/v1/explain", { digit }, bytesOf(framed), signal);

export const correct = (picture, item, truth) =>
  post("/v1/corrections", { layout: "page", box: item.box.join(","), answer: item.digit, truth }, picture);

function bytesOf(base64) {
  return new Blob([Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))], { type: "image/png" });
}
