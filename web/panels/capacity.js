// What the cluster can hold, node by node: leased, reserved, free; and what is left out, with the reason.

import { html } from "../vendor/htm/standalone.module.js";
import { bytes, cores, count, orderName, short } from "../format.js";
import { Figure, Mark, Moment, Panel, Table } from "../parts.js";
import { useNow, useStore } from "../state.js";

/** @typedef {import("../state.js").Schemas["InventoryView"]} Inventory */
/** @typedef {import("../state.js").Schemas["QuantityView"]} Quantity */

const PATH = "/v1/inventory";

/** How much is free of how much, and how the rest is taken. @param {{ of: Quantity, write: (value: number) => string, name: string }} props */
function Share({ of, write, name }) {
  const { allocatable, allocated, reserved, free } = of;
  /** @param {number} part */
  const share = (part) => (allocatable ? Math.min(100, (100 * part) / allocatable) : 0);
  const text = `${name}: ${write(allocated)} leased, ${write(reserved)} reserved, ${write(free)} free of ${write(allocatable)}`;
  if (!allocatable) return html`<span class="faint">none</span>`;
  return html`<div class="share" title=${text}>
    <span class="share-text"><${Figure} path=${PATH} title=${text}>${write(free)}<//> <span class="faint">free of <${Figure} path=${PATH} title=${text}>${write(allocatable)}<//></span></span>
    ${allocated + reserved > allocatable && html`<${Mark} kind="bad" title=${text}>more promised than there is<//>`}
    <span class="bar" role="img" aria-label=${text}>
      <span class="bar-leased" style=${`inline-size:${share(allocated)}%`}></span>
      <span class="bar-reserved" style=${`inline-size:${share(reserved)}%`}></span>
    </span>
  </div>`;
}

/** @param {Inventory["nodes"][number]} node */
function nodeRow(node) {
  const cells = [
    html`<span class="mono">${node.name}</span>
      ${node.excluded
        ? html`<span class="under"><${Mark} kind="bad">excluded<//></span><span class="under why">${node.excluded}</span>`
        : html`<span class="under"><${Mark} kind="good">takes orders<//></span>`}`,
    html`<${Share} name="CPU" of=${node.cpu_milli} write=${cores} />`,
    html`<${Share} name="Memory" of=${node.memory_bytes} write=${bytes} />`,
    html`<${Share} name="Ephemeral storage" of=${node.ephemeral_bytes} write=${bytes} />`,
    node.gpus.length
      ? node.gpus.map(
          (gpu) => html`<div class="gpu">
            <span class="under">${gpu.vendor} ${gpu.model}${gpu.ram ? ` ${gpu.ram}` : ""}</span>
            <${Share} name=${`${gpu.vendor} ${gpu.model}`} of=${gpu.units} write=${count} />
          </div>`,
        )
      : html`<span class="faint">none</span>`,
    html`<span class="why">${node.storage_classes.join(", ") || html`<span class="faint">none</span>`}</span>`,
  ];
  return { key: node.name, cells };
}

/** What a reservation keeps. @param {Inventory["reservations"][number]} held */
function amounts(held) {
  const parts = [`${cores(held.cpu_milli)} CPU`, bytes(held.memory_bytes), `${bytes(held.ephemeral_bytes)} ephemeral`];
  if (held.gpu_units) parts.push(`${count(held.gpu_units)} GPU`);
  for (const [name, size] of Object.entries(held.storage)) parts.push(`${bytes(size)} ${name}`);
  return parts.join(" · ");
}

/** @param {Inventory["reservations"][number]} held */
function reservationRow(held) {
  const { owner, numbers } = orderName(held.order);
  const cells = [
    html`<a href=${`#order=${held.order}`} class="mono" aria-label=${`Decision on order ${held.order}`}>${numbers}</a>
      <span class="mono faint under" title=${owner}>${short(owner)}</span>`,
    html`<${Mark} kind=${held.leased ? "good" : "wait"}>${held.leased ? "leased" : "reserved"}<//>`,
    html`<${Figure} path=${PATH}>${amounts(held)}<//>`,
    Object.entries(held.replicas).map(([node, replicas]) => html`<span class="block"><${Figure} path=${PATH}>${count(replicas)}<//> × <span class="mono">${node}</span></span>`),
    held.leased ? html`<span class="faint">while the lease runs</span>` : html`<${Moment} at=${held.look_at} />`,
  ];
  return { key: held.order, cells };
}

