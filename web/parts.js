// What all panels are made of: the frame with its age, a number that leads to its call, a state with a shape.

import { html, useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";
import { curl } from "./api.js";
import { amount, count, duration, relative, utc } from "./format.js";
import { useNow, useStore } from "./state.js";

/** @typedef {import("./vendor/htm/standalone.module.js").Content} Content */

/** Older than this without a stream, a panel is stale. */
const STALE = 15_000;

/** Copies the call as a line for a terminal. @param {{ path: string, open?: boolean }} props */
export function CopyCurl({ path, open }) {
  const [done, set] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => set(false), 2000);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async () => {
    await copyText(curl(path, open));
    set(true);
  };
  const label = done ? `copied: ${path} as a curl command` : `Copy ${path} as a curl command`;
  return html`<button type="button" class="quiet" onClick=${copy} aria-label=${label} title=${label}>
    ${done ? "copied" : "curl"}
  </button>`;
}

/** @param {string} text */
async function copyText(text) {
  // The clipboard is there on loopback and over TLS only.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  return undefined;
}

/**
 * One panel: its heading, the call behind it, and its age when that is too great.
 * @param {{ id: string, title: string, topic: import("./state.js").Topic, path: string, open?: boolean, tools?: Content, children?: Content }} props
 */
export function Panel({ id, title, topic, path, open, tools, children }) {
  const { topics, link, missing } = useStore();
  const now = useNow();
  const { data, at, problem } = topics[topic];
  const age = at === undefined ? 0 : now - at;
  const lost = link === "stream" && missing.includes(topic);
  const stale = data !== undefined && (lost || (link !== "stream" && age > STALE));
  const why = lost ? "the gateway cannot say more now" : problem;
  return html`<section class=${`panel panel-${id}`} aria-labelledby=${`${id}-title`} data-stale=${stale ? "yes" : "no"}>
    <header class="panel-head">
      <h2 id=${`${id}-title`}>${title}</h2>
      ${stale &&
      html`<span class="stale-age"><${Shape} kind="wait" /><span>${duration(age / 1000)} old${why ? `: ${why}` : ""}</span></span>`}
      <span class="panel-tools">
        ${tools}
        <a class="quiet" href=${path} title=${`GET ${path}`}>API</a>
        <${CopyCurl} path=${path} open=${open} />
      </span>
    </header>
    <div class="panel-body">
      ${data === undefined ? html`<p class="nothing">${lost ? why : (problem ?? "Asking …")}</p>` : children}
    </div>
  </section>`;
}

/**
 * A number, and the call that it comes from. The panel's own link leads there by keyboard.
 * @param {{ path: string, children?: Content, title?: string }} props
 */
export const Figure = ({ path, children, title }) =>
  html`<a class="figure" href=${path} title=${title ?? `GET ${path}`} tabindex="-1">${children}</a>`;

/** That a list has more than is shown. @param {{ shown: number, total: number | null | undefined, path: string }} props */
export const More = ({ shown, total, path }) =>
  typeof total === "number" && total > shown
    ? html`<p class="more-than"><${Mark} kind="warn"><${Figure} path=${path}>${count(shown)}<//> of <${Figure} path=${path}>${count(total)}<//><//> are shown.</p>`
    : null;

/** Money per block. @param {{ price: { amount: string, denom: string } | undefined, path: string }} props */
export const Price = ({ price, path }) =>
  price
    ? html`<${Figure} path=${path} title=${`${price.amount} ${price.denom} per block`}>${amount(price.amount)}<//>${" "}<span class="unit">${price.denom}</span>`
    : html`<span class="faint">–</span>`;

/** @param {{ at: string | null | undefined, none?: string }} props */
export function Moment({ at, none = "never" }) {
  const now = useNow();
  if (!at) return html`<span class="faint">${none}</span>`;
  const time = Date.parse(at);
  return html`<time dateTime=${at} title=${at}>
    <span class="relative">${relative(time, now)}</span>${" "}<span class="absolute">${utc(time, now)}</span>
  </time>`;
}

/** Shapes differ as colours do: nobody needs to see the colour. */
const SHAPES = {
  good: "M2 8.5 6.2 12.5 14 4",
  wait: "M8 4v4.5l3 2M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0",
  hold: "M5.5 3.5v9M10.5 3.5v9",
  warn: "M8 2.5 14.5 13.5h-13ZM8 7v3M8 11.7v.1",
  bad: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  work: "M8 1.8 14.2 8 8 14.2 1.8 8Z",
  off: "M3 8h10",
};

/** @typedef {keyof typeof SHAPES} Kind */

/** @param {{ kind: Kind }} props */
export const Shape = ({ kind }) =>
  html`<svg class="shape" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${SHAPES[kind]} /></svg>`;

/** @param {{ kind: Kind, children?: Content, title?: string }} props */
export const Mark = ({ kind, children, title }) =>
  html`<span class=${`mark mark-${kind}`} title=${title}><${Shape} kind=${kind} />${children}</span>`;

/** @typedef {string | { name: string, kind: "number" | "tools" }} Column */

/**
 * A table; in a narrow window each row is a card whose cells name themselves.
 * @param {{ label: string, columns: Column[], rows: { key: string, cells: Content[] }[] }} props
 */
export function Table({ label, columns, rows }) {
  const all = columns.map((column) => (typeof column === "string" ? { name: column, kind: "" } : column));
  return html`<table role="table" aria-label=${label}>
    <thead role="rowgroup">
      <tr role="row">
        ${all.map(({ name, kind }) => html`<th role="columnheader" scope="col" class=${kind}>
          ${kind === "tools" ? html`<span class="hidden">${name}</span>` : name}
        </th>`)}
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${rows.map(({ key, cells: [first, ...rest] }) => html`<tr role="row" key=${key}>
        <th role="rowheader" scope="row">${first}</th>
        ${rest.map((cell, at) => html`<td role="cell" class=${all[at + 1].kind} data-name=${all[at + 1].name}>
          <div>${cell}</div>
        </td>`)}
      </tr>`)}
    </tbody>
  </table>`;
}

/**
 * A dialog of the browser's own: it keeps the focus inside, Escape closes it, and the focus goes back.
 * @param {{ label: string, wide?: boolean, onClose: () => void, children?: Content }} props
 */
export function Dialog({ label, wide, onClose, children }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const back = document.activeElement;
    element.current?.showModal();
    const first = element.current?.querySelector("[autofocus]");
    if (first instanceof HTMLElement) first.focus();
    return () => {
      if (back instanceof HTMLElement) back.focus();
    };
  }, []);
  /** @param {MouseEvent} event */
  const outside = (event) => event.target === element.current && onClose();
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-label=${label} onClose=${onClose} onClick=${outside}>
    <div class="dialog-body">${children}</div>
  </dialog>`;
}

/** A form's button with what became of it. @param {() => Promise<unknown>} work */
export function useWork(work) {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    setProblem("");
    try {
      await work();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return { run, busy, problem };
}
