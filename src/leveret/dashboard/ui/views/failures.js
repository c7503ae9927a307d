// Failures: where dead letters are, and what fails how often.
import { Ago, Badge, Empty, Head, Panel, Spark, Table, Told, count, exact, href, html, useLive } from "../lib.js";

const deadHref = (row) => href(["failures", row.vhost, row.queue]);

export const ErrorText = ({ exception, error }) => html`<span class="error" title=${`${exception}: ${error}`}>${exception ? html`<b>${exception}</b>${error && `: ${error}`}` : error || html`<span class="faint">no error is told</span>`}</span>`;

export function Failures() {
  const told = useLive("failures");
  return html`
    <${Head} title="Failures" />
    <${Told} of=${told}>${(value) => html`
      <${Panel} id="dead" title="Dead letters" flush aside="given up; kept until somebody decides">
        <${Table} label="Queues with dead letters" rows=${value.queues} rowKey=${(row) => `${row.vhost}/${row.queue}`}
          columns=${queueColumns(new Set(value.queues.map((row) => row.vhost)).size > 1)}
          empty=${html`<${Empty} title="Nothing was given up">A task that fails for good is kept here with its traceback.</${Empty}>`} />
      </${Panel}>
      ${value.kept && html`
        <${Panel} id="trends" title="Failed attempts of the last 24 hours" flush aside="tried again or not">
          <${Table} label="What failed how often" rows=${value.trends} rowKey=${(row) => JSON.stringify([row.vhost, row.queue, row.task, row.exception])} columns=${trendColumns}
            empty=${html`<${Empty} title="No attempt failed">In the last 24 hours.</${Empty}>`} />
        </${Panel}>`}
    `}</${Told}>`;
}

const queueColumns = (several) => [
  { key: "queue", label: "Queue", wide: true, render: (row) => html`<a class="row name" href=${deadHref(row)}>${row.queue}</a>${several && html` <span class="faint">${row.vhost}</span>`}` },
  { key: "dead", label: "Dead letters", num: true, render: (row) => count(row.dead) },
];

const trendColumns = [
  { key: "task", label: "Task", render: (row) => html`<a class="row name" href=${href(["tasks"], { q: row.task, queue: row.queue })}>${row.task || "message"}</a>` },
  { key: "error", label: "Error", wide: true, render: (row) => html`<${ErrorText} exception=${row.exception} error=${row.error} />` },
  { key: "queue", label: "Queue", hide: "narrow", render: (row) => html`<a class="short" title=${row.queue} href=${deadHref(row)}>${row.queue}</a>` },
  { key: "trend", label: "24 hours", hide: "phone", render: (row) => html`<${Spark} values=${row.counts} label="between ${exact(Math.min(...row.counts))} and ${exact(Math.max(...row.counts))} an hour" />` },
  { key: "count", label: "Failed", num: true, render: (row) => count(row.count) },
  { key: "last", label: "Last", num: true, render: (row) => html`<${Ago} at=${row.last} />` },
];

export const ReasonBadge = ({ reason }) => html`<${Badge} tone=${reason === "attempts" ? "" : "warn"}>${reason || "no reason"}</${Badge}>`;