/** GPUs of the nodes that take orders, by model. @param {Inventory["nodes"]} nodes */
function models(nodes) {
  /** @type {Map<string, Quantity>} */
  const sums = new Map();
  for (const { vendor, model, ram, units } of nodes.filter((node) => !node.excluded).flatMap((node) => node.gpus)) {
    const name = [vendor, model, ram].filter(Boolean).join(" ");
    const sum = sums.get(name) ?? { allocatable: 0, allocated: 0, reserved: 0, free: 0 };
    for (const part of /** @type {(keyof Quantity)[]} */ (Object.keys(sum))) sum[part] += units[part];
    sums.set(name, sum);
  }
  return [...sums];
}

/** @param {{ inventory: Inventory }} props */
const Pools = ({ inventory: { nodes, storage, ips } }) =>
  html`<div class="pools">
    ${models(nodes).map(
      ([name, units]) => html`<div class="pool">
        <span class="pool-name">GPU <span class="mono">${name}</span></span>
        <${Share} name=${`GPU ${name}`} of=${units} write=${count} />
      </div>`,
    )}
    ${storage.map(
      ({ class: name, bytes: size }) => html`<div class="pool">
        <span class="pool-name">storage <span class="mono">${name}</span></span>
        <${Share} name=${`Storage ${name}`} of=${size} write=${bytes} />
      </div>`,
    )}
    <div class="pool"><span class="pool-name">leased addresses</span><${Share} name="Addresses" of=${ips} write=${count} /></div>
  </div>`;

/** @param {{ inventory: Inventory }} props */
function Excluded({ inventory: { excluded, nodes } }) {
  const all = [
    ...nodes.filter((node) => node.excluded).map((node) => ({ name: node.name, reason: node.excluded })),
    ...excluded,
  ];
  return html`<div class="sub-head"><h3>Excluded, and why</h3></div>
    ${all.length
      ? html`<ul class="rows excluded">
          ${all.map(({ name, reason }) => html`<li><${Mark} kind="off"><span class="mono">${name}</span><//> <span>${reason}</span></li>`)}
        </ul>`
      : html`<p class="nothing">Nothing is left out.</p>`}`;
}

const NODE_COLUMNS = ["Node", "CPU, cores", "Memory", "Ephemeral", "GPUs", "Volumes"];
const RESERVATION_COLUMNS = ["Order", "State", "Kept", "Where", "Looked at again"];
/** Placing an order asks the cluster when this is older; for reading, minutes do. */
const OLD = 10 * 60_000;

/** @param {{ at: string | undefined }} props */
function Observed({ at }) {
  const now = useNow();
  const old = !at || now - Date.parse(at) > OLD;
  return html`<span class="observed">${old && html`<${Mark} kind="warn">old<//> `}observed <${Moment} at=${at} /></span>`;
}

export function Capacity() {
  const { topics } = useStore();
  const inventory = topics.inventory.data;
  return html`<${Panel} id="capacity" title="Capacity" topic="inventory" path=${PATH}
    tools=${inventory && html`<${Observed} at=${inventory.observed_at} />`}>
    ${inventory &&
    html`
      <p class="legend" aria-hidden="true">
        <span class="key key-leased"></span> leased <span class="key key-reserved"></span> reserved <span class="key key-free"></span> free
      </p>
      ${inventory.nodes.length
        ? html`<${Table} label="Nodes" columns=${NODE_COLUMNS} rows=${inventory.nodes.map(nodeRow)} />`
        : html`<p class="nothing">The cluster was not asked yet, or has no node.</p>`}
      <${Pools} inventory=${inventory} />
      <div class="sub-head"><h3>Reservations</h3></div>
      ${inventory.reservations.length
        ? html`<${Table} label="Reservations" columns=${RESERVATION_COLUMNS} rows=${inventory.reservations.map(reservationRow)} />`
        : html`<p class="nothing">Nothing is kept for an order.</p>`}
      <${Excluded} inventory=${inventory} />
    `}
  <//>`;
}
