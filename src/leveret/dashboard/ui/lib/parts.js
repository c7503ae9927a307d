// Small pieces that every view is made of.
import { h, html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { exact, plural, span, when } from "./format.js";

/** The view's heading; the window's title follows it. `crumbs`: [{href, text}] that lead here. */
export function Head({ title, crumbs = [], note, children }) {
  useEffect(() => { document.title = `${title} · Leveret`; }, [title]);
  return html`
    <header class="head">
      <div class="head-text">
        ${crumbs.length > 0 && html`<nav class="crumbs" aria-label="You are in">${crumbs.map((one) => html`<a href=${one.href}>${one.text}</a><span aria-hidden="true">/</span>`)}</nav>`}
        <h1 tabindex="-1">${title}</h1>
        ${note && html`<p class="note">${note}</p>`}
      </div>
      ${children && html`<div class="head-acts">${children}</div>`}
    </header>`;
}

export const Panel = ({ title, aside, children, flush, id }) => html`
  <section class="panel ${flush ? "flush" : ""}" aria-labelledby=${id} >
    ${title && html`<div class="panel-head"><h2 id=${id}>${title}</h2>${aside && html`<div class="aside">${aside}</div>`}</div>`}
    <div class="panel-body">${children}</div>
  </section>`;

/** Figures side by side: Stats of [{label, value, note, href, tone}]. */
export const Stats = ({ items }) => html`
  <dl class="stats">${items.map(({ label, value, note, href, tone }) => html`
    <div class="stat ${tone ?? ""}">
      <dt>${label}</dt>
      <dd>${href ? html`<a href=${href}>${value}</a>` : value}${note && html`<span class="stat-note">${note}</span>`}</dd>
    </div>`)}</dl>`;

export const Badge = ({ tone = "", children, title }) => html`<span class="badge ${tone}" title=${title}>${children}</span>`;

/** Busy slots of all. */
export function Slots({ busy, slots }) {
  if (!slots) return html`<span class="faint">–</span>`;
  const part = Math.min(1, busy / slots);
  return html`
    <span class="slots" title="${exact(busy)} of ${plural(slots, "slot")} busy">
      <span class="meter ${part >= 1 ? "full" : ""}" aria-hidden="true"><span style=${{ width: `${part * 100}%` }}></span></span>
      <span class="slots-text">${exact(busy)}<span class="faint">/${exact(slots)}</span></span>
    </span>`;
}

export const Loading = () => html`<p class="loading" role="status"><span class="spinner" aria-hidden="true"></span>Loading…</p>`;

export const Empty = ({ title, children }) => html`<div class="empty"><p class="empty-title">${title}</p>${children && html`<div class="empty-text">${children}</div>`}</div>`;

export const Wrong = ({ error, again }) => error && html`
  <div class="wrong" role="alert"><span>${error.message}</span>${again && html`<button class="button small" onClick=${again}>Try again</button>`}</div>`;

/** What useLive or useOnce gave, shown by `children(value)` as soon as it is there; what went wrong stands above. */
export function Told({ of, again, children }) {
  const missing = of.value === undefined;
  return html`
    ${of.error && html`<${Wrong} error=${of.error} again=${again} />`}
    ${missing ? !of.error && html`<${Loading} />` : html`<div class=${of.stale ? "stale" : "fresh"}>${children(of.value)}</div>`}`;
}

/** A button that does something and waits for it. `act` may be async; what goes wrong is shown beside it, unless `onError` takes it. */
export function Act({ act, children, kind = "", disabled, onError, title, label, ...others }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const alive = useRef(true);
  useEffect(() => () => { alive.current = false; }, []);
  async function clicked() {
    setBusy(true);
    setError(null);
    try {
      await act();
    } catch (wrong) {
      if (onError) onError(wrong);
      else if (alive.current) setError(wrong);
    }
    if (alive.current) setBusy(false);
  }
  return html`
    <span class="act">
      <button type="button" class="button ${kind}" onClick=${clicked} disabled=${busy || disabled} aria-busy=${busy} title=${title} aria-label=${label} ...${others}>${children}</button>
      ${error && html`<span class="act-error" role="alert">${error.message}</span>`}
    </span>`;
}

/** A clock for those who show ages: the present time in seconds, once a second. */
export function useNow(every_s = 1) {
  const [now, set] = useState(Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => set(Date.now() / 1000), every_s * 1000);
    return () => clearInterval(timer);
  }, [every_s]);
  return now;
}

export const Ago = ({ at }) => {
  const now = useNow();
  return html`<time datetime=${new Date(at * 1000).toISOString()} title=${when(at)}>${span(Math.max(0, now - at))} ago</time>`;
};

/** A line for screen readers and, for a moment, everybody: `tell("3 messages moved")`. */
export function tell(text, tone = "") {
  dispatchEvent(new CustomEvent("told", { detail: { text, tone } }));
}

export function Teller() {
  const [told, set] = useState(null);
  useEffect(() => {
    let timer = 0;
    const hear = (event) => {
      set(event.detail);
      clearTimeout(timer);
      timer = setTimeout(() => set(null), 5000);
    };
    addEventListener("told", hear);
    return () => { removeEventListener("told", hear); clearTimeout(timer); };
  }, []);
  return html`<div class="teller" role="status" aria-live="polite">${told && html`<div class="toast ${told.tone}">${told.text}</div>`}</div>`;
}

/** A labelled input. `as` is input, textarea or select. */
let numbers = 0;
export function Field({ label, hint, as = "input", children, value, onValue, ...others }) {
  const [id] = useState(() => `field-${(numbers += 1)}`);
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${h(as, { id, value, onInput: (event) => onValue?.(event.target.value), "aria-describedby": hint ? `${id}-hint` : undefined, ...others }, children)}
      ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
    </div>`;
}

/** A search box that calls back when typing pauses. `/` goes there, Escape leaves it. */
export function Search({ label, value, onValue, placeholder }) {
  const [text, setText] = useState(value ?? "");
  const timer = useRef(0);
  const asked = useRef(value ?? "");
  useEffect(() => {
    // What comes back late of what was typed here does not overwrite what was typed since.
    if ((value ?? "") !== asked.current) setText((asked.current = value ?? ""));
  }, [value]);
  function typed(event) {
    const wanted = event.target.value;
    setText(wanted);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onValue((asked.current = wanted)), 180);
  }
  return html`<input class="search" type="search" data-search aria-label=${label} placeholder=${placeholder ?? label} value=${text} onInput=${typed}
    onKeyDown=${(event) => event.key === "Escape" && event.target.blur()} spellcheck="false" autocomplete="off" />`;
}
