// One queue: how it stands, who takes from it, what is in it, and what can be done with it.
import {
  Act, Badge, Chart, Confirm, Empty, Field, FormDialog, Head, Icon, Panel, Payload, RatesPanel, Slots, Stats, Table, Told, Tree,
  at, bytes, count, exact, href, html, plural, post, rate, span, tell, useLive, useOnce, useSeries, useState,
} from "../lib.js";
import { useMe } from "../me.js";

export function QueuePage({ vhost, name }) {
  const path = at("queues", vhost, name);
  const told = useLive(path);
  const now = told.value;
  const series = useSeries(`queue/${at(vhost, name)}`, now && now.at && { at: now.at, ready: now.ready, unacked: now.unacked, in: now.in_rate, out: now.out_rate });
  const me = useMe();
  return html`
    <${Head} title=${name} crumbs=${[{ href: href(["queues"]), text: "Queues" }]} note=${now && html`<${About} queue=${now} />`}>
      ${me.may_write && now && html`<${Acts} queue=${now} path=${path} />`}
    </${Head}>
    <${Told} of=${told}>${(queue) => html`
      <${Stats} items=${[
        { label: "Ready", value: count(queue.ready), tone: queue.ready && !queue.consumers ? "grave" : "" },
        { label: "Unacknowledged", value: count(queue.unacked), href: href(["unacked"], { queue: queue.name }) },
        { label: "In", value: rate(queue.in_rate), note: "/s" },
        { label: "Out", value: rate(queue.out_rate), note: "/s" },
        { label: "Busy slots", value: html`<${Slots} busy=${queue.busy} slots=${queue.slots} />` },
        { label: "Failed for good", value: count(queue.dead), href: queue.dead ? href(["failures", queue.vhost, queue.name]) : null, tone: queue.dead ? "warn" : "" },
        { label: "Empty in", value: queue.ready ? (queue.drain_s === null ? "never" : span(queue.drain_s)) : "–", tone: queue.ready && queue.drain_s === null ? "warn" : "" },
      ]} />
      <${Drain} queue=${queue} />
      <div class="two">
        <${Panel} id="depth" title="Messages">
          <${Chart} title="Messages in this queue" at=${series.at} span_s=${120} lines=${[
            { label: "Total", values: series.at.map((_, place) => sum(series.ready[place], series.unacked[place])), colour: "--chart-grey", format: count },
            { label: "Ready", values: series.ready, colour: "--chart-1", area: true, format: count },
            { label: "Unacknowledged", values: series.unacked, colour: "--chart-2", format: count },
          ]} />
        </${Panel}>
        <${RatesPanel} series=${series} />
      </div>
      <${Consumers} queue=${queue} />
      <${Peek} path=${path} queue=${queue} />
      <${Declared} path=${path} queue=${queue} />
    `}</${Told}>`;
}

const sum = (one, other) => (one === null || other === null ? null : one + other);

const About = ({ queue }) => html`
  <span class="abouts">
    ${queue.vhost !== "/" && html`<${Badge} title="virtual host">${queue.vhost}</${Badge}>`}
    <${Badge}>${queue.type}</${Badge}>
    ${!queue.durable && html`<${Badge} tone="warn">not durable</${Badge}>`}
    ${queue.exclusive && html`<${Badge}>exclusive</${Badge}>`}
    ${queue.auto_delete && html`<${Badge}>deleted with its last consumer</${Badge}>`}
    ${queue.policy && html`<${Badge} title="policy">${queue.policy}</${Badge}>`}
    ${queue.growing && html`<${Badge} tone="warn">growing</${Badge}>`}
    ${queue.paused && html`<${Badge} tone="accent">paused</${Badge}>`}
  </span>`;

/** What it takes to get through with it. */
function Drain({ queue }) {
  if (queue.paused) return html`<p class="advice">No worker takes from this queue while it is paused. Messages still come in.</p>`;
  if (!queue.ready) return null;
  if (!queue.consumers) return html`<p class="advice grave">Nobody takes from this queue: ${plural(queue.ready, "message waits", "messages wait")}. Start a worker for it.</p>`;
  const rows = queue.workers_needed.filter((one) => one.more !== null);
  const stuck = queue.consumer_list.length > 0 && queue.consumer_list.every((one) => one.full);
  const said = queue.out_rate < 0.01
    ? `${plural(queue.ready, "message waits", "messages wait")}, and just now nothing is done with them${stuck ? ": every consumer holds as many as it may" : ""}.`
    : queue.drain_s === null
    ? `At ${rate(queue.in_rate)} in and ${rate(queue.out_rate)} out per second it never becomes empty.`
    : `At ${rate(queue.in_rate)} in and ${rate(queue.out_rate)} out per second it is empty in ${span(queue.drain_s)}.`;
  return html`<p class="advice">${said} ${rows.length > 0 && html`<span>To be through ${rows.map((one, place) => html`${place ? "; " : ""}in ${span(one.within_s)}: <b>${one.more ? `${plural(one.more, "more slot")}` : "no more slots"}</b>`)}.</span>`}</p>`;
}

