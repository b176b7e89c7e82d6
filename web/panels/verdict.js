// The verdict: how it stands, the one reason, what to do; and the hand on the switch.

import { html } from "../vendor/htm/standalone.module.js";
import { short, words } from "../format.js";
import { CopyCurl, Moment, Shape, useWork } from "../parts.js";
import { logOut, maintain } from "../session.js";
import { change, useStore } from "../state.js";

/** @type {Record<string, import("../parts.js").Kind>} */
const SHAPE = { bidding: "good", paused: "hold", deaf: "bad", degraded: "warn", maintenance: "work", no_answer: "bad" };

const LINK = { stream: "live", polling: "every 10 s", lost: "no answer" };

function Switch() {
  const { topics, session } = useStore();
  const verdict = topics.overview.data?.verdict;
  const work = useWork(() => maintain("bidding", "resumed on the dashboard"));
  // A window ends by itself.
  if (!session || !verdict || topics.overview.data?.reason === "maintenance_window") return null;
  const held = verdict === "paused" || verdict === "maintenance";
  return html`<div class="switch">
    ${held
      ? html`<button type="button" class="main" disabled=${work.busy} onClick=${work.run}>Resume bidding</button>`
      : html`<button type="button" onClick=${() => change({ dialog: "pause" })}>Pause bidding</button>`}
    ${work.problem && html`<span class="problem" role="alert">${work.problem}</span>`}
  </div>`;
}

/** The maintenance that is announced: the window that is, or the next one. */
function Announced() {
  const window = useStore().topics.overview.data?.windows[0];
  if (!window) return null;
  return html`<p class="verdict-action">
    Maintenance announced, <${Moment} at=${window.from} /> to <${Moment} at=${window.until} />: ${window.reason}
  </p>`;
}

function Visitor() {
  const { session, operator } = useStore();
  if (!operator) return null;
  if (session) return html`<button type="button" class="quiet" onClick=${() => void logOut()}>Log out</button>`;
  return html`<button type="button" class="quiet" onClick=${() => change({ dialog: "login" })}>Log in</button>`;
}

/** What the page itself can say when nobody answers. */
const LOST = {
  verdict: "no_answer",
  message: "The gateway does not answer. What is shown below is what was known last.",
  detail: "",
  action: "See whether the process runs. The page asks again by itself.",
};

/** What the server wrote into the page, until the first answer. */
const first = (() => {
  /** @param {string} name */
  const text = (name) => document.querySelector(`.verdict-${name}`)?.textContent ?? "";
  return { verdict: text("word"), message: text("message"), detail: text("detail"), action: text("action") };
})();

export function Verdict() {
  const { topics, link } = useStore();
  const { data } = topics.overview;
  const { verdict, message, detail, action } = link === "lost" ? LOST : (data ?? first);
  document.title = `${words(verdict)} – lessor`;
  return html`<header class="verdict" data-verdict=${verdict}>
    <div class="verdict-say">
      <div class="verdict-live" role="status" aria-live="polite" aria-atomic="true">
        <h1><${Shape} kind=${SHAPE[verdict] ?? "warn"} /><span class="verdict-word">${words(verdict)}</span></h1>
        <div class="verdict-why">
          <p class="verdict-message">${message}</p>
          ${detail && html`<p class="verdict-detail">${detail}</p>`}
          ${action && html`<p class="verdict-action">${action}</p>`}
          <${Announced} />
        </div>
      </div>
      <${Switch} />
    </div>
    <div class="verdict-meta">
      ${data &&
      html`<span>lessor ${data.version}</span><span>${data.chain_id ?? "no chain yet"}</span>
        <span class="mono" title=${data.provider}>${short(data.provider)}</span>`}
      <span class=${`link link-${link}`}>${LINK[link]}</span>
      <span class="verdict-tools">
        <a class="quiet" href="/v1/overview" title="GET /v1/overview">API</a>
        <${CopyCurl} path="/v1/overview" open=${true} />
        <a class="quiet" href="/docs">Docs</a>
        <${Visitor} />
      </span>
    </div>
  </header>`;
}
