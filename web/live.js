// News: one stream of server-sent events for all panels, and asking every few seconds while there is none.

import { ask, Refused } from "./api.js";
import { change, failed, forget, learned, read } from "./state.js";

/** @typedef {import("./state.js").Topic} Topic */

/** How often everything is asked for without a stream. */
const POLL = 10_000;
/** Every block changes the overview: a stream that is silent for so long is opened anew, for it may be cut without a word. */
const SILENCE = 45_000;
/** How soon everything is asked for once the stream broke. */
const SOON = 3_000;
/** How soon a stream that was refused is tried again. */
const AGAIN = 5_000;

/** The route whose body a topic is. @param {Topic} topic */
export function route(topic) {
  switch (topic) {
    case "funnel":
      return `/v1/funnel?window=${read().window}`;
    default:
      return `/v1/${topic}`;
  }
}

/** @type {Topic[]} */
const ALL = ["overview", "streams", "funnel", "orders", "leases", "inventory", "deadlines"];

/** @type {EventSource | null} */
let source = null;
let heard = 0;
let opened = 0;
let polled = 0;

const mine = () => (read().session ? ALL : /** @type {Topic[]} */ (["overview"]));

/** Asks for one topic now. @param {Topic} topic */
export async function refresh(topic) {
  try {
    learned(topic, await ask("GET", route(topic)));
    return true;
  } catch (error) {
    if (error instanceof Refused && error.status === 401 && topic !== "overview") logOut();
    else failed(topic, error instanceof Error ? error.message : String(error));
    return false;
  }
}

async function refreshAll() {
  const answers = await Promise.all(mine().map(refresh));
  if (!source || source.readyState !== EventSource.OPEN) {
    change({ link: answers.some(Boolean) ? "polling" : "lost" });
  }
}

function logOut() {
  close();
  forget();
}

function close() {
  source?.close();
  source = null;
}

function open() {
  close();
  if (!read().session) return;
  opened = Date.now();
  source = new EventSource("/v1/stream");
  source.onopen = () => {
    heard = Date.now();
    change({ link: "stream" });
  };
  source.onerror = () => {
    // It tries again by itself, and fails again while nobody answers.
    if (read().link !== "stream") return;
    change({ link: "polling" });
    polled = Date.now() - POLL + SOON;
  };
  for (const topic of ALL) {
    source.addEventListener(topic, (event) => {
      heard = Date.now();
      const body = JSON.parse(event.data);
      // The stream tells of every window.
      if (topic !== "funnel" || body.window === read().window) learned(topic, body);
    });
  }
}

/** Looks after the stream, and asks where there is none. */
function watch() {
  const quiet = Date.now() - heard > SILENCE;
  const dead = source?.readyState === EventSource.CLOSED || (source?.readyState === EventSource.OPEN && quiet);
  if (read().session && (!source || dead) && Date.now() - opened > AGAIN) open();
}

function tick() {
  watch();
  const streaming = source?.readyState === EventSource.OPEN && read().session;
  if (document.visibilityState === "hidden" || streaming || Date.now() - polled < POLL) return;
  polled = Date.now();
  void refreshAll();
}

/** Begins; and begins anew when somebody logged in or out. */
export function start() {
  polled = Date.now();
  void refreshAll();
  open();
}

setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
addEventListener("online", tick);
