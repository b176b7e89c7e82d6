// The page: the panels in the order in which an operator asks.

import { html, render, useEffect } from "./vendor/htm/standalone.module.js";
import { Capacity } from "./panels/capacity.js";
import { Deadlines } from "./panels/deadlines.js";
import { Decision } from "./panels/decision.js";
import { Funnel } from "./panels/funnel.js";
import { Leases } from "./panels/leases.js";
import { Login } from "./panels/login.js";
import { Maintain } from "./panels/maintain.js";
import { Streams } from "./panels/streams.js";
import { Totals } from "./panels/totals.js";
import { Verdict } from "./panels/verdict.js";
import { resume } from "./session.js";
import { change, useStore } from "./state.js";

/** The order in the address's fragment: a decision can be linked to. */
function readFragment() {
  const found = /^#order=([a-z0-9/]+)$/.exec(location.hash);
  change({ order: found ? found[1] : null });
}

function App() {
  const { session, order, dialog } = useStore();
  useEffect(() => {
    readFragment();
    addEventListener("hashchange", readFragment);
    void resume();
  }, []);
  return html`
    <${Verdict} />
    <main>
      ${session
        ? html`<${Streams} /><${Funnel} /><${Leases} /><${Capacity} /><${Deadlines} />`
        : html`<${Totals} />`}
    </main>
    ${session && order && html`<${Decision} order=${order} key=${order} />`}
    ${dialog === "login" && html`<${Login} />`} ${dialog === "pause" && html`<${Maintain} />`}
  `;
}

const root = document.getElementById("app");
if (root) render(html`<${App} />`, root);
