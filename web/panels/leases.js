// Leases that run: are they ready, what do they pay, how long does the money last, where are they reached.

import { html, useEffect, useState } from "../vendor/htm/standalone.module.js";
import { ask, orderPath } from "../api.js";
import { count, duration, orderName, relative, short, utc, words } from "../format.js";
import { CopyCurl, Figure, Mark, Moment, More, Panel, Price, Table, useWork } from "../parts.js";
import { agreeToTeardowns } from "../session.js";
import { useNow, useStore } from "../state.js";

/** @typedef {import("../state.js").Schemas["LeaseView"]} Lease */

const PATH = "/v1/leases?state=open";
const ENDED = "/v1/leases?state=closed&limit=20";

/** @type {Record<string, import("../parts.js").Kind>} */
const SHAPE = {
  awaiting_manifest: "wait", applying: "wait", running: "good", refused: "bad", close_wanted: "warn",
  stopping: "wait", quarantined: "hold", tearing_down: "wait", gone: "off",
};

/** @param {{ lease: Lease, path: string }} props */
function Ready({ lease, path }) {
  const ready = lease.services.filter((service) => service.is_ready).length;
  const total = lease.services.length;
  if (!total) return html`<span class="faint">nothing yet</span>`;
  return html`<${Mark} kind=${lease.ready ? "good" : "warn"}>
    <${Figure} path=${`${path}/services`}>${ready}<//> of <${Figure} path=${`${path}/services`}>${total}<//> ready
  <//>`;
}

/** @param {{ lease: Lease, path: string }} props */
const Services = ({ lease, path }) =>
  html`<ul class="services">
    ${lease.services.map(
      (service) => html`<li>
        <${Mark} kind=${service.is_ready ? "good" : "warn"}>
          <span class="mono">${service.name}</span> <${Figure} path=${`${path}/services`}>${count(service.ready)}/${count(service.total)}<//>
        <//>
        ${service.reason && html`<span class="why">${service.reason}</span>`}
        ${service.hostnames.map((name) => html`<span class="mono host">${name}</span>`)}
      </li>`,
    )}
    ${lease.forwarded_ports.map(
      (port) => html`<li>
        <span class="mono">${port.service}:${port.port}</span>
        <span class="mono host">${port.host}:${port.external_port} ${port.proto}</span>
      </li>`,
    )}
  </ul>`;

/** @param {{ lease: Lease }} props */
function Stand({ lease }) {
  const reason = lease.phase_reason ?? lease.close_reason;
  return html`
    <${Mark} kind=${SHAPE[lease.phase] ?? "wait"}>${words(lease.phase)}<//>
    ${lease.state !== "active" && html`<span class="under"><${Mark} kind=${lease.state === "closed" ? "off" : "warn"}>${words(lease.state)}<//></span>`}
    ${reason && html`<span class="under why">${reason}</span>`}
    ${lease.phase === "awaiting_manifest" && lease.manifest_until && html`<span class="under">until <${Moment} at=${lease.manifest_until} /></span>`}
  `;
}

/** Less than this is soon. */
const SOON = 86_400;

/** How long escrow pays. @param {{ lease: Lease, path: string }} props */
function Runway({ lease, path }) {
  const { topics, pace } = useStore();
  const tip = topics.overview.data?.freshness.height;
  const until = lease.funded_until;
  if (typeof until !== "number" || typeof tip !== "number") return html`<span class="faint">–</span>`;
  const blocks = Math.max(0, until - tip);
  const text = html`<${Figure} path=${path} title=${`escrow pays to block ${count(until)}`}>${count(blocks)}<//>${" "}<span class="unit">blocks</span>`;
  if (!pace) return text;
  const seconds = blocks * pace;
  return html`<span class="block">
      ${seconds < SOON ? html`<${Mark} kind="warn">≈ ${duration(seconds)}<//>` : html`≈ ${duration(seconds)}`}
    </span>
    <span class="under number">${text}</span>`;
}

/**
 * Since when it runs: told from its block and the pace of blocks, since the chain keeps no time of it.
 * @param {{ lease: Lease, path: string }} props
 */
function Age({ lease, path }) {
  const { topics, pace } = useStore();
  const now = useNow();
  const { height, block_time: time } = topics.overview.data?.freshness ?? {};
  const block = html`<${Figure} path=${path}>${count(lease.created_at)}<//>`;
  if (!pace || typeof height !== "number" || !time) return html`<span class="faint">block</span> ${block}`;
  const at = Date.parse(time) - Math.max(0, height - lease.created_at) * pace * 1000;
  const text = new Date(at).toISOString();
  return html`<time class="age" dateTime=${text} title=${text}>
      <span class="block">≈ ${relative(at, now)}</span><span class="under faint">${utc(at, now)}</span>
    </time>
    <span class="under faint">block ${block}</span>`;
}

