// What is looked at when block time passes a moment, soonest first.

import { html } from "../vendor/htm/standalone.module.js";
import { short, words } from "../format.js";
import { Moment, Panel, Table } from "../parts.js";
import { useStore } from "../state.js";

/** `bid/1/1`: what it is about, and which of the subject's things. @param {string} name */
function about(name) {
  const [what, ...rest] = name.split("/");
  return { what: words(what), which: rest.join("/") };
}

/** A subject with its address shortened. @param {string} subject */
const subject = (subject) => subject.split("/").map(short).join("/");

/** @param {import("../state.js").Schemas["DeadlineView"]} deadline */
function row(deadline) {
  const { what, which } = about(deadline.name);
  const cells = [
    html`${what} <span class="mono faint" title=${which}>${subject(which)}</span>`,
    html`<span class="mono" title=${deadline.subject}>${subject(deadline.subject)}</span>`,
    html`<${Moment} at=${deadline.due} />`,
  ];
  return { key: `${deadline.subject} ${deadline.name}`, cells };
}

export function Deadlines() {
  const { topics } = useStore();
  const items = topics.deadlines.data?.items ?? [];
  return html`<${Panel} id="deadlines" title="Deadlines" topic="deadlines" path="/v1/deadlines">
    ${items.length
      ? html`<${Table} label="Deadlines" columns=${["What", "Of", "Due, in block time"]} rows=${items.map(row)} />`
      : html`<p class="nothing">Nothing is waited for.</p>`}
  <//>`;
}
