// JSON as a tree that opens and closes. Text only ever becomes text.
import { html } from "../vendor/preact-htm.js";

const DEEP = 3;
const MANY = 200;

export function Tree({ value, name, depth = 0 }) {
  const label = name !== undefined && html`<span class="tree-key">${name}</span><span class="faint">: </span>`;
  if (value === null || typeof value !== "object") return html`<div class="tree-leaf">${label}<${Leaf} value=${value} /></div>`;
  const entries = Array.isArray(value) ? value.map((one, place) => [place, one]) : Object.entries(value);
  const brackets = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (!entries.length) return html`<div class="tree-leaf">${label}<span class="faint">${brackets.join("")}</span></div>`;
  return html`
    <details class="tree" open=${depth < DEEP && entries.length <= 20}>
      <summary>${label}<span class="faint">${brackets[0]} ${entries.length} ${brackets[1]}</span></summary>
      <div class="tree-inside">
        ${entries.slice(0, MANY).map(([key, one]) => html`<${Tree} key=${key} name=${key} value=${one} depth=${depth + 1} />`)}
        ${entries.length > MANY && html`<div class="faint">and ${entries.length - MANY} more</div>`}
      </div>
    </details>`;
}

function Leaf({ value }) {
  if (typeof value === "string") return html`<span class="tree-text">"${value}"</span>`;
  return html`<span class="tree-value">${String(value)}</span>`;
}

/** A payload as it came: a tree if it is JSON, else its text. */
export function Payload({ text, encoding }) {
  if (encoding === "base64") return html`<pre class="payload">${text}</pre><p class="hint">Octets that are no text, in base64.</p>`;
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return text ? html`<pre class="payload">${text}</pre>` : html`<p class="faint">The message is empty.</p>`;
  }
  return html`<div class="payload"><${Tree} value=${value} /></div>`;
}
