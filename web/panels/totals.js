// What anyone may see: coarse freshness and totals.

import { html } from "../vendor/htm/standalone.module.js";
import { count, words } from "../format.js";
import { Figure, Panel } from "../parts.js";
import { useStore } from "../state.js";

const PATH = "/v1/overview";

/** Names and plain values of an answer's part, as they come. @param {object} part */
const entries = (part) =>
  Object.entries(part).filter(([, value]) => ["number", "string", "boolean"].includes(typeof value));

/** @param {{ part: object }} props */
const Facts = ({ part }) =>
  html`<dl class="facts">
    ${entries(part).map(
      ([name, value]) => html`<div>
        <dt>${words(name)}</dt>
        <dd><${Figure} path=${PATH}>${typeof value === "number" ? count(value) : String(value)}<//></dd>
      </div>`,
    )}
  </dl>`;

export function Totals() {
  const { topics } = useStore();
  const { data } = topics.overview;
  return html`<${Panel} id="totals" title="In public" topic="overview" path=${PATH}>
    ${data && html`<h3>Freshness</h3><${Facts} part=${data.freshness} /><h3>Totals</h3><${Facts} part=${data.totals} />`}
  <//>`;
}
