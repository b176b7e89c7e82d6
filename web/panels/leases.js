// Leases that run: are they ready, what do they pay, how long does the money last, where are they reached.

import { html, useState } from "../vendor/htm/standalone.module.js";
import { orderPath } from "../api.js";
import { count, duration, orderName, short, words } from "../format.js";
import { CopyCurl, Figure, Mark, Moment, Panel, Price, Table } from "../parts.js";
import { useStore } from "../state.js";

/** @typedef {import("../state.js").Schemas["LeaseView"]} Lease */

const PATH = "/v1/leases";

/** @type {Record<string, import("../parts.js").Kind>} */
const SHAPE = {
  awaiting_manifest: "wait", applying: "wait", running: "good", refused: "bad", close_wanted: "warn",
  tearing_down: "wait", gone: "off",
};

/** @param {Lease} lease */
const ended = (lease) => lease.state === "closed";

/** @param {{ lease: Lease, path: string }} props */
function Ready({ lease, path }) {
  const ready = lease.services.filter((service) => service.is_ready).length;
  const total = lease.services.length;
  if (!total) return html`<span class="faint">nothing yet</span>`;
  return html`<${Mark} kind=${lease.ready ? "good" : "warn"}>
    <${Figure} path=${`${path}/services`}>${ready}<//> of ${total} ready
  <//>`;
}

/** @param {{ lease: Lease }} props */
const Services = ({ lease }) =>
  html`<ul class="services">
    ${lease.services.map(
      (service) => html`<li>
        <${Mark} kind=${service.is_ready ? "good" : "warn"}>
          <span class="mono">${service.name}</span> ${count(service.ready)}/${count(service.total)}
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
    ${lease.state !== "active" && html`<span class="under"><${Mark} kind=${ended(lease) ? "off" : "warn"}>${words(lease.state)}<//></span>`}
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
    html`<${Figure} path=${path}>${count(lease.created_at)}<//>`,
    html`<${Services} lease=${lease} />`,
    html`<a class="quiet" href=${`#order=${order}`} aria-label=${`why: the decision on order ${order}`}>why</a><${CopyCurl} path=${path} />`,
  ];
  return { key: lease.id, cells };
}

/** @type {import("../parts.js").Column[]} */
const COLUMNS = [
  "Lease", "State", "Services", { name: "Price a block", kind: "number" }, "Runway", { name: "Since block", kind: "number" },
  "Reached at", { name: "More", kind: "tools" },
];

export function Leases() {
  const { topics } = useStore();
  const [all, setAll] = useState(false);
  const items = topics.leases.data?.items ?? [];
  const live = items.filter((lease) => !ended(lease));
  const shown = all ? items : live;
  const past = items.length - live.length;
  return html`<${Panel} id="leases" title="Leases" topic="leases" path=${PATH}
    tools=${past > 0 && html`<button type="button" class="quiet" aria-pressed=${all} onClick=${() => setAll(!all)}>${all ? "Hide" : "Show"} ${count(past)} ended</button>`}>
    ${shown.length
      ? html`<${Table} label="Leases" columns=${COLUMNS} rows=${shown.map(row)} />`
      : html`<p class="nothing">No lease runs.</p>`}
  <//>`;
}
