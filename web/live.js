// News: one stream of server-sent events for all panels, and asking every few seconds while there is none.
//
// A gateway can hang without a word: its connections stay open and nothing comes. So a stream is believed only as long as it
// speaks (it does at least every 15 seconds), one that does not open in time is given up, and so is every question.

import { ask, now, Refused } from "./api.js";
import { change, confirm, failed, forget, learned, read } from "./state.js";

/** @typedef {import("./state.js").Topic} Topic */

/** How often everything is asked for without a stream. */
const POLL = 10_000;
/** How long such a question may take: less than that. */
const PATIENCE = 8_000;
/** How often a tab that nobody looks at asks for the verdict, which its title shows. */
const HIDDEN_POLL = 60_000;
/** A tab that nobody looks at for so long gives its stream up: a browser has six connections for all tabs. */
const HIDDEN = 20_000;
/** Without news a heartbeat comes after 15 seconds; a stream that is silent for so long is dead. */
const SILENCE = 25_000;
/** How long a stream may take to open, again and again. */
const OPENS = 10_000;
/** How soon everything is asked for once the stream broke. */
const SOON = 3_000;
/** How soon a stream that was refused is tried again. */
const AGAIN = 5_000;
/** So many tabs of one browser have a stream at once; the others ask every few seconds. */
const STREAMS = 4;

/** The route whose body a topic is. @param {Topic} topic */
export function route(topic) {
  switch (topic) {
    case "funnel":
      return `/v1/funnel?window=${read().window}`;
    case "leases":
      return "/v1/leases?state=open";
    default:
      return `/v1/${topic}`;
  }
}

/** @type {Topic[]} */
const ALL = ["overview", "streams", "funnel", "orders", "leases", "inventory", "deadlines", "stuck", "maintenance"];

/** @type {EventSource | null} */
let source = null;
/** Lets go of the place among the browser's streams. */
let leave = () => {};
/** Whether a place is being asked for. */
let entering = false;
/** When the stream spoke last, when it was tried last, and since when it is not open. */
let heard = 0;
let opened = 0;
let shut = 0;
let polled = 0;
let hidden = 0;

const isOpen = () => source?.readyState === EventSource.OPEN;

const isHidden = () => document.visibilityState === "hidden";

/** @returns {Topic[]} */
const mine = () => (read().session && !isHidden() ? ALL : ["overview"]);

/** Asks for one topic now. @param {Topic} topic */
export async function refresh(topic) {
  try {
    learned(topic, await ask("GET", route(topic), { patience: PATIENCE }));
    return true;
  } catch (error) {
    if (error instanceof Refused && error.status === 401 && topic !== "overview") logOut();
    else failed(topic, error instanceof Error ? error.message : String(error));
    return false;
  }
}

async function refreshAll() {
  const answers = await Promise.all(mine().map(refresh));
  if (!isOpen()) change({ link: answers.some(Boolean) ? "polling" : "lost" });
}

function logOut() {
  close();
  forget();
}

function close() {
  source?.close();
  source = null;
  leave();
  leave = () => {};
  noLonger();
}

/** The stream does not speak any more: what it said held until it spoke last. */
function noLonger() {
  if (read().link !== "stream") return;
  confirm(heard);
  change({ link: "polling", missing: [] });
}

/** Takes one of the browser's places for streams. @returns {Promise<(() => void) | null>} how to leave it; nothing when all are taken */
async function enter() {
  // Locks are there on loopback and over TLS only.
  if (!navigator.locks) return () => {};
  for (let place = 0; place < STREAMS; place += 1) {
    /** @type {(() => void) | null} */
    const left = await new Promise((taken) => {
      void navigator.locks.request(`lessor-stream-${place}`, { ifAvailable: true }, (lock) => {
        if (!lock) return taken(null);
        return new Promise((leave) => taken(() => leave(undefined)));
      });
    });
    if (left) return left;
  }
  return null;
}

async function open() {
  close();
  if (!read().session || isHidden() || entering) return;
  opened = Date.now();
  entering = true;
  const place = await enter();
  entering = false;
  if (!place) return;
  if (!read().session || source) return place();
  leave = place;
  listen(new EventSource("/v1/stream"));
}

/** @param {EventSource} stream */
function listen(stream) {
  source = stream;
  shut = Date.now();
  stream.onopen = () => {
    heard = now();
    change({ link: "stream", missing: [] });
  };
  stream.onerror = () => {
    // It tries again by itself, and fails again while nobody answers.
    if (read().link !== "stream") return;
    shut = Date.now();
    noLonger();
    polled = Date.now() - POLL + SOON;
  };
  for (const topic of ALL) {
    stream.addEventListener(topic, (event) => {
      heard = now();
      const body = JSON.parse(event.data);
      // The stream tells of every window.
      if (topic !== "funnel" || body.window === read().window) learned(topic, body);
    });
  }
  stream.addEventListener("heartbeat", (event) => {
    heard = now();
    const { missing } = JSON.parse(event.data);
    // What is missing from now on was true until now; what is there again is true from now on.
    confirm(heard);
    change({ missing });
    confirm(heard);
  });
}

/** Looks after the stream. */
function watch() {
  const time = Date.now();
  hidden = isHidden() ? hidden || time : 0;
  if (hidden && time - hidden > HIDDEN) {
    if (source) close();
    return;
  }
  if (!read().session || time - opened < AGAIN) return;
  const silent = isOpen() && now() - heard > SILENCE;
  const stays = source?.readyState === EventSource.CONNECTING && time - shut > OPENS;
  if (!source || source.readyState === EventSource.CLOSED || silent || stays) void open();
}

function tick() {
  watch();
  if (isOpen() && read().session) return;
  if (Date.now() - polled < (isHidden() ? HIDDEN_POLL : POLL)) return;
  polled = Date.now();
  void refreshAll();
}

/** Begins; and begins anew when somebody logged in or out. */
export function start() {
  polled = Date.now();
  void refreshAll();
  void open();
}

/** Who looks again wants to see what is, at once. */
function looked() {
  if (!isHidden() && !source) {
    opened = 0;
    polled = 0;
  }
  tick();
}

setInterval(tick, 1000);
document.addEventListener("visibilitychange", looked);
addEventListener("online", looked);