function Acts({ queue, path }) {
  const [open, setOpen] = useState("");
  const close = () => setOpen("");
  const turn = async () => {
    await post(`${path}/${queue.paused ? "resume" : "pause"}`);
    tell(queue.paused ? `${queue.name} goes on` : `${queue.name} is paused`);
  };
  return html`
    <button type="button" class="button" onClick=${() => setOpen("publish")}>Publish…</button>
    <${Act} act=${turn}><${Icon} name=${queue.paused ? "play" : "pause"} />${queue.paused ? "Resume" : "Pause"}</${Act}>
    <button type="button" class="button" onClick=${() => setOpen("move")}>Move…</button>
    <button type="button" class="button danger" onClick=${() => setOpen("purge")}>Purge…</button>
    ${open === "publish" && html`<${Publish} queue=${queue} path=${path} onClose=${close} />`}
    ${open === "move" && html`<${Move} queue=${queue} path=${path} onClose=${close} />`}
    ${open === "purge" && html`
      <${Confirm} title="Purge ${queue.name}?" verb="Purge" typed=${queue.name} onClose=${close}
        act=${async (confirm) => { await post(`${path}/purge`, { confirm }); tell(`${queue.name} was purged`); }}>
        <p>${queue.ready ? html`<b>${plural(queue.ready, "message")}</b> that nobody has taken yet ${queue.ready === 1 ? "is" : "are"}` : "What nobody has taken yet is"} thrown away for good. What consumers hold stays theirs.</p>
      </${Confirm}>`}`;
}

function Publish({ queue, path, onClose }) {
  const [payload, setPayload] = useState('{"args": [], "kwargs": {}}');
  const [type, setType] = useState("");
  const [headers, setHeaders] = useState("");
  let wrong = "";
  try {
    if (headers.trim() && typeof JSON.parse(headers) !== "object") wrong = "an object is expected";
  } catch (error) { wrong = error.message; }
  async function act() {
    const json = isJson(payload);
    const properties = {
      message_id: identity(), ...(json && { content_type: "application/json" }), ...(type && { type }),
      ...(headers.trim() && { headers: JSON.parse(headers) }),
    };
    await post(`${path}/publish`, { payload, properties });
    tell(`1 message is in ${queue.name}`);
  }
  return html`
    <${FormDialog} title="Publish to ${queue.name}" verb="Publish" act=${act} onClose=${onClose} disabled=${Boolean(wrong)} wide>
      <${Field} as="textarea" label="Payload" rows="7" value=${payload} onValue=${setPayload} spellcheck="false" hint="Of a task: an object with args and kwargs. Persistent, and confirmed by the broker." />
      <div class="fields">
        <${Field} label="Task" value=${type} onValue=${setType} placeholder="none: a plain message" spellcheck="false" />
        <${Field} label="Headers" value=${headers} onValue=${setHeaders} placeholder="{}" spellcheck="false" hint=${wrong ? `No JSON: ${wrong}` : "JSON"} />
      </div>
    </${FormDialog}>`;
}

// Where the page comes over plain HTTP from another machine there is no crypto.randomUUID.
const identity = () => [...crypto.getRandomValues(new Uint8Array(16))].map((octet) => octet.toString(16).padStart(2, "0")).join("");

function isJson(text) {
  try { JSON.parse(text); return true; } catch { return false; }
}

function Move({ queue, path, onClose }) {
  const [to, setTo] = useState("");
  const [number, setNumber] = useState(String(Math.max(1, queue.ready)));
  const wanted = Number(number);
  async function act() {
    const { moved } = await post(`${path}/move`, { to, count: wanted });
    tell(`${plural(moved, "message")} moved to ${to}`);
  }
  return html`
    <${FormDialog} title="Move messages from ${queue.name}" verb="Move" act=${act} onClose=${onClose} disabled=${!to || !Number.isInteger(wanted) || wanted < 1}>
      <${Field} label="To the queue" value=${to} onValue=${setTo} spellcheck="false" autofocus hint="Of the same virtual host. It has to be there already." />
      <${Field} label="How many at most, the oldest first" type="number" min="1" max="1000000" value=${number} onValue=${setNumber} />
      <p class="hint">Each leaves this queue once the broker has confirmed it in the other one. If that is cut short, a message may be in both.</p>
    </${FormDialog}>`;
}

