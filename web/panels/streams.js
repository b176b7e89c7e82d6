// Event freshness: how far each indexer's stream is behind the chain, what is missing, and how to get it.

import { html, useState } from "../vendor/htm/standalone.module.js";
import { count, short } from "../format.js";
import { Dialog, Figure, Mark, Moment, More, Panel, Table, useWork } from "../parts.js";
import { backfill, decideRewind, tryNow } from "../session.js";
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

/** @param {{ of: { from: number, to: number }, path: string }} props */
const Blocks = ({ of, path }) =>
  html`<span><${Figure} path=${path}>${count(of.from)}<//> – <${Figure} path=${path}>${count(of.to)}<//></span>`;

/** @param {{ stream: Stream, path: string }} props */
function Gaps({ stream, path }) {
  const [asking, ask] = useState(false);
  const { gaps, backfill: wanted } = stream;
  return html`<div class="gaps">
    ${gaps.map((gap) => html`<${Mark} kind="warn"><${Blocks} of=${gap} path=${path} /> missing<//>`)}
    ${wanted && html`<${Mark} kind="wait"><${Blocks} of=${wanted} path=${path} /> wanted<//>`}
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
      ${counts.conflicts > 0 && html`<span class="under"><${Mark} kind="warn"><${Figure} path=${path}>${count(counts.conflicts)}<//> conflicts<//></span>`}`,
    html`<${Gaps} stream=${stream} path=${path} />`,
  ];
  return { key: stream.name, cells };
}

/** @param {string} name */
const number = (name) => ({ name, kind: /** @type {const} */ ("number") });
const COLUMNS = [
  "Stream", "State", number("Applied"), number("Node's tip"), number("Indexer's tip"), number("Lag"), "Heard", "Heartbeat",
  number("Events"), "Gaps",
];

/** An indexer wants back more than it may take by itself. @param {{ stream: Stream, path: string }} props */
function Rewind({ stream, path }) {
  const accept = useWork(() => decideRewind(stream.name, true));
  const refuse = useWork(() => decideRewind(stream.name, false));
  const to = stream.rewind_waits;
  if (!to) return null;
  const problem = accept.problem || refuse.problem;
  const busy = accept.busy || refuse.busy;
  return html`<li>
    <${Mark} kind="warn"><span class="mono">${stream.name}</span> wants to go back<//>
    <span>to block <${Figure} path=${path} title=${to.hash}>${count(to.height)}<//>; what it sent above would be unverified, and compared with the chain.</span>
    <button type="button" class="small" disabled=${busy} onClick=${accept.run}>Let it go back</button>
    <button type="button" class="small" disabled=${busy} onClick=${refuse.run}>Turn it down</button>
    ${problem && html`<span class="problem" role="alert">${problem}</span>`}
  </li>`;
}

/** What is wrong between a stream and our node. @param {Stream} stream */
function trouble(stream) {
  const path = `/v1/streams/${encodeURIComponent(stream.name)}`;
  const { disagreement: other, above_tip: above } = stream;
  return [
    stream.rewind_waits && html`<${Rewind} key=${`${stream.name} rewind`} stream=${stream} path=${path} />`,
    other &&
      html`<li key=${`${stream.name} disagrees`}>
        <${Mark} kind="bad"><span class="mono">${stream.name}</span> has another block than our node<//>
        <span>at <${Figure} path=${path} title=${`the stream: ${other.stream.hash}; our node: ${other.node_hash}`}>${count(other.stream.height)}<//>, since <${Moment} at=${other.since} />; no lease is ended until they agree.</span>
      </li>`,
    typeof above === "number" &&
      html`<li key=${`${stream.name} above`}>
        <${Mark} kind="warn"><span class="mono">${stream.name}</span> claims block <${Figure} path=${path}>${count(above)}<//><//>
        <span>which our node is far below; it moves nothing.</span>
      </li>`,
  ].filter(Boolean);
}

/** @param {{ one: import("../state.js").Schemas["StuckView"] }} props */
function Stuck({ one }) {
  const work = useWork(() => tryNow(one.subject));
  return html`<li>
    <${Mark} kind="warn"><span class="mono" title=${one.subject}>${one.subject.split("/").map(short).join("/")}</span><//>
    <span><${Figure} path=${STUCK}>${count(one.failures)}<//> steps came to nothing${one.last_error ? `: ${one.last_error}` : ""}</span>
    ${one.retry_at && html`<span class="faint">again <${Moment} at=${one.retry_at} /></span>`}
    <button type="button" class="small" disabled=${work.busy} onClick=${work.run} aria-label=${`Try ${one.subject} now`}>Try now</button>
    ${work.problem && html`<span class="problem" role="alert">${work.problem}</span>`}
  </li>`;
}

const STUCK = "/v1/stuck";

/** So much of what is stuck is listed. */
const FEW = 5;

/** What does not get on, which other systems call dead letters. */
function StuckList() {
  const { topics } = useStore();
  const { items = [], total } = topics.stuck.data ?? {};
  if (!items.length) return null;
  const shown = items.slice(0, FEW);
  return html`<div class="sub-head"><h3>Stuck</h3><a class="quiet" href=${STUCK} title=${`GET ${STUCK}`}>API</a></div>
    <ul class="rows stuck">${shown.map((one) => html`<${Stuck} key=${one.subject} one=${one} />`)}</ul>
    <${More} shown=${shown.length} total=${total} path=${STUCK} />`;
}

export function Streams() {
  const { topics } = useStore();
  const items = topics.streams.data?.items ?? [];
  const troubles = items.flatMap(trouble);
  return html`<${Panel} id="streams" title="Event freshness" topic="streams" path="/v1/streams">
    ${items.length
      ? html`<${Table} label="Streams" columns=${COLUMNS} rows=${items.map(row)} />`
      : html`<p class="nothing">No stream is set: no event can arrive. Name one under <code>[streams]</code>.</p>`}
    ${troubles.length > 0 && html`<ul class="rows troubles">${troubles}</ul>`}
    <${StuckList} />
  <//>`;
}
