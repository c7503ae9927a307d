// Tasks: found by id, name, argument, state, queue or worker. What is asked for stands in the address.
import {
  Ago, Badge, Empty, Head, Search, Table, Told, exact, href, html, query as written, refine, span, useLive,
} from "../lib.js";

export const STATES = {
  running: { word: "running", tone: "accent" },
  waiting: { word: "to be retried", tone: "warn" },
  succeeded: { word: "done", tone: "good" },
  parked: { word: "failed", tone: "grave" },
  cancelled: { word: "cancelled", tone: "" },
  expired: { word: "expired", tone: "" },
  dropped: { word: "dropped", tone: "grave" },
};

export const StateBadge = ({ state }) => html`<${Badge} tone=${STATES[state]?.tone ?? ""}>${STATES[state]?.word ?? state}</${Badge}>`;

export const taskHref = (row) => href(["tasks", row.id], { vhost: row.vhost === "/" ? "" : row.vhost });

const columns = [
  { key: "state", label: "State", render: (row) => html`<${StateBadge} state=${row.state} />` },
  { key: "task", label: "Task", wide: true, render: (row) => html`<a class="row name" href=${taskHref(row)}>${row.task || "message"}</a>` },
  { key: "id", label: "Id", hide: "phone", render: (row) => html`<span class="ident" title=${row.id}>${row.id}</span>` },
  { key: "argument", label: "Arguments", hide: "narrow", render: (row) => row.argument && html`<code class="argument" title=${row.argument}>${row.argument}</code>` },
  { key: "queue", label: "Queue", hide: "narrow", render: (row) => html`<a class="short" title=${row.queue} href=${href(["queues", row.vhost, row.queue])}>${row.queue}</a>` },
  { key: "attempts", label: "Attempts", num: true, hide: "phone", render: (row) => exact(row.attempts ?? 1) },
  { key: "took", label: "Ran for", num: true, hide: "phone", render: (row) => (row.took_s === null || row.took_s === undefined ? html`<span class="faint">–</span>` : span(row.took_s)) },
  { key: "changed", label: "Heard of", num: true, render: (row) => html`<${Ago} at=${row.changed} />` },
];

export function Tasks({ query }) {
  const asked = { q: query.q, state: query.state, queue: query.queue, worker: query.worker, before: query.before };
  const told = useLive(`tasks?${written(asked)}`);
  const narrowed = Object.values(asked).some(Boolean);
  return html`
    <${Head} title="Tasks">
      <${Search} label="Id, name or argument" value=${query.q} onValue=${(q) => refine({ q, before: "" })} />
      <select aria-label="State" value=${query.state ?? ""} onChange=${(event) => refine({ state: event.target.value, before: "" })}>
        <option value="">In any state</option>${Object.entries(STATES).map(([state, { word }]) => html`<option value=${state}>${word}</option>`)}
      </select>
    </${Head}>
    ${(query.queue || query.worker) && html`<p class="chips">
      ${query.queue && html`<${Chip} label="Queue" value=${query.queue} onClose=${() => refine({ queue: "", before: "" })} />`}
      ${query.worker && html`<${Chip} label="Worker" value=${query.worker} onClose=${() => refine({ worker: "", before: "" })} />`}
    </p>`}
    <${Told} of=${told}>${(list) => html`
      ${!list.kept && html`<p class="note">No history is kept here: these tasks run just now.</p>`}
      <${Table} label="Tasks, the latest first" columns=${columns} rows=${list.items} rowKey=${(row) => `${row.vhost}/${row.id}`} empty=${nothing(query, narrowed)} />
      ${(list.more || query.before) && html`
        <nav class="pager" aria-label="Pages">
          ${query.before && html`<a class="button small" href=${href(["tasks"], { ...asked, before: "" })}>Newest</a>`}
          ${list.more && html`<a class="button small" href=${href(["tasks"], { ...asked, before: list.items.at(-1).changed })}>Older</a>`}
        </nav>`}
    `}</${Told}>`;
}

const Chip = ({ label, value, onClose }) => html`<span class="chip">${label} <b class="name">${value}</b><button type="button" class="link" aria-label="Show every ${label.toLowerCase()}" onClick=${onClose}>×</button></span>`;

function nothing(query, narrowed) {
  if (query.q) {
    return html`<${Empty} title="No task that was heard of fits">
      What waits in a queue and was never begun is not remembered here. If <b class="name">${query.q}</b> is an id: <a href=${href(["tasks", query.q.trim()])}>look for it in the queues</a></${Empty}>`;
  }
  if (narrowed) return html`<${Empty} title="No task fits"><button class="link" onClick=${() => refine({ q: "", state: "", queue: "", worker: "", before: "" })}>Show all</button></${Empty}>`;
  return html`<${Empty} title="No tasks yet">A task appears when a worker begins it.</${Empty}>`;
}