const Consumers = ({ queue }) => html`
  <${Panel} id="consumers" title="Consumers" flush aside=${queue.consumers ? plural(queue.consumers, "consumer") : null}>
    <${Table} label="Consumers" rows=${queue.consumer_list} rowKey=${(one) => `${one.connection}/${one.channel}/${one.tag}`} columns=${[
      { key: "client", label: "Client", wide: true, render: (one) => html`<span class="name">${one.client || one.connection}</span> ${one.exclusive && html`<${Badge}>exclusive</${Badge}>`} ${!one.active && html`<${Badge}>waits its turn</${Badge}>`}` },
      { key: "host", label: "Host", render: (one) => html`<span class="name">${one.host}</span>` },
      { key: "tag", label: "Tag", hide: "narrow", render: (one) => html`<span class="name mono">${one.tag}</span>` },
      { key: "user", label: "User", hide: "narrow", render: (one) => one.user },
      { key: "prefetch", label: "Prefetch", num: true, hide: "phone", render: (one) => (one.acks ? (one.prefetch ? exact(one.prefetch) : "no limit") : "no acks") },
      { key: "held", label: "Holds", num: true, render: (one) => html`${one.unacked === null ? html`<span class="faint">unknown</span>` : count(one.unacked)} ${one.full && html`<${Badge} tone="warn">full</${Badge}>`}` },
    ]} empty=${html`<${Empty} title="No consumers">${queue.ready ? "Messages wait until somebody comes." : "A worker that reads this queue appears here."}</${Empty}>`} />
  </${Panel}>`;

/** Looking at the next messages. Asked for by hand: while they are looked at nobody else gets them. */
function Peek({ path, queue }) {
  const me = useMe();
  const [messages, setMessages] = useState(null);
  const [number, setNumber] = useState("10");
  if (!me.may_write) return null;
  const look = async () => setMessages(await post(`${path}/peek`, { count: Number(number) }));
  return html`
    <${Panel} id="peek" title="Messages in it" aside=${html`
      <span class="peek-acts">
        <select aria-label="How many" onChange=${(event) => setNumber(event.target.value)}>${["1", "10", "50", "100"].map((one) => html`<option value=${one} selected=${one === number}>${one}</option>`)}</select>
        <${Act} act=${look} kind="small">Look at the next</${Act}>
      </span>`}>
      ${messages === null
        ? html`<p class="muted">Messages stay where they are when you look at them; the broker calls them redelivered afterwards, and a quorum queue counts it as a delivery.</p>`
        : messages.length === 0
          ? html`<p class="muted">There is none that nobody has taken yet.</p>`
          : html`<ol class="messages">${messages.map((one, place) => html`<${Message} key=${place} one=${one} place=${place} />`)}</ol>`}
    </${Panel}>`;
}

function Message({ one, place }) {
  const properties = Array.isArray(one.properties) ? {} : one.properties;
  return html`
    <li class="message">
      <div class="message-head">
        <b class="name">${properties.type || `Message ${place + 1}`}</b>
        ${properties.message_id && html`<span class="faint mono name">${properties.message_id}</span>`}
        <span class="faint">${bytes(one.payload_bytes)}</span>
        ${one.redelivered && html`<${Badge}>redelivered</${Badge}>`}
      </div>
      <${Payload} text=${one.payload} encoding=${one.payload_encoding} />
      ${one.payload_encoding === "string" && new TextEncoder().encode(one.payload).length < one.payload_bytes && html`<p class="hint">Only the beginning is shown.</p>`}
      <details class="more"><summary>Properties</summary><div class="payload"><${Tree} value=${properties} /></div></details>
    </li>`;
}

function Declared({ path, queue }) {
  const bindings = useOnce(`${path}/bindings`);
  return html`
    <${Panel} id="declared" title="Declaration">
      <div class="two">
        <div><h3>Arguments</h3>${Object.keys(queue.arguments).length ? html`<div class="payload"><${Tree} value=${queue.arguments} /></div>` : html`<p class="muted">None.</p>`}</div>
        <div><h3>Bindings</h3><${Told} of=${bindings} again=${bindings.again}>${(rows) => (rows.length
          ? html`<ul class="bindings">${rows.map((row) => html`<li><span class="name">${row.source}</span> <span class="faint">by</span> <code class="name">${row.routing_key || '""'}</code></li>`)}</ul>`
          : html`<p class="muted">None besides its name: what is published to the default exchange with this name comes here.</p>`)}</${Told}></div>
      </div>
    </${Panel}>`;
}
