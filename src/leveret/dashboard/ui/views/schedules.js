// Schedules: what programs send by themselves, when next, and what came of the last times.
import {
  Act, Ago, Badge, Empty, Head, Icon, Panel, Table, Told, at, href, html, post, span, tell, useEffect, useNow, useOnce, when,
} from "../lib.js";
import { useMe } from "../me.js";

const AGAIN_MS = 5000;

export function Schedules() {
  const told = useOnce("schedules");
  const me = useMe();
  useEffect(() => {
    const timer = setInterval(told.again, AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  return html`
    <${Head} title="Schedules" />
    <${Told} of=${told} again=${told.again}>${({ items }) => (items.length ? programs(items).map(({ key, rows }) => html`
      <${Panel} key=${key} id=${key} title=${rows[0].program} flush aside=${rows[0].served ? (rows[0].vhost === "/" ? "" : rows[0].vhost) : html`<${Badge} tone="grave">nobody serves it</${Badge}>`}>
        <${Table} label="Schedules of ${rows[0].program}" rows=${rows} rowKey=${(row) => row.name} columns=${columns(me.may_write, told.again)} />
      </${Panel}>`) : html`<${Empty} title="No schedules">A program says what it sends by itself: <code>@work.schedule("0 3 * * *")</code>. It shows here once a worker of it runs.</${Empty}>`)}</${Told}>`;
}

function programs(items) {
  const found = new Map();
  for (const row of items) {
    const key = `${row.vhost}/${row.program}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(row);
  }
  return [...found].map(([, rows], number) => ({ key: `program-${number}`, rows }));
}

const columns = (mayWrite, again) => [
  { key: "name", label: "Schedule", wide: true, render: (row) => html`<span class="when-words name">${row.name}</span>${row.paused && html` <${Badge} tone="warn">paused</${Badge}>`}<div class="when-rule">${row.task} in <a class="name" href=${href(["queues", row.vhost, row.queue])}>${row.queue}</a></div>` },
  { key: "when", label: "When", wide: true, render: (row) => html`${row.cron ? row.words : `Every ${span(row.every_s)}`}${row.cron && html`<div class="when-rule"><code>${row.cron}</code></div>`}` },
  { key: "next", label: "Next", render: (row) => html`<${Next} row=${row} />` },
  { key: "last", label: "Sent before", hide: "phone", render: (row) => html`<${Last} row=${row} />` },
  ...(mayWrite ? [{ key: "acts", label: html`<span class="unseen">What can be done</span>`, num: true, render: (row) => html`<${Acts} row=${row} again=${again} />` }] : []),
];

function Next({ row }) {
  const now = useNow();
  const coming = row.next.filter((due) => due > now);
  if (row.paused) return html`<span class="faint">not while it is paused</span>`;
  if (!coming.length) return html`<span class="faint">–</span>`;
  return html`
    <details class="nexts"><summary>in ${span(Math.ceil(coming[0] - now))}</summary>
      <ol class="times" aria-label="The next times">${coming.map((due) => html`<li>${when(due)}</li>`)}</ol>
    </details>`;
}

function Last({ row }) {
  if (!row.last.length) return html`<span class="faint">not yet</span>`;
  const link = (ran) => html`<a href=${href(["tasks", ran.id], { vhost: row.vhost === "/" ? "" : row.vhost })}><${Ago} at=${ran.at} /></a>${ran.due === null || ran.due === undefined ? html` <span class="faint">by hand</span>` : ""}`;
  return html`
    <span class="last">${link(row.last[0])}</span>
    ${row.last.length > 1 && html`
      <details class="nexts"><summary>Before</summary>
        <ol class="times" aria-label="The times before">${row.last.slice(1).map((ran) => html`<li>${link(ran)}</li>`)}</ol>
      </details>`}`;
}

function Acts({ row, again }) {
  const path = at("schedules", row.vhost, row.program, row.name);
  const wrong = (error) => tell(error.message, "grave");
  const run = async () => { const { id } = await post(`${path}/run`); tell(`${row.name} was sent: ${id}`); again(); };
  const turn = async () => { await post(`${path}/${row.paused ? "resume" : "pause"}`); tell(row.paused ? `${row.name} goes on` : `${row.name} is paused`); again(); };
  return html`<span class="row-acts">
    <${Act} kind="small" label="Run now: ${row.name}" disabled=${!row.served} onError=${wrong} act=${run}>Run now</${Act}>
    <${Act} kind="small" label="${row.paused ? "Resume" : "Pause"} ${row.name}" onError=${wrong} act=${turn}><${Icon} name=${row.paused ? "play" : "pause"} />${row.paused ? "Resume" : "Pause"}</${Act}>
  </span>`;
}
