// Pausing: what is to stop, and why. The reason is what everyone who looks at the page reads.

import { html, useState } from "../vendor/htm/standalone.module.js";
import { Dialog, useWork } from "../parts.js";
import { maintain } from "../session.js";
import { change } from "../state.js";

/** @type {["paused" | "maintenance", string, string][]} */
const CHOICES = [
  ["paused", "Pause", "No new bids. Leases, manifests and their workloads go on."],
  ["maintenance", "Maintenance", "The same, shown to tenants as work that is planned."],
];

export function Maintain() {
  const [state, setState] = useState(CHOICES[0][0]);
  const [reason, setReason] = useState("");
  const work = useWork(() => maintain(state, reason.trim()));
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void work.run();
  };
  return html`<${Dialog} label="Pause bidding" onClose=${() => change({ dialog: null })}>
    <form onSubmit=${submit}>
      <h2>Pause bidding</h2>
      <fieldset>
        <legend class="hidden">What to show</legend>
        ${CHOICES.map(
          ([value, name, text]) => html`<label class="choice">
            <input type="radio" name="state" value=${value} checked=${state === value} onChange=${() => setState(value)} />
            <span><strong>${name}</strong><span class="faint">${text}</span></span>
          </label>`,
        )}
      </fieldset>
      <label for="reason">Reason</label>
      <input id="reason" name="reason" required maxlength="256" autocomplete="off" autofocus value=${reason}
        placeholder="New disks in node 3"
        onInput=${(/** @type {{ target: HTMLInputElement }} */ event) => setReason(event.target.value)} />
      ${work.problem && html`<p class="problem" role="alert">${work.problem}</p>`}
      <div class="dialog-actions">
        <button type="button" onClick=${() => change({ dialog: null })}>Cancel</button>
        <button type="submit" class="main" disabled=${work.busy}>Stop bidding</button>
      </div>
    </form>
  <//>`;
}
