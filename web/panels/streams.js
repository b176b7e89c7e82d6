// Event freshness: how far each indexer's stream is behind the chain, what is missing, and how to get it.

import { html } from "../vendor/htm/standalone.module.js";
import { count } from "../format.js";
import { Figure, Mark, Moment, Panel, Table, useWork } from "../parts.js";
import { backfill } from "../session.js";
import { useStore } from "../state.js";

/** @typedef {import("../state.js").Schemas["StreamView"]} Stream */

/** @type {Record<string, import("../parts.js").Kind>} */
const SHAPE = { live: "good", behind: "warn", halted: "hold", deaf: "bad" };

/** @param {{ stream: Stream }} props */
function Gaps({ stream }) {
  const work = useWork(() => backfill(stream.name));
  const { gaps } = stream;
  return html`<div class="gaps">
    ${gaps.length
      ? gaps.map((gap) => html`<${Mark} kind="warn">${count(gap.from)} – ${count(gap.to)} missing<//>`)
      : html`<span class="faint">none</span>`}
    <button type="button" class="small" disabled=${work.busy} onClick=${work.run}
      aria-label=${`Backfill ${stream.name}`} title="Read the missing blocks again">Backfill</button>
    ${work.problem && html`<span class="problem" role="alert">${work.problem}</span>`}
  </div>`;
}

/** @param {Stream} stream */
function row(stream) {
  const path = `/v1/streams/${encodeURIComponent(stream.name)}`;
  const { cursor, node_tip: node, indexer_tip: indexer, lag_blocks: lag, counts, deleted } = stream;
  const cells = [
    html`<a href=${path}>${stream.name}</a>`,
    html`<${Mark} kind=${deleted ? "off" : (SHAPE[stream.freshness] ?? "warn")}>${deleted ? "deleted" : stream.freshness}<//>`,
    html`<${Figure} path=${path} title=${cursor?.hash}>${cursor ? count(cursor.height) : "–"}<//>`,
    html`<${Figure} path=${path}>${node ? count(node.height) : "–"}<//>`,
    html`<${Figure} path=${path}>${indexer ? count(indexer.height) : "–"}<//>`,
    html`<${Figure} path=${path}>${lag ?? "–"}<//>`,
    html`<${Moment} at=${stream.heard_at} />`,
    html`<${Moment} at=${stream.heartbeat_at} />`,
    html`<${Figure} path=${path}>${count(counts.events)}<//>
      ${counts.conflicts > 0 && html`<span class="under"><${Mark} kind="warn">${counts.conflicts} conflicts<//></span>`}`,
    html`<${Gaps} stream=${stream} />`,
  ];
  return { key: stream.name, cells };
}

/** @param {string} name */
const number = (name) => ({ name, kind: /** @type {const} */ ("number") });
const COLUMNS = [
  "Stream", "State", number("Applied"), number("Node's tip"), number("Indexer's tip"), number("Lag"), "Heard", "Heartbeat",
  number("Events"), "Gaps",
];

export function Streams() {
  const { topics } = useStore();
  const items = topics.streams.data?.items ?? [];
  return html`<${Panel} id="streams" title="Event freshness" topic="streams" path="/v1/streams">
    ${items.length
      ? html`<${Table} label="Streams" columns=${COLUMNS} rows=${items.map(row)} />`
      : html`<p class="nothing">No stream is set: no event can arrive. Name one under <code>[streams]</code>.</p>`}
  <//>`;
}
