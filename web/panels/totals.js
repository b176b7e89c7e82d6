// What anyone may see: coarse freshness and totals.

import { html } from "../vendor/htm/standalone.module.js";
import { count } from "../format.js";
import { Figure, Mark, Moment, Panel } from "../parts.js";
import { useStore } from "../state.js";

const PATH = "/v1/overview";

/** @param {{ name: string, children?: import("../parts.js").Content }} props */
const Fact = ({ name, children }) => html`<div><dt>${name}</dt><dd>${children}</dd></div>`;

/** @param {{ name: string, value: number | null | undefined }} props */
const Sum = ({ name, value }) =>
  html`<${Fact} name=${name}><${Figure} path=${PATH}>${typeof value === "number" ? count(value) : "–"}<//><//>`;

/** @param {{ of: import("../state.js").Schemas["FreshnessView"] }} props */
function Streams({ of: { streams, deaf, gaps } }) {
  if (!streams) return html`<${Mark} kind="bad">none is set<//>`;
  if (deaf) return html`<${Mark} kind="bad"><${Figure} path=${PATH}>${count(deaf)}<//> of ${count(streams)} deaf<//>`;
  if (gaps) return html`<${Mark} kind="warn"><${Figure} path=${PATH}>${count(gaps)}<//> of ${count(streams)} with gaps<//>`;
  return html`<${Mark} kind="good"><${Figure} path=${PATH}>${count(streams)}<//> heard<//>`;
}

export function Totals() {
  const { topics } = useStore();
  const { data } = topics.overview;
  return html`<${Panel} id="totals" title="At a glance" topic="overview" path=${PATH} open=${true}>
    ${data &&
    html`<dl class="facts">
      <${Sum} name="Leases active" value=${data.totals.leases_active} />
      <${Sum} name="Orders seen, 24 h" value=${data.totals.orders_24h} />
      <${Sum} name="Bids on chain, 24 h" value=${data.totals.bids_24h} />
      <${Sum} name="Leases won, 24 h" value=${data.totals.leases_24h} />
      <${Sum} name="Newest block" value=${data.freshness.height} />
      <${Fact} name="Its time"><span class="plain"><${Moment} at=${data.freshness.block_time} /></span><//>
      <${Fact} name="Event streams"><span class="plain"><${Streams} of=${data.freshness} /></span><//>
    </dl>`}
  <//>`;
}
