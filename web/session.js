// Who looks at the page. The operator's token is sent once and kept nowhere: a cookie that no script can read stands for it.

import { ask, Refused } from "./api.js";
import { refresh, start } from "./live.js";
import { change, forget, read } from "./state.js";

/** Whether the cookie of an earlier visit still counts. */
export async function resume() {
  if (document.body.dataset.session !== "yes") return start();
  try {
    change({ session: await ask("GET", "/v1/session") });
  } catch {
    // It does not: the public view.
  }
  start();
}

/** @param {string} token */
export async function logIn(token) {
  await ask("POST", "/v1/session", { body: { token } });
  change({ session: await ask("GET", "/v1/session"), dialog: null });
  start();
}

export async function logOut() {
  await mutate("DELETE", "/v1/session");
  forget();
  start();
}

/**
 * Changes something, with the proof that this page asks for it.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 */
async function mutate(method, path, body) {
  const csrf = read().session?.csrf;
  try {
    return await ask(method, path, { body, csrf });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) forget();
    throw error;
  }
}

/** @param {"bidding" | "paused" | "maintenance"} state @param {string} reason */
export async function maintain(state, reason) {
  await mutate("PUT", "/v1/maintenance", { state, reason });
  change({ dialog: null });
  await refresh("overview");
}

/** Lets workloads be removed that are held. */
export async function agreeToTeardowns() {
  await mutate("POST", "/v1/maintenance/teardowns", {});
  await Promise.all([refresh("overview"), refresh("maintenance")]);
}

/** Tries at once what is stuck. @param {string} subject */
export async function tryNow(subject) {
  await mutate("POST", "/v1/stuck/retry", { subject });
  await refresh("stuck");
}

/** Lets an indexer take back what it sent, or not. @param {string} stream @param {boolean} accept */
export async function decideRewind(stream, accept) {
  await mutate("POST", `/v1/streams/${encodeURIComponent(stream)}/rewind`, { accept });
  await Promise.all([refresh("streams"), refresh("overview")]);
}

/** @param {string} stream @param {{ from: number, to: number }} range both included */
export async function backfill(stream, range) {
  await mutate("POST", `/v1/streams/${encodeURIComponent(stream)}/backfill`, range);
  await refresh("streams");
}
