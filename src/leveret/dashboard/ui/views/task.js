// One task: where it is and why it has not run yet, what happened to it, and cancelling it.
import {
  Act, Ago, Badge, Confirm, Head, Loading, Panel, Payload, Told, Wrong,
  at, exact, href, html, post, query as written, span, tell, useEffect, useLive, useNow, useOnce, useState, when,
} from "../lib.js";
import { useMe } from "../me.js";
import { StateBadge } from "./tasks.js";
import { Progress } from "./workers.js";

const AGAIN_MS = 3000;
const ENDED = ["succeeded", "parked", "cancelled", "expired", "dropped"];
const LAST = ["done", "cancelled", "expired", "unknown"];

export function TaskPage({ id, query }) {
  const asked = written({ vhost: query.vhost });
  const path = at("tasks", id);
  const told = useLive(`${path}?${asked}`);
  const row = told.value?.row;
  return html`
    <${Head} title=${row?.task || (told.value ? "A task" : id)} crumbs=${[{ href: href(["tasks"]), text: "Tasks" }]}
      note=${html`<span class="ident">${id}</span>${row && html` <${StateBadge} state=${row.state} />`}`}>
      <${Cancel} id=${id} vhost=${row?.vhost ?? query.vhost ?? "/"} row=${row} />
    </${Head}>
    <${Told} of=${told}>${(task) => html`
      <${Place} path=${path} asked=${asked} row=${task.row} progress=${task.progress} />
      <${Life} task=${task} />
      ${task.row?.argument && html`<${Panel} id="arguments" title="Arguments"><${Payload} text=${task.row.argument} /></${Panel}>`}
    `}</${Told}>`;
}

function Cancel({ id, vhost, row }) {
  const me = useMe();
  const [asked, setAsked] = useState(false);
  if (!me.may_write || ENDED.includes(row?.state)) return null;
  return html`
    <button type="button" class="button danger" onClick=${() => setAsked(true)}>Cancel…</button>
    ${asked && html`
      <${Confirm} title="Cancel this task?" verb="Cancel the task" onClose=${() => setAsked(false)}
        act=${async () => { await post(`${at("tasks", id)}/cancel`, { vhost }); tell("It is cancelled"); }}>
        <p>If it runs, it is told, and may stop. If it waits, and was sent delayed or as cancellable, it is dropped when a worker comes to it.</p>
      </${Confirm}>`}`;
}

// ---- where it is now

const TONES = {
  running: "accent", done: "good", parked: "grave", stranded: "grave", held: "warn", retrying: "warn", limited: "accent", delayed: "accent", waiting: "",
};

function Place({ path, asked, row, progress }) {
  const changed = row?.changed;
  const once = useOnce(`${path}/why?${asked}&of=${changed ?? ""}`);
  // Of what ended for good all else changes its row. Somebody may requeue what is parked, and its message may not be settled yet.
  const over = ENDED.includes(row?.state) && row.state !== "parked" && LAST.includes(once.value?.state);
  const [looked, setLooked] = useState(null);
  const found = looked ?? once.value;
  useEffect(() => {
    setLooked(null);
  }, [changed]);
  useEffect(() => {
    if (!once.value?.looked || over) return undefined; // where looking would touch messages it is not done by itself
    const timer = setInterval(once.again, AGAIN_MS);
    return () => clearInterval(timer);
  }, [once.value?.looked, over]);
  return html`
    <${Panel} id="place" title="Where it is now">
      <${Wrong} error=${once.error} again=${once.again} />
      ${!found && !once.error && html`<${Loading} />`}
      ${found && html`
        <div class="why" aria-live="polite">
          <${Badge} tone=${TONES[found.state] ?? ""}>${found.state}</${Badge}>
          <div class="why-text">
            <p class="why-reason">${found.reason}</p>
            ${found.state === "parked"
              ? html`<p class="why-advice"><a href=${href(["failures", found.vhost, found.facts.queue])}>Dead letters of ${found.facts.queue}</a></p>`
              : found.advice && html`<p class="why-advice">${found.advice}</p>`}
            ${progress && html`<${Progress} of=${progress} />`}
            <${Facts} found=${found} />
            ${found.facts.traceback && html`<pre class="trace" tabindex="0" aria-label="Traceback of its last attempt">${found.facts.traceback}</pre>`}
            ${found.state === "parked" && !found.facts.traceback && row && html`<${DeadLetter} row=${row} />`}
          </div>
          ${!found.looked && html`<${Act} kind="small" title="Looks at the first messages of each queue, which are marked redelivered by that" act=${async () => setLooked(await post(`${path}/look?${asked}`))}>Look in the queues</${Act}>`}
        </div>`}
    </${Panel}>`;
}

