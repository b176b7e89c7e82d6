// The orders' way from seen to deployed, what fell out on it and why, and the newest of them.

import { html, useState } from "../vendor/htm/standalone.module.js";
import { orderPath } from "../api.js";
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

/** A stage and a reason to stop before it. @typedef {{ stage: string, reason: string }} Picked */

/** @param {{ stage: FunnelBody["stages"][number], most: number, path: string, picked: Picked | null, pick: (picked: Picked | null) => void }} props */
function Stage({ stage, most, path, picked, pick }) {
  /** @param {Drop} drop */
  const isPicked = (drop) => picked?.stage === stage.stage && picked.reason === drop.reason;
  const share = most ? Math.max(stage.orders ? 2 : 0, (100 * stage.orders) / most) : 0;
  return html`<li class="stage">
    <span class="stage-name">${NAMES[stage.stage] ?? stage.stage}</span>
    <span class="stage-count"><${Figure} path=${path}>${count(stage.orders)}<//></span>
    <span class="stage-bar" aria-hidden="true"><span style=${`inline-size:${share}%`}></span></span>
    <span class="stage-drops">
      ${stage.dropped.slice(0, 3).map(
        (drop) => html`<button type="button" class="drop" aria-expanded=${isPicked(drop)} aria-controls="dropped"
          onClick=${() => pick(isPicked(drop) ? null : { stage: stage.stage, reason: drop.reason })}
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
  const path = decided ? `/v1/orders/${orderPath(order.id)}/decision` : `/v1/orders?owner=${encodeURIComponent(order.owner)}`;
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

/** The orders that one reason stopped: the newest of them, each with the way to its decision. @param {{ drop: Drop, path: string, clear: () => void }} props */
function Dropped({ drop, path, clear }) {
  const shown = drop.sample.length;
  return html`<div class="dropped" id="dropped">
    <div class="sub-head">
      <h3><${Figure} path=${path}>${count(drop.orders)}<//> stopped here: ${words(drop.reason)}</h3>
      <button type="button" class="small" onClick=${clear}>Close</button>
    </div>
    ${shown
      ? html`<p class="faint">${shown < drop.orders ? `The newest ${shown}; why, in each one's decision:` : "Why, in each one's decision:"}</p>
          <ul class="sample">
            ${drop.sample.map((id) => {
              const { owner, numbers } = orderName(id);
              return html`<li key=${id}>
                <a href=${`#order=${id}`} class="mono" aria-label=${`Decision on order ${id}`}>${numbers}</a>
                <span class="mono faint" title=${owner}>${short(owner)}</span>
              </li>`;
            })}
          </ul>`
      : html`<p class="faint">Reasons that are rarer than those that are listed. <a href="/v1/orders">/v1/orders</a> has all.</p>`}
  </div>`;
}

/** The newest orders. */
function Orders() {
  const { topics } = useStore();
  const [all, setAll] = useState(false);
  const items = topics.orders.data?.items ?? [];
  const shown = all ? items : items.slice(0, FEW);
  return html`<div class="orders">
    <div class="sub-head"><h3>Newest orders</h3></div>
    ${shown.length
      ? html`<${Table} label="Orders" columns=${COLUMNS} rows=${shown.map(row)} />`
      : html`<p class="nothing">No order has been seen yet.</p>`}
    ${items.length > FEW &&
    html`<button type="button" class="quiet more" onClick=${() => setAll(!all)}>
      ${all ? "Show fewer" : `Show all ${items.length}${topics.orders.data?.next ? " newest" : ""}`}
    </button>`}
  </div>`;
}

export function Funnel() {
  const { topics, window } = useStore();
  const [picked, pick] = useState(/** @type {Picked | null} */ (null));
  const path = `/v1/funnel?window=${window}`;
  const stages = topics.funnel.data?.stages ?? [];
  const most = Math.max(0, ...stages.map((stage) => stage.orders));
  const drop = stages
    .find((stage) => stage.stage === picked?.stage)
    ?.dropped.find((drop) => drop.reason === picked?.reason);
  return html`<${Panel} id="funnel" title="Orders funnel" topic="funnel" path=${path} tools=${html`<${Windows} />`}>
    <ol class="stages">
      ${stages.map((stage) => html`<${Stage} key=${stage.stage} stage=${stage} most=${most} path=${path} picked=${picked} pick=${pick} />`)}
    </ol>
    ${drop && html`<${Dropped} drop=${drop} path=${path} clear=${() => pick(null)} />`}
    <${Orders} />
  <//>`;
}
