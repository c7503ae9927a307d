// The list of queues. Pages, order and filter are the server's work and stand in the address.
import {
  Badge, Empty, Head, Pager, Search, Slots, Spark, Table, Told, count, href, html, query as written, rate, refine, span, useLive,
} from "../lib.js";

export const queueHref = (row) => href(["queues", row.vhost, row.name]);

export const QueueLink = ({ row, vhosts }) => html`
  <a class="row name" href=${queueHref(row)}>${row.name}</a>${vhosts && html` <span class="faint">${row.vhost}</span>`}
  ${row.paused && html` <${Badge} tone="accent">paused</${Badge}>`}
  ${row.growing && html` <${Badge} tone="warn">growing</${Badge}>`}`;

export const columns = (vhosts) => [
  { key: "name", label: "Queue", sort: "name", wide: true, render: (row) => html`<${QueueLink} row=${row} vhosts=${vhosts} />` },
  { key: "ready", label: "Ready", sort: "ready", num: true, render: (row) => html`<span class=${row.ready && !row.consumers ? "grave" : ""}>${count(row.ready)}</span>` },
  { key: "unacked", label: "Unacked", sort: "unacked", num: true, render: (row) => count(row.unacked) },
  { key: "spark", label: "Last 90 s", hide: "narrow", render: (row) => html`<${Spark} values=${row.sparkline} label="between ${Math.min(...row.sparkline)} and ${Math.max(...row.sparkline)} messages" />` },
  { key: "in", label: "In/s", sort: "in_rate", num: true, hide: "phone", render: (row) => rate(row.in_rate) },
  { key: "out", label: "Out/s", sort: "out_rate", num: true, hide: "phone", render: (row) => rate(row.out_rate) },
  { key: "consumers", label: "Consumers", sort: "consumers", num: true, hide: "phone", render: (row) => count(row.consumers) },
  { key: "slots", label: "Busy", sort: "busy", hide: "narrow", render: (row) => html`<${Slots} busy=${row.busy} slots=${row.slots} />` },
  { key: "dead", label: "Failed", sort: "dead", num: true, hide: "narrow", render: (row) => (row.dead ? html`<a class="warn" href=${href(["failures", row.vhost, row.name])}>${count(row.dead)}</a>` : html`<span class="faint">0</span>`) },
  { key: "drain", label: "Empty in", sort: "drain_s", num: true, hide: "narrow", render: (row) => (row.ready ? (row.drain_s === null ? html`<span class="faint">never</span>` : span(row.drain_s)) : html`<span class="faint">–</span>`) },
];

export function Queues({ query }) {
  const asked = { name: query.name, vhost: query.vhost, own: query.own, sort: query.sort, sort_reverse: query.sort_reverse, page: query.page };
  const told = useLive(`queues?${written(asked)}`);
  const value = told.value;
  return html`
    <${Head} title="Queues">
      <${Search} label="Filter by name" value=${query.name} onValue=${(name) => refine({ name, page: "" })} />
      ${value?.vhosts.length > 1 && html`
        <select aria-label="Virtual host" onChange=${(event) => refine({ vhost: event.target.value, page: "" })}>
          <option value="">All virtual hosts</option>${value.vhosts.map((vhost) => html`<option value=${vhost} selected=${vhost === query.vhost}>${vhost}</option>`)}
        </select>`}
      <label class="tick"><input type="checkbox" checked=${query.own === "true"} onChange=${(event) => refine({ own: event.target.checked ? "true" : "", page: "" })} /> Leveret's own</label>
    </${Head}>
    <${Told} of=${told}>${(list) => html`
      ${list.trouble && html`<p class="wrong" role="alert">${list.trouble}</p>`}
      <${Table} label="Queues" columns=${columns(list.vhosts.length > 1)} rows=${list.items} rowKey=${(row) => `${row.vhost}/${row.name}`}
        order=${{ by: query.sort ?? "name", reverse: query.sort_reverse === "true" }}
        onOrder=${(sort, reverse) => refine({ sort, sort_reverse: reverse ? "true" : "", page: "" })}
        empty=${nothing(list, query)} />
      <${Pager} page=${list.page} pages=${list.page_count} filtered=${list.filtered} size=${list.page_size} what="queues" onPage=${(page) => refine({ page })} />
    `}</${Told}>`;
}

function nothing(list, query) {
  if (query.name || query.vhost) return html`<${Empty} title="No queue fits">None of ${list.all} queues has ${query.name ? html`<b class="name">${query.name}</b> in its name` : "that virtual host"}. <button class="link" onClick=${() => refine({ name: "", vhost: "", page: "" })}>Show all</button></${Empty}>`;
  if (!list.sampled) return html`<${Empty} title="Looking for queues…" />`;
  return html`<${Empty} title="No queues yet">A queue appears with the first worker that reads it, or the first task that is sent to it: <code>leveret worker app.py</code></${Empty}>`;
}
