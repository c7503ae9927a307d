// The dead letters of one queue: grouped, with tracebacks; sent again, changed first, or thrown away.
import {
  Act, Ago, Confirm, Empty, Field, FormDialog, Head, Loading, Panel, Payload, Table, Wrong,
  at, count, exact, href, html, plural, post, tell, useEffect, useState,
} from "../lib.js";
import { useMe } from "../me.js";
import { ErrorText, ReasonBadge } from "./failures.js";

const sameGroup = (one, other) => one && other && one.task === other.task && one.exception === other.exception && one.reason === other.reason;
const groupOf = ({ task, exception, reason }) => ({ task, exception, reason });

export function Letters({ vhost, queue }) {
  const path = at("failures", vhost, queue);
  const me = useMe();
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  const [group, setGroup] = useState(null);
  const [deed, setDeed] = useState(null); // {verb, title, body, number}
  async function look(of = group) {
    try {
      setTold(await post(`${path}/look`, of ? { group: groupOf(of) } : {}));
      setError(null);
    } catch (wrong) { setError(wrong); }
  }
  useEffect(() => { look(); }, [group]);
  const done = (verb) => async () => {
    const { count: number } = await post(`${path}/${verb}`, deed.body);
    tell(`${plural(number, "letter")} ${verb === "requeue" ? "sent again" : "thrown away"}`);
    await look();
  };
  const ask = (verb, body, number) => setDeed({ verb, body, number });
  return html`
    <${Head} title="Dead letters of ${queue}" crumbs=${[{ href: href(["failures"]), text: "Failures" }]}
      note=${told && html`${told.looked < told.there ? `The oldest ${exact(told.looked)} of ${plural(told.there, "letter")} were looked at.` : plural(told.there, "letter")}`}>
      <a class="button" href=${href(["queues", vhost, queue])}>The queue</a>
      <${Act} act=${() => look()}>Look again</${Act}>
      ${me.may_write && told?.there > 0 && html`
        <button type="button" class="button" onClick=${() => ask("requeue", { all: true }, told.there)}>Requeue all…</button>
        <button type="button" class="button danger" onClick=${() => ask("discard", { all: true }, told.there)}>Discard all…</button>`}
    </${Head}>
    <${Wrong} error=${error} again=${() => look()} />
    ${!told && !error && html`<${Loading} />`}
    ${told && !told.there && html`<${Empty} title="No dead letters">Nothing of this queue is given up just now.</${Empty}>`}
    ${told && told.there > 0 && html`
      <${Panel} id="groups" title="By task and error" flush>
        <${Table} label="Dead letters by task and error" rows=${told.groups} rowKey=${(row) => JSON.stringify(groupOf(row))} columns=${groupColumns(me.may_write, group, setGroup, ask)} />
      </${Panel}>
      <${Panel} id="letters" title=${group ? html`Letters of ${group.task || "plain messages"}, ${group.exception || group.reason}` : "The oldest letters"} flush
        aside=${group && html`<button type="button" class="link" onClick=${() => setGroup(null)}>Show all</button>`}>
        <ul class="letters">${told.letters.map((letter, place) => html`<${Letter} key=${letter.id || place} letter=${letter} path=${path} mayWrite=${me.may_write} ask=${ask} again=${() => look()} />`)}</ul>
      </${Panel}>`}
    ${deed && html`
      <${Confirm} title=${deed.verb === "requeue" ? `Send ${plural(deed.number, "letter")} again?` : `Throw ${plural(deed.number, "letter")} away?`} danger=${deed.verb === "discard"}
        verb=${deed.verb === "requeue" ? "Requeue" : "Discard"} act=${done(deed.verb)} onClose=${() => setDeed(null)}>
        <p>${deed.verb === "requeue" ? html`Into <b class="name">${queue}</b>, with all attempts again. None is lost if this is interrupted.` : "For good: nobody can bring them back."}</p>
      </${Confirm}>`}`;
}

