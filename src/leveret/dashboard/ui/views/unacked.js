// Forgotten acknowledgements: every holder of messages, the suspicious ones first, and the end of its connection.
import {
  Ago, Badge, Confirm, Empty, Head, Panel, Search, Table, Told, at, bytes, count, exact, html, href, plural, post, refine, tell, useLive, useState,
} from "../lib.js";
import { useMe } from "../me.js";

export function Unacked({ query }) {
  const told = useLive("unacked");
  return html`
    <${Head} title="Unacknowledged" note="Messages that consumers took and have not acknowledged. They come back when the connection ends.">
      <${Search} label="Filter by queue, client or host" value=${query.queue} onValue=${(queue) => refine({ queue })} />
    </${Head}>
    <${Told} of=${told}>${(value) => html`<${Holders} value=${value} wanted=${query.queue ?? ""} />`}</${Told}>`;
}

const SHOWN = 5;

const fits = (one, text) => [one.queue, one.client, one.host, one.connection, one.consumer_tag].some((word) => word.toLowerCase().includes(text.toLowerCase()));

function Holders({ value, wanted }) {
  const shown = value.holders.filter((one) => fits(one, wanted));
  const suspicious = shown.filter((one) => one.suspicious);
  const others = shown.filter((one) => !one.suspicious);
  if (!value.total) return html`<${Panel}><${Empty} title="Nothing is unacknowledged">Whatever a consumer takes and does not acknowledge at once appears here, with who has it and for how long.</${Empty}></${Panel}>`;
  if (!shown.length) return html`<${Panel}><${Empty} title="Nobody fits">None of ${plural(value.all, "holder")} has “${wanted}” in queue, client or host. <button type="button" class="link" onClick=${() => refine({ queue: "" })}>Show all</button></${Empty}></${Panel}>`;
  return html`
    ${!value.exact && html`<p class="advice">This broker tells how many messages each channel holds, not which or for how long. Ages are since when a channel's acknowledgements have not become more while this page was looking.</p>`}
    ${suspicious.length > 0 && html`<h2 class="between grave">${plural(suspicious.length, "holder")} that may have forgotten</h2>`}
    ${suspicious.map((one) => html`<${Holder} key=${identity(one)} one=${one} exact=${value.exact} open />`)}
    ${others.length > 0 && html`<h2 class="between">${suspicious.length ? "All others" : "Who holds messages"}</h2>`}
    ${others.map((one) => html`<${Holder} key=${identity(one)} one=${one} exact=${value.exact} />`)}
    ${value.all > value.holders.length && html`<p class="muted">and ${value.all - value.holders.length} more</p>`}`;
}

const identity = (one) => `${one.connection}/${one.channel}/${one.consumer_tag}`;

function Holder({ one, exact: known, open }) {
  const me = useMe();
  const [closing, setClosing] = useState(false);
  const [shown, setShown] = useState(Boolean(open) && one.messages.length <= SHOWN);
  return html`
    <section class="panel holder ${one.suspicious ? "suspicious" : ""}" aria-label="${one.client || one.connection}, ${one.queue}">
      <div class="holder-head">
        <div class="holder-who">
          <b class="name">${one.client || one.consumer_tag || one.connection}</b>
          ${one.queue && html`<span class="muted">holds <b>${exact(one.held)}</b>${one.prefetch ? html` of ${exact(one.prefetch)}` : ""} from ${one.queue.includes(", ") ? html`<span class="name">${one.queue}</span>` : html`<a class="name" href=${href(["queues", one.vhost, one.queue])}>${one.queue}</a>`}</span>`}
          ${!one.queue && html`<span class="muted">holds <b>${exact(one.held)}</b> that it fetched one by one</span>`}
          ${one.full && html`<${Badge} tone="warn" title="It gets nothing new until it acknowledges">full</${Badge}>`}
        </div>
        ${one.why && html`<p class="suspicion">${one.why}.</p>`}
      </div>
      <div class="holder-acts">
        ${known && html`<button type="button" class="button small" aria-expanded=${shown} onClick=${() => setShown(!shown)}>${shown ? "Hide" : "Show"} ${plural(one.messages.length, "message")}</button>`}
        ${me.may_write && html`<button type="button" class="button small danger" onClick=${() => setClosing(true)}>Close connection…</button>`}
      </div>
      <dl class="holder-facts">
        <div><dt>Oldest</dt><dd>${one.oldest === null ? "unknown" : html`<${Ago} at=${one.oldest} />`}</dd></div>
        <div><dt>Consumer</dt><dd class="mono name">${one.consumer_tag || "none"}</dd></div>
        <div><dt>Channel</dt><dd>${one.channel}</dd></div>
        <div><dt>Connection</dt><dd class="mono name">${one.connection}</dd></div>
        <div><dt>Host</dt><dd class="name">${one.host}</dd></div>
        <div><dt>User</dt><dd class="name">${one.user}</dd></div>
        ${one.acknowledged !== null && html`<div><dt>Acknowledged</dt><dd>${count(one.acknowledged)}${one.taken === null || one.taken === undefined ? "" : ` of ${count(one.taken)}`}</dd></div>`}
      </dl>
      ${known && shown && html`
        <${Table} label="Messages held by ${one.client || one.connection}" rows=${one.messages} rowKey=${(row) => row.tag} columns=${[
          { key: "tag", label: "Delivery", render: (row) => exact(row.tag) },
          { key: "since", label: "Held since", render: (row) => html`<${Ago} at=${row.since} />` },
          { key: "size", label: "Size", num: true, render: (row) => bytes(row.bytes) },
          { key: "again", label: "", wide: true, render: (row) => row.redelivered && html`<${Badge}>redelivered</${Badge}>` },
        ]} />
        ${one.held > one.messages.length && html`<p class="hint holder-rest">and ${exact(one.held - one.messages.length)} more</p>`}`}
      ${closing && html`
        <${Confirm} title="Close this connection?" verb="Close connection" onClose=${() => setClosing(false)}
          act=${async () => { await post(`${at("connections", one.connection)}/close`); tell("The connection was closed; what it held is back in its queue"); }}>
          <p><b class="name">${one.client || one.connection}</b> from <span class="name">${one.host}</span> is cut off, with all its channels and consumers. What it holds goes back to the queues at once and is delivered to others. A program that connects again by itself does so.</p>
        </${Confirm}>`}
    </section>`;
}
