// The orders' way from seen to deployed, what fell out on it and why, and the newest of them.

import { html, useState } from "../vendor/htm/standalone.module.js";
import { count, orderName, short, words } from "../format.js";
import { Figure, Mark, Moment, Panel, Price, Table } from "../parts.js";
import { refresh } from "../live.js";
import { change, useStore } from "../state.js";

/** @typedef {import("../state.js").Schemas["FunnelView"]} FunnelBody */
/** @typedef {FunnelBody["stages"][number]["dropped"][number]} Drop */
/** @typedef {import("../state.js").Schemas["OrderView"]} Order */

/** @type {Record<string, string>} */
const NAMES = { sent: "bid sent", in_block: "bid in block" };

/** @type {Record<string, import("../parts.js").Kind>} */
const SHAPE = {
  seen: "wait", declined: "off", bidding: "wait", open: "good", won: "good", lost: "off", close_wanted: "wait", done: "off",
};

/** How many orders the list has before it is asked for more. */
const FEW = 8;

const WINDOWS = /** @type {const} */ (["1h", "24h"]);

function Windows() {
  const { window: chosen } = useStore();
  return html`<span class="segments" role="group" aria-label="Window">
    ${WINDOWS.map(
      (name) => html`<button type="button" aria-pressed=${chosen === name}
        onClick=${() => {
          change({ window: name });
          void refresh("funnel");
        }}>${name === "1h" ? "1 h" : "24 h"}</button>`,
    )}
  </span>`;
}

/** @param {{ stage: FunnelBody["stages"][number], most: number, path: string, pick: (drop: Drop) => void }} props */
function Stage({ stage, most, path, pick }) {
  const share = most ? Math.max(stage.orders ? 2 : 0, (100 * stage.orders) / most) : 0;
  return html`<li class="stage">
    <span class="stage-name">${NAMES[stage.stage] ?? stage.stage}</span>
    <span class="stage-count"><${Figure} path=${path}>${count(stage.orders)}<//></span>
    <span class="stage-bar" aria-hidden="true"><span style=${`inline-size:${share}%`}></span></span>
    <span class="stage-drops">
      ${stage.dropped.slice(0, 3).map(
        (drop) => html`<button type="button" class="drop" onClick=${() => pick(drop)}
          title=${`Show orders that stopped here: ${words(drop.reason)}`}>−${count(drop.orders)} ${words(drop.reason)}</button>`,
      )}
    </span>
  </li>`;
}

/** @param {Order} order */
function row(order) {
  const { owner, numbers } = orderName(order.id);
  const { decided } = order;
  const price = order.bid?.price ?? decided?.price;
  const path = `/v1/orders?owner=${encodeURIComponent(order.owner)}`;
  const cells = [
    html`<a href=${`#order=${order.id}`} class="mono" title=${order.id} aria-label=${`Decision on order ${order.id}`}>${numbers}</a>
      <span class="mono faint under" title=${owner}>${short(owner)}</span>`,
    html`<${Mark} kind=${SHAPE[order.phase] ?? "wait"}>${words(order.phase)}<//>`,
    html`<${Price} price=${price} path=${path} />`,
    html`<span class="why">${decided ? words(decided.reason ?? "all checks passed") : "not decided yet"}</span>`,
    html`<${Moment} at=${order.changed_at} />`,
  ];
  return { key: order.id, cells };
}

const COLUMNS = ["Order", "State", { name: "Price a block", kind: /** @type {const} */ ("number") }, "Why", "Changed"];

/** The newest orders, or those of them that stopped for one reason. @param {{ drop: Drop | null, clear: () => void }} props */
function Orders({ drop, clear }) {
  const { topics } = useStore();
  const [all, setAll] = useState(false);
  const items = topics.orders.data?.items ?? [];
  const chosen = drop
    ? items.filter((order) => drop.sample.includes(order.id) || order.decided?.reason === drop.reason)
    : items;
  const shown = all ? chosen : chosen.slice(0, FEW);
  return html`<div class="orders">
    <div class="sub-head">
      <h3>Newest orders</h3>
      ${drop && html`<button type="button" class="small" onClick=${clear} title="Show all orders">${words(drop.reason)} ✕</button>`}
    </div>
    ${shown.length
      ? html`<${Table} label="Orders" columns=${COLUMNS} rows=${shown.map(row)} />`
      : html`<p class="nothing">${drop ? "None of the newest." : "No order has been seen yet."}</p>`}
    ${chosen.length > FEW &&
    html`<button type="button" class="quiet more" onClick=${() => setAll(!all)}>
      ${all ? "Show fewer" : `Show all ${chosen.length}${topics.orders.data?.next ? " newest" : ""}`}
    </button>`}
  </div>`;
}

export function Funnel() {
  const { topics, window } = useStore();
  const [drop, pick] = useState(/** @type {Drop | null} */ (null));
  const path = `/v1/funnel?window=${window}`;
  const stages = topics.funnel.data?.stages ?? [];
  const most = Math.max(0, ...stages.map((stage) => stage.orders));
  return html`<${Panel} id="funnel" title="Orders funnel" topic="funnel" path=${path} tools=${html`<${Windows} />`}>
    <ol class="stages">
      ${stages.map((stage) => html`<${Stage} key=${stage.stage} stage=${stage} most=${most} path=${path} pick=${pick} />`)}
    </ol>
    <${Orders} drop=${drop} clear=${() => pick(null)} />
  <//>`;
}
