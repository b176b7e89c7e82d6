// Logging in: the token goes to the gateway once.

import { html, useState } from "../vendor/htm/standalone.module.js";
import { Dialog, useWork } from "../parts.js";
import { logIn } from "../session.js";
import { change } from "../state.js";

export function Login() {
  const [token, set] = useState("");
  const work = useWork(() => logIn(token.trim()));
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void work.run();
  };
  return html`<${Dialog} label="Log in" onClose=${() => change({ dialog: null })}>
    <form onSubmit=${submit}>
      <h2>Log in</h2>
      <label for="token">Operator's token</label>
      <input id="token" name="token" type="password" autocomplete="current-password" required autofocus
        aria-describedby="token-help" value=${token}
        onInput=${(/** @type {{ target: HTMLInputElement }} */ event) => set(event.target.value)} />
      <p id="token-help" class="faint">
        From the file that <code>admin.token_file</code> names; <code>lessor dev</code> prints it. It is sent once and not
        kept here.
      </p>
      ${work.problem && html`<p class="problem" role="alert">${work.problem}</p>`}
      <div class="dialog-actions">
        <button type="button" onClick=${() => change({ dialog: null })}>Cancel</button>
        <button type="submit" class="main" disabled=${work.busy}>Log in</button>
      </div>
    </form>
  <//>`;
}