/** @param {Lease} lease */
function row(lease) {
  const { numbers } = orderName(lease.id);
  const path = `/v1/leases/${orderPath(lease.id)}`;
  const order = lease.id.split("/").slice(0, 4).join("/");
  const cells = [
    html`<a href=${path} class="mono" title=${`GET ${path}`}>${numbers}</a>
      <span class="mono faint under" title=${lease.owner}>${short(lease.owner)}</span>`,
    html`<${Stand} lease=${lease} />`,
    html`<${Ready} lease=${lease} path=${path} />`,
    html`<${Price} price=${lease.price} path=${path} />`,
    html`<${Runway} lease=${lease} path=${path} />`,
    html`<${Age} lease=${lease} path=${path} />`,
    html`<${Services} lease=${lease} path=${path} />`,
    html`<a class="quiet" href=${`#order=${order}`} aria-label=${`why: the decision on order ${order}`}>why</a><${CopyCurl} path=${path} />`,
  ];
  return { key: lease.id, cells };
}

/** @type {import("../parts.js").Column[]} */
const COLUMNS = [
  "Lease", "State", "Services", { name: "Price a block", kind: "number" }, "Runway", "Since", "Reached at",
  { name: "More", kind: "tools" },
];

/** Shown while more workloads are to be removed than is likely. */
function Held() {
  const { topics } = useStore();
  const work = useWork(agreeToTeardowns);
  const held = topics.maintenance.data?.teardowns;
  if (!held?.held_since) return null;
  return html`<div class="held">
    <p>
      <${Mark} kind="warn">No workload is removed<//> since <${Moment} at=${held.held_since} />:${" "}
      <${Figure} path="/v1/maintenance">${count(held.decided)}<//> removals were decided within ten minutes.${" "}
      Look which leases are to end and why; then agree, or find out what closes them.
    </p>
    <button type="button" disabled=${work.busy} onClick=${work.run}>Agree to the teardowns</button>
    ${work.problem && html`<span class="problem" role="alert">${work.problem}</span>`}
  </div>`;
}

/** Those that ended last, read when somebody wants to see them. */
function Ended() {
  const [items, set] = useState(/** @type {Lease[] | null} */ (null));
  const work = useWork(async () => set((await ask("GET", ENDED)).items));
  useEffect(() => void work.run(), []);
  if (!items) return html`<p class="nothing">${work.problem || "Asking …"}</p>`;
  return html`<div class="sub-head"><h3>Ended last</h3><a class="quiet" href=${ENDED} title=${`GET ${ENDED}`}>API</a></div>
    ${items.length
      ? html`<${Table} label="Leases that ended" columns=${COLUMNS} rows=${items.map(row)} />`
      : html`<p class="nothing">None has ended.</p>`}`;
}

export function Leases() {
  const { topics } = useStore();
  const [all, setAll] = useState(false);
  const { items = [], total } = topics.leases.data ?? {};
  return html`<${Panel} id="leases" title="Leases" topic="leases" path=${PATH}
    tools=${html`<button type="button" class="quiet" aria-pressed=${all} onClick=${() => setAll(!all)}>${all ? "Hide ended" : "Show ended"}</button>`}>
    <${Held} />
    ${items.length
      ? html`<${Table} label="Leases" columns=${COLUMNS} rows=${items.map(row)} />`
      : html`<p class="nothing">No lease runs.</p>`}
    <${More} shown=${items.length} total=${total} path=${PATH} />
    ${all && html`<${Ended} />`}
  <//>`;
}
