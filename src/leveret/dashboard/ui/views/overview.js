// How is it going, and what needs somebody first.
import { Chart, Empty, Head, Icon, Panel, RatesPanel, Slots, Stats, Table, Told, count, html, rate, useLive, useSeries } from "../lib.js";
import { columns } from "./queues.js";

export function Overview() {
  const told = useLive("overview");
  const now = told.value?.moment;
  const series = useSeries("total", now && { at: now.at, ready: now.ready, unacked: now.unacked, in: now.in_rate, out: now.out_rate });
  return html`
    <${Head} title="Overview" />
    <${Told} of=${told}>${(now) => html`
      ${now.trouble && html`<p class="wrong" role="alert">${now.trouble}</p>`}
      ${now.alarms.map((alarm) => html`<p class="banner" role="alert">Publishers are blocked: ${alarm.node} is short of ${alarm.kind === "disk" ? "disk space" : "memory"}.</p>`)}
      <${Stats} items=${[
        { label: "Ready", value: count(now.moment.ready) },
        { label: "Unacknowledged", value: count(now.moment.unacked), href: "#/unacked" },
        { label: "In", value: rate(now.moment.in_rate), note: "/s" },
        { label: "Out", value: rate(now.moment.out_rate), note: "/s" },
        { label: "Busy slots", value: html`<${Slots} busy=${now.busy} slots=${now.slots} />` },
        { label: "Failing", value: rate(now.failed_rate), note: "/s", tone: now.failed_rate > 0 ? "warn" : "" },
      ]} />
      <${Attention} signs=${now.attention} />
      <div class="two">
        <${Panel} id="depth" title="Messages waiting">
          <${Chart} title="Messages in all queues" at=${series.at} span_s=${120} lines=${[
            { label: "Ready", values: series.ready, colour: "--chart-1", area: true, format: count },
            { label: "Unacknowledged", values: series.unacked, colour: "--chart-2", format: count },
          ]} />
        </${Panel}>
        <${RatesPanel} series=${series} />
      </div>
      <${Panel} id="busiest" title="Busiest queues" flush aside=${html`<a href="#/queues">All ${now.queues} queues</a>`}>
        <${Table} label="Busiest queues" columns=${columns(false).map((column) => ({ ...column, sort: undefined }))} rows=${now.busiest} rowKey=${(row) => `${row.vhost}/${row.name}`}
          empty=${html`<${Empty} title=${now.sampled ? "No queues yet" : "Looking for queues…"}>A queue appears with the first worker that reads it, or the first task that is sent to it.</${Empty}>`} />
      </${Panel}>
    `}</${Told}>`;
}

const Attention = ({ signs }) => html`
  <${Panel} id="attention" title="Needs attention" flush>
    ${signs.length === 0
      ? html`<p class="calm"><${Icon} name="tasks" /> Nothing: every queue with messages has consumers, and nobody holds one for too long.</p>`
      : html`<ul class="signs">${signs.map((sign) => html`
          <li key=${`${sign.kind}/${sign.subject}`}><a href=${sign.href} class="sign ${sign.severity}">
            <span class="dot" aria-hidden="true"></span><span class="unseen">${sign.severity}: </span>
            <b class="name">${sign.subject}</b><span class="sign-text">${sign.text}</span><${Icon} name="right" />
          </a></li>`)}</ul>`}
  </${Panel}>`;
