// Event freshness: how far each indexer's stream is behind the chain, what is missing, and how to get it.

import { html, useState } from "../vendor/htm/standalone.module.js";
import { count } from "../format.js";
import { Dialog, Figure, Mark, Moment, Panel, Table, useWork } from "../parts.js";
import { backfill } from "../session.js";
import { useStore } from "../state.js";

/** @typedef {import("../state.js").Schemas["StreamView"]} Stream */

/** @type {Record<string, import("../parts.js").Kind>} */
const SHAPE = { live: "good", behind: "warn", node_silent: "warn", halted: "hold", deaf: "bad" };

/** The newest blocks that are read again where nothing is missing. */
const AGAIN = 100;

/** What a backfill is offered for: what is missing, or else the newest blocks. @param {Stream} stream */
function offered({ gaps, cursor }) {
  if (gaps.length) return { from: gaps[0].from, to: gaps[0].to };
  const to = cursor?.height ?? 1;
  return { from: Math.max(1, to - AGAIN + 1), to };
}

/** @param {{ stream: Stream, close: () => void }} props */
function Backfill({ stream, close }) {
  const [range, set] = useState(offered(stream));
  const work = useWork(async () => {
    await backfill(stream.name, range);
    close();
  });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void work.run();
  };
  /** @param {"from" | "to"} end @param {string} name */
  const field = (end, name) => html`<div>
    <label for=${end}>${name}</label>
    <input id=${end} name=${end} type="number" min="1" required value=${range[end]}
      onInput=${(/** @type {{ target: HTMLInputElement }} */ event) => set({ ...range, [end]: event.target.valueAsNumber })} />
  </div>`;
  return html`<${Dialog} label=${`Backfill ${stream.name}`} onClose=${close}>
    <form onSubmit=${submit}>
      <h2>Backfill <span class="mono">${stream.name}</span></h2>
      <p class="faint">
        ${stream.gaps.length ? "These blocks are missing." : "Nothing is missing; these blocks are read once more."}${" "}
        Events that are known already change nothing.
      </p>
      <div class="pair">${field("from", "From block")}${field("to", "To block")}</div>
      ${work.problem && html`<p class="problem" role="alert">${work.problem}</p>`}
      <div class="dialog-actions">
        <button type="button" onClick=${close}>Cancel</button>
        <button type="submit" class="main" disabled=${work.busy}>Backfill</button>
      </div>
    </form>
  <//>`;
}

/** @param {{ stream: Stream }} props */
function Gaps({ stream }) {
  const [asking, ask] = useState(false);
  const { gaps, backfill: wanted } = stream;
  return html`<div class="gaps">
    ${gaps.map((gap) => html`<${Mark} kind="warn">${count(gap.from)} – ${count(gap.to)} missing<//>`)}
    ${wanted && html`<${Mark} kind="wait">${count(wanted.from)} – ${count(wanted.to)} wanted<//>`}
    ${!gaps.length && !wanted && html`<span class="faint">none</span>`}
    <button type="button" class="small" onClick=${() => ask(true)} aria-label=${`Backfill ${stream.name}`}>Backfill</button>
    ${asking && html`<${Backfill} stream=${stream} close=${() => ask(false)} />`}
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
