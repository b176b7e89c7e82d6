// What is looked at when block time passes a moment, soonest first.

import { html } from "../vendor/htm/standalone.module.js";
import { short, words } from "../format.js";
import { Figure, Moment, More, Panel, Table } from "../parts.js";
import { useStore } from "../state.js";

/** `bid/1/1`: what it is about, and which of the subject's things. @param {string} name */
function about(name) {
  const [what, ...rest] = name.split("/");
  return { what: words(what), which: rest.join("/") };
}

/** A subject with its address shortened. @param {string} subject */
const subject = (subject) => subject.split("/").map(short).join("/");

const PATH = "/v1/deadlines";

/** The call that shows what a deadline is of. @param {string} subject */
function behind(subject) {
  const [kind, ...rest] = subject.split("/");
  if (kind === "deployment") return `/v1/orders?owner=${encodeURIComponent(rest[0])}`;
  return kind === "stream" ? `/v1/streams/${encodeURIComponent(rest.join("/"))}` : PATH;
}

/** @param {import("../state.js").Schemas["DeadlineView"]} deadline */
function row(deadline) {
  const { what, which } = about(deadline.name);
  const cells = [
    html`${what} <span class="mono faint"><${Figure} path=${PATH} title=${which}>${subject(which)}<//></span>`,
    html`<span class="mono"><${Figure} path=${behind(deadline.subject)} title=${deadline.subject}>${subject(deadline.subject)}<//></span>`,
    html`<${Figure} path=${PATH}><${Moment} at=${deadline.due} /><//>`,
  ];
  return { key: `${deadline.subject} ${deadline.name}`, cells };
}

export function Deadlines() {
  const { topics } = useStore();
  const { items = [], total } = topics.deadlines.data ?? {};
  return html`<${Panel} id="deadlines" title="Deadlines" topic="deadlines" path=${PATH}>
    ${items.length
      ? html`<${Table} label="Deadlines" columns=${["What", "Of", "Due, in block time"]} rows=${items.map(row)} />`
      : html`<p class="nothing">Nothing is waited for.</p>`}
    <${More} shown=${items.length} total=${total} path=${PATH} />
  <//>`;
}
