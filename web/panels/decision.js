// One decision, laid out for reading: the answer, what would change it, every check, the place, the price.

import { html, useEffect, useState } from "../vendor/htm/standalone.module.js";
import { ask, orderPath } from "../api.js";
import { amount, count, orderName, sentence, words } from "../format.js";
import { CopyCurl, Dialog, Mark, Moment, Shape } from "../parts.js";
import { change } from "../state.js";

/** @typedef {import("../state.js").Schemas["DecisionView"]} DecisionBody */

const close = () => {
  history.replaceState(null, "", location.pathname);
  change({ order: null });
};

/** @param {{ decision: DecisionBody }} props */
function Answer({ decision }) {
  const { outcome, price, reason, order_price: most } = decision;
  const bid = outcome === "bid";
  return html`<div class=${`answer answer-${bid ? "good" : "off"}`}>
    <p class="answer-word"><${Shape} kind=${bid ? "good" : "bad"} />${bid ? "Bid" : `No bid: ${words(reason ?? "no reason")}`}</p>
    <p>
      ${price && html`<strong>${amount(price.amount)}</strong> ${price.denom} per block`}
      ${price && most && " · "}${most && html`${price ? "the" : "The"} tenant pays at most ${amount(most.amount)} ${most.denom}`}
    </p>
    ${decision.hints.length > 0 &&
    html`<h3>What would change it</h3>
      <ul class="hints">
        ${decision.hints.map((hint) => html`<li>${hint}</li>`)}
      </ul>`}
  </div>`;
}

/** @param {{ stage: DecisionBody["stages"][number] }} props */
function Stage({ stage }) {
  // What failed is what one came for.
  const checks = [...stage.checks].sort((a, b) => Number(a.passed) - Number(b.passed));
  const passed = checks.filter((check) => check.passed).length;
  return html`<details class="checks" open=${!stage.passed}>
    <summary>
      <${Mark} kind=${stage.passed ? "good" : "bad"}>${sentence(stage.name)}<//>
      <span class="faint">${passed} of ${checks.length} checks passed</span>
    </summary>
    <dl>
      ${checks.map(
        (check) => html`<div class=${check.passed ? "check" : "check check-failed"}>
          <dt><${Mark} kind=${check.passed ? "good" : "bad"} title=${check.passed ? "passed" : "failed"}>${words(check.name)}<//></dt>
          <dd><span class="label">needed</span> ${check.needed}</dd>
          <dd><span class="label">there</span> ${check.there}</dd>
        </div>`,
      )}
    </dl>
  </details>`;
}

/** @param {{ decision: DecisionBody }} props */
function Place({ decision: { placement = [], shortage } }) {
  if (shortage) {
    return html`<h3>No place</h3>
      <p>${shortage.summary}</p>
      <ul class="rows">
        ${shortage.nodes.map(
          ({ node, reasons }) => html`<li><span class="mono">${node}</span> <span>${reasons.join("; ")}</span></li>`,
        )}
      </ul>`;
  }
  if (!placement.length) return null;
  return html`<h3>Place</h3>
    <ul class="rows">
      ${placement.map(
        ({ node, unit, count: replicas, gpu }) => html`<li>
          <span class="mono">${node}</span>
          <span>${count(replicas)} × unit ${unit}${gpu ? ` with ${gpu}` : ""}</span>
        </li>`,
      )}
    </ul>`;
}

/** @param {{ decision: DecisionBody }} props */
function Price({ decision: { price_lines: lines = [], price } }) {
  if (!lines.length) return null;
  return html`<h3>Price a block</h3>
    <table class="price">
      <thead>
        <tr><th scope="col">What</th><th scope="col">Quantity</th><th scope="col">Each</th><th scope="col">Sum</th></tr>
      </thead>
      <tbody>
        ${lines.map(
          (line) => html`<tr>
            <th scope="row">${line.what}</th>
            <td class="number">${line.quantity} <span class="unit">${line.unit}</span></td>
            <td class="number">${line.unit_price}</td>
            <td class="number">${line.sum}</td>
          </tr>`,
        )}
      </tbody>
      ${price &&
      html`<tfoot>
        <tr><th scope="row" colspan="3">Bid</th><td class="number">${price.amount} <span class="unit">${price.denom}</span></td></tr>
      </tfoot>`}
    </table>`;
}

/** @param {{ order: string }} props */
export function Decision({ order }) {
  const path = `/v1/orders/${orderPath(order)}/decision`;
  const [decision, set] = useState(/** @type {DecisionBody | null} */ (null));
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const gone = new AbortController();
    ask("GET", path, { signal: gone.signal }).then(
      (body) => set(/** @type {DecisionBody} */ (body)),
      (error) => gone.signal.aborted || setProblem(error.message),
    );
    return () => gone.abort();
  }, [path]);
  const { owner, numbers } = orderName(order);
  return html`<${Dialog} label=${`Decision on order ${order}`} wide onClose=${close}>
    <header class="decision-head">
      <div>
        <h2>Order <span class="mono">${numbers}</span></h2>
        <p class="mono faint owner">${owner}</p>
      </div>
      <span class="panel-tools">
        <a class="quiet" href=${path} title=${`GET ${path}`}>API</a>
        <${CopyCurl} path=${path} />
        <button type="button" autofocus onClick=${close}>Close</button>
      </span>
    </header>
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    ${decision &&
    html`<${Answer} decision=${decision} />
      <h3>Checks</h3>
      ${decision.stages.map((stage) => html`<${Stage} key=${stage.name} stage=${stage} />`)}
      <${Place} decision=${decision} />
      <${Price} decision=${decision} />
      <p class="faint foot">
        Decided at block ${count(decision.at.height)}, <${Moment} at=${decision.at.time} />, with version ${decision.policy_version} of the policy.
      </p>`}
  <//>`;
}
