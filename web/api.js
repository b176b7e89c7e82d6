// Requests to the gateway: what comes back is a body or a problem, never a guess.

/** @typedef {import("./types/openapi").components["schemas"]["Problem"]} ProblemDocument */

/** How far the server's clock is from this one, in milliseconds. Ages are told by the server's. */
let skew = 0;

export const now = () => Date.now() + skew;

/** What the gateway refused, or why it could not be asked. */
export class Refused extends Error {
  /**
   * @param {number} status 0 when nothing answered
   * @param {string} message
   * @param {string} [code]
   */
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** @param {Response} response */
function readClock(response) {
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header has whole seconds: a smaller difference says nothing.
  if (Number.isFinite(date)) skew = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
}

/** @param {Response} response */
async function refusal(response) {
  const text = await response.text();
  try {
    /** @type {ProblemDocument} */
    const problem = JSON.parse(text);
    return new Refused(response.status, problem.detail ?? problem.title, problem.code);
  } catch {
    return new Refused(response.status, text || response.statusText);
  }
}

/** How long an answer may take, in milliseconds: a little longer than the gateway lets its routes work. */
const PATIENCE = 35_000;

/**
 * Asks, and waits no longer than `patience`: a gateway that hangs takes connections and never answers.
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, csrf?: string, signal?: AbortSignal, patience?: number }} [options]
 * @returns {Promise<any>} the body; nothing for 204
 */
export async function ask(method, path, { body, csrf, signal, patience = PATIENCE } = {}) {
  const ended = new AbortController();
  const end = () => ended.abort();
  const timer = setTimeout(end, patience);
  if (signal?.aborted) end();
  signal?.addEventListener("abort", end);
  try {
    return await answer(method, path, { body, csrf, signal: ended.signal });
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) throw error;
    throw new Refused(0, "the gateway does not answer");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", end);
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, csrf?: string, signal: AbortSignal }} options
 */
async function answer(method, path, { body, csrf, signal }) {
  /** @type {Record<string, string>} */
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (csrf) headers["x-lessor-csrf"] = csrf;
  const response = await fetch(path, {
    method,
    headers,
    signal,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "same-origin",
  });
  readClock(response);
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? undefined : await response.json();
}

/** The same request for a terminal. @param {string} path @param {boolean} [open] whether anyone may ask it */
export function curl(path, open = false) {
  const url = new URL(path, location.href).href.replaceAll("'", "%27");
  return open ? `curl '${url}'` : `curl -H "Authorization: Bearer $LESSOR_TOKEN" '${url}'`;
}

/** `owner/dseq/gseq/oseq` of an order or of anything below it, as a path. @param {string} id */
export const orderPath = (id) => id.split("/").slice(0, 4).map(encodeURIComponent).join("/");