const WORDS = {
  queue: "Queue", worker: "Worker", consumers: "Consumers", workers: "Workers of its queue", limit: "Limit", name: "Limit's name", key: "Key",
  client: "Held by", connection: "Connection", channel: "Channel", on_disk: "On the broker's disk", cancellable: "Can be cancelled",
};

function Facts({ found }) {
  useNow();
  const rows = [];
  if (found.since) rows.push(["Since", html`<${Ago} at=${found.since} />`]);
  if (found.until) rows.push([found.until * 1000 > Date.now() ? "Due" : "Was due", `${when(found.until)}${found.until * 1000 > Date.now() ? `, in ${span(found.until - Date.now() / 1000)}` : ""}`]);
  for (const [name, label] of Object.entries(WORDS)) {
    const value = found.facts[name];
    if (value === null || value === undefined || value === "") continue;
    rows.push([label, name === "queue" ? html`<a class="name" href=${href(["queues", found.vhost, value])}>${value}</a>` : typeof value === "boolean" ? (value ? "yes" : "not yet") : typeof value === "number" ? exact(value) : String(value)]);
  }
  if (found.facts.slots) rows.push(["Slots busy", `${exact(found.facts.busy)} of ${exact(found.facts.slots)}`]);
  return rows.length > 0 && html`<dl class="facts">${rows.map(([label, value]) => html`<dt>${label}</dt><dd>${value}</dd>`)}</dl>`;
}

// ---- what happened to it

const HAPPENED = {
  started: ["Begun", "accent"], succeeded: ["Done", "good"], failed: ["Attempt failed", "grave"], retried: ["To be tried again", "warn"],
  parked: ["Given up", "grave"], cancelled: ["Cancelled", ""], requeued: ["Delivered again", "warn"], "dead-lettered": ["Given up by the broker", "grave"],
  dropped: ["Dropped", "grave"], purged: ["Purged", "grave"],
};

function Life({ task }) {
  if (!task.row) {
    return html`<${Panel} id="life" title="What happened to it"><p class="faint">${task.kept ? "Nothing that is remembered: no worker has begun it, or it is too long ago." : "No history is kept here."}</p></${Panel}>`;
  }
  const sent = task.row.sent ? [{ at: task.row.sent, what: "sent", detail: `to ${task.row.queue}` }] : [];
  const entries = [...sent, ...task.life];
  return html`
    <${Panel} id="life" title="What happened to it">
      <ol class="life">${entries.map((entry, place) => html`<${Entry} key=${place} entry=${entry} before=${entries[place - 1]} row=${task.row} />`)}</ol>
    </${Panel}>`;
}

function Entry({ entry, before, row }) {
  const [what, tone] = entry.what === "sent" ? ["Sent", ""] : HAPPENED[entry.what] ?? [entry.what, ""];
  const after = before && entry.at - before.at >= 0.0005 ? `${span(entry.at - before.at)} later` : "";
  const worker = /^attempt (\d+) by (.*)$/s.exec(entry.detail);
  return html`
    <li class=${tone}>
      <div class="life-head">
        <span class="life-what">${what}${worker && Number(worker[1]) > 1 ? `, attempt ${worker[1]}` : ""}</span>
        <time class="life-at" datetime=${new Date(entry.at * 1000).toISOString()}>${when(entry.at)}${after && ` · ${after}`}</time>
      </div>
      <${Detail} entry=${entry} worker=${worker?.[2]} />
      ${entry.traceback && html`
        <details class="life-trace"><summary>Traceback</summary>
          <pre class="trace" tabindex="0" aria-label=${`Traceback of the attempt that failed at ${when(entry.at)}`}>${entry.traceback}</pre>
        </details>`}
      ${entry.what === "succeeded" && row.took_s !== null && html`<p class="life-detail">ran for ${span(row.took_s)}</p>`}
    </li>`;
}

function Detail({ entry, worker }) {
  if (worker) return html`<p class="life-detail">by <a class="name" href=${href(["tasks"], { worker })}>${worker}</a></p>`;
  if (!entry.detail) return null;
  if (entry.what === "succeeded") return html`<p class="life-detail">returned <code>${entry.detail}</code></p>`;
  return html`<p class="life-detail">${entry.detail}</p>`;
}

/** Its traceback is in the dead letter: looked for when somebody asks. */
function DeadLetter({ row }) {
  const [letter, setLetter] = useState(undefined);
  const look = async () => {
    const told = await post(`${at("failures", row.vhost, row.queue)}/look`, { ids: [row.id] });
    setLetter(told.letters[0] ?? null);
  };
  if (letter === undefined) return html`<p><${Act} kind="small" act=${look}>Show its traceback</${Act}></p>`;
  if (letter === null) return html`<p class="faint">It is there no more, or not among the first: somebody requeued or discarded it.</p>`;
  return html`<pre class="trace" tabindex="0" aria-label="Traceback">${letter.traceback || `${letter.exception}: ${letter.error}`}</pre>`;
}
