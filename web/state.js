// What the page knows, in one place, and who wants to hear when it changes.

import { useEffect, useState } from "./vendor/htm/standalone.module.js";
import { now } from "./api.js";

/** @typedef {import("./types/openapi").components["schemas"]} Schemas */

/**
 * The bodies that are kept up to date, by the name of their event.
 * @typedef {object} Topics
 * @property {Schemas["OverviewView"]} overview
 * @property {Schemas["Page_StreamView"]} streams
 * @property {Schemas["FunnelView"]} funnel
 * @property {Schemas["Page_OrderView"]} orders
 * @property {Schemas["Page_LeaseView"]} leases
 * @property {Schemas["InventoryView"]} inventory
 * @property {Schemas["Page_DeadlineView"]} deadlines
 * @property {Schemas["Page_StuckView"]} stuck
 * @property {Schemas["MaintenanceView"]} maintenance
 */

/** @typedef {keyof Topics} Topic */

/**
 * @template {Topic} T
 * @typedef {{ data?: Topics[T], at?: number, problem?: string }} Known `at`: when it was known to be so last
 */

/**
 * @typedef {object} State
 * @property {{ [T in Topic]: Known<T> }} topics
 * @property {"stream" | "polling" | "lost"} link how news comes in
 * @property {Topic[]} missing what the gateway cannot say now, though its stream goes on
 * @property {{ csrf: string, expires_at: string } | null} session
 * @property {boolean} operator whether this listener has the operator's routes
 * @property {number} pace seconds from block to block, as they came while the page looked; 0 until then
 * @property {"1h" | "24h"} window of the funnel
 * @property {string | null} order whose decision is open
 * @property {"login" | "pause" | null} dialog
 */

/** @returns {State["topics"]} */
const nothing = () => ({
  overview: {}, streams: {}, funnel: {}, orders: {}, leases: {}, inventory: {}, deadlines: {}, stuck: {}, maintenance: {},
});

/** @type {State} */
let state = {
  topics: nothing(),
  link: "polling",
  missing: [],
  session: null,
  operator: document.body.dataset.operator === "yes",
  pace: 0,
  window: "1h",
  order: null,
  dialog: null,
};

/** @type {Set<() => void>} */
const listeners = new Set();

export const read = () => state;

/** @param {Partial<State>} change */
export function change(change) {
  state = { ...state, ...change };
  for (const listener of listeners) listener();
}

/**
 * @template {Topic} T
 * @param {T} topic
 * @param {Known<T>} known
 */
function note(topic, known) {
  change({ topics: { ...state.topics, [topic]: known } });
}

/** @template {Topic} T @param {T} topic @param {Topics[T]} data */
export function learned(topic, data) {
  note(topic, { data, at: now() });
  if (topic === "overview") measure(/** @type {Topics["overview"]} */ (data).freshness);
}

/** The first block that the page was told of: @type {{ height: number, time: number } | null} */
let first = null;

/** Blocks that a pace needs. */
const ENOUGH = 3;

/** @param {Schemas["FreshnessView"]} freshness */
function measure({ height, block_time: at }) {
  if (typeof height !== "number" || !at) return;
  const time = Date.parse(at);
  first ??= { height, time };
  const blocks = height - first.height;
  if (blocks >= ENOUGH) change({ pace: (time - first.time) / 1000 / blocks });
}

/**
 * What the stream has said holds until `at`: it would have told of a change. Only what it cannot say grows old from before.
 * @param {number} at
 */
export function confirm(at) {
  const topics = { ...state.topics };
  for (const topic of /** @type {Topic[]} */ (Object.keys(topics))) {
    const known = topics[topic];
    if (known.at === undefined || known.at >= at || state.missing.includes(topic)) continue;
    Object.assign(topics, { [topic]: { ...known, at } });
  }
  change({ topics });
}

/** What was known stays, and grows old. @param {Topic} topic @param {string} problem */
export const failed = (topic, problem) => note(topic, { ...state.topics[topic], problem });

/** Everything that only the operator may know is forgotten. */
export function forget() {
  const { data, ...known } = state.topics.overview;
  change({
    topics: { ...nothing(), overview: { ...known, data: data && { ...data, detail: undefined } } },
    missing: [],
    session: null,
    order: null,
    dialog: null,
  });
}

export function useStore() {
  const [, again] = useState(0);
  useEffect(() => {
    let asked = false;
    const listener = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        again((turn) => turn + 1);
      });
    };
    listeners.add(listener);
    listener();
    return () => void listeners.delete(listener);
  }, []);
  return state;
}

/** The moment, once a second. */
export function useNow() {
  const [moment, set] = useState(now());
  useEffect(() => {
    const timer = setInterval(() => set(now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return moment;
}