const groupColumns = (mayWrite, group, setGroup, ask) => [
  { key: "task", label: "Task", render: (row) => html`<button type="button" class="link name" aria-pressed=${Boolean(sameGroup(row, group))} onClick=${() => setGroup(sameGroup(row, group) ? null : row)}>${row.task || "plain message"}</button>` },
  { key: "error", label: "Error", wide: true, render: (row) => html`<${ErrorText} exception=${row.exception} error=${row.error} />` },
  { key: "reason", label: "Why given up", hide: "phone", render: (row) => html`<${ReasonBadge} reason=${row.reason} />` },
  { key: "count", label: "Letters", num: true, render: (row) => count(row.count) },
  { key: "last", label: "Last", num: true, hide: "phone", render: (row) => (row.last ? html`<${Ago} at=${row.last} />` : html`<span class="faint">–</span>`) },
  ...(mayWrite ? [{
    key: "acts", label: html`<span class="unseen">What becomes of them</span>`, num: true, render: (row) => html`<span class="row-acts">
      <button type="button" class="button small" aria-label="Requeue all of ${row.task || "plain messages"}, ${row.exception || row.reason}" onClick=${() => ask("requeue", { group: groupOf(row) }, row.count)}>Requeue…</button>
      <button type="button" class="button small danger" aria-label="Discard all of ${row.task || "plain messages"}, ${row.exception || row.reason}" onClick=${() => ask("discard", { group: groupOf(row) }, row.count)}>Discard…</button></span>`,
  }] : []),
];

function Letter({ letter, path, mayWrite, ask, again }) {
  const [editing, setEditing] = useState(false);
  return html`
    <li>
      <details class="letter">
        <summary><b class="name">${letter.task || "plain message"}</b><span class="ident faint">${letter.id || "no id"}</span><${ErrorText} exception=${letter.exception} error=${letter.error} />${letter.last && html`<span class="faint"><${Ago} at=${letter.last} /></span>`}</summary>
        <div class="letter-inside">
          <p class="muted">${plural(letter.attempts, "attempt")} failed. <${ReasonBadge} reason=${letter.reason} /></p>
          ${letter.traceback && html`<h3>Traceback</h3><pre class="trace" tabindex="0" aria-label="Traceback">${letter.traceback}</pre>`}
          <h3>Body</h3>
          <${Payload} text=${letter.body} />
          ${letter.id && html`<div class="letter-acts">
            ${mayWrite && html`
              <button type="button" class="button small" onClick=${() => ask("requeue", { ids: [letter.id] }, 1)}>Requeue…</button>
              ${letter.whole && html`<button type="button" class="button small" onClick=${() => setEditing(true)}>Edit and requeue…</button>`}
              <button type="button" class="button small danger" onClick=${() => ask("discard", { ids: [letter.id] }, 1)}>Discard…</button>`}
            <a class="button small" href=${href(["tasks", letter.id])}>Its life</a></div>`}
        </div>
      </details>
      ${editing && html`<${Edit} letter=${letter} path=${path} onClose=${() => setEditing(false)} again=${again} />`}
    </li>`;
}

function Edit({ letter, path, onClose, again }) {
  const [body, setBody] = useState(pretty(letter.body));
  let wrong = "";
  if (letter.task) {
    try { JSON.parse(body); } catch (error) { wrong = error.message; }
  }
  async function act() {
    await post(`${path}/edit`, { id: letter.id, body: compact(body) });
    tell("1 letter sent again, changed");
    await again();
  }
  return html`
    <${FormDialog} title="Edit and requeue" verb="Requeue" act=${act} onClose=${onClose} disabled=${Boolean(wrong)} wide>
      <p class="muted"><b class="name">${letter.task || "plain message"}</b> <span class="ident">${letter.id}</span></p>
      <${Field} as="textarea" label="Body" rows="12" value=${body} onValue=${setBody} spellcheck="false" hint=${wrong ? `No JSON: ${wrong}` : letter.task ? "JSON, as its worker reads it." : "As its consumer reads it."} />
    </${FormDialog}>`;
}

const LARGE = /\d{16,}/; // numbers that JavaScript would round

function pretty(text) {
  if (LARGE.test(text)) return text;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function compact(text) {
  if (LARGE.test(text)) return text;
  try { return JSON.stringify(JSON.parse(text)); } catch { return text; }
}
