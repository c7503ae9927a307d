// Workers: a lane each, with a live timeline of what it runs. Rows that are not seen are not there, so that a thousand stay smooth.
import {
  Act, Badge, Confirm, Empty, Head, Icon, Search, Slots, Stats, Told,
  at, bytes, count, exact, go, href, html, plural, post, refine, span, tell, useEffect, useLive, useMemo, useNow, useRef, useState,
} from "../lib.js";
import { Bars, barAt, draw, gridStep, lanesOf, palette } from "../lib/bars.js";
import { useMe } from "../me.js";

const ROW_PX = 58;
const NARROW_ROW_PX = 96;
const SPARE_ROWS = 4;
const WINDOWS_S = [30, 60, 300, 600];
const FRAME_MS = 40;
const CALM_MS = 1000;

export function Workers({ query }) {
  const told = useLive("workers");
  const bars = useBars(told.value?.version);
  const window_s = WINDOWS_S.includes(Number(query.window)) ? Number(query.window) : 60;
  return html`
    <${Head} title="Workers">
      <${Search} label="Filter by name, host or queue" value=${query.name} onValue=${(name) => refine({ name })} />
      <div class="segments" role="group" aria-label="How much of the past is shown">
        ${WINDOWS_S.map((one) => html`<button type="button" class="segment" aria-pressed=${one === window_s} onClick=${() => refine({ window: one === 60 ? "" : one })}>${one < 60 ? `${one} s` : `${one / 60} min`}</button>`)}
      </div>
    </${Head}>
    <${Told} of=${told}>${({ items }) => html`
      <${Totals} workers=${items} />
      <${Lanes} workers=${items.filter((one) => fits(one, query.name))} all=${items.length} bars=${bars} window_s=${window_s} />
    `}</${Told}>`;
}

function useBars(version) {
  const bars = useMemo(() => new Bars(), []);
  useEffect(() => { if (version !== undefined) bars.refresh(version).catch(() => {}); }, [version]);
  return bars;
}

function fits(worker, wanted) {
  if (!wanted) return true;
  const text = wanted.toLowerCase();
  return [worker.program, worker.host, `${worker.host}:${worker.pid}`, worker.state, ...worker.queues].some((one) => one.toLowerCase().includes(text));
}

function Totals({ workers }) {
  const sum = (value) => workers.reduce((total, one) => total + value(one), 0);
  const of = (state) => workers.filter((one) => one.state === state).length;
  const hosts = new Set(workers.map((one) => one.host)).size;
  return html`
    <${Stats} items=${[
      { label: "Workers", value: exact(workers.length), note: workers.length ? `on ${plural(hosts, "host")}` : "" },
      { label: "Busy slots", value: html`<${Slots} busy=${sum((one) => one.busy)} slots=${sum((one) => one.slots)} />` },
      { label: "Take nothing new", value: exact(of("quiet") + of("stopping")) },
      { label: "Lost", value: exact(of("lost")), tone: of("lost") ? "grave" : "" },
      { label: "Tasks ended", value: count(sum((one) => one.ran)) },
      { label: "Memory", value: bytes(sum((one) => one.memory_bytes)) },
    ]} />`;
}

function Lanes({ workers, all, bars, window_s }) {
  const [place, setPlace] = useState({ top: 0, height: 600, narrow: false });
  const scroller = useRef(null);
  const drawers = useRef(new Set());
  const row_px = place.narrow ? NARROW_ROW_PX : ROW_PX;
  useEffect(() => {
    const element = scroller.current;
    if (!element) return undefined;
    const look = () => setPlace({ top: element.scrollTop, height: element.clientHeight, narrow: element.clientWidth < 720 });
    const sized = new ResizeObserver(look);
    sized.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    look();
    return () => { sized.disconnect(); element.removeEventListener("scroll", look); };
  }, [workers.length > 0]);
  useTicks(drawers);
  if (!all) return html`<${Empty} title="No worker has been heard of">A worker says every two seconds that it lives: <code>leveret worker app.py</code></${Empty}>`;
  if (!workers.length) return html`<${Empty} title="No worker fits">None of ${exact(all)} workers does. <button class="link" onClick=${() => refine({ name: "" })}>Show all</button></${Empty}>`;
  const first = Math.max(0, Math.floor(place.top / row_px) - SPARE_ROWS);
  const last = Math.min(workers.length, Math.ceil((place.top + place.height) / row_px) + SPARE_ROWS);
  const several = new Set(workers.map((one) => one.vhost)).size > 1;
  return html`
    <div class="lanes panel">
      <${Axis} window_s=${window_s} />
      <div class="lanes-scroll" ref=${scroller} tabindex="0" role="region" aria-label="Workers and what they run">
        <ul class="lanes-all" style=${{ height: `${workers.length * row_px}px` }}>
          ${workers.slice(first, last).map((worker, number) => html`
            <${Lane} key=${worker.id} worker=${worker} several=${several} bars=${bars} window_s=${window_s} drawers=${drawers.current}
              number=${first + number + 1} all=${workers.length} top=${(first + number) * row_px} height=${row_px} />`)}
        </ul>
      </div>
    </div>`;
}

/** All that is seen is drawn anew some times a second; once a second for whoever wants less motion. */
function useTicks(drawers) {
  useEffect(() => {
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    let colours = palette();
    let last = 0;
    let frame = 0;
    const recolour = () => { colours = palette(); last = 0; };
    const tick = (time) => {
      frame = requestAnimationFrame(tick);
      if (time - last < (calm.matches ? CALM_MS : FRAME_MS)) return;
      last = time;
      for (const one of drawers.current) one(colours);
    };
    frame = requestAnimationFrame(tick);
    addEventListener("themechange", recolour);
    return () => { cancelAnimationFrame(frame); removeEventListener("themechange", recolour); };
  }, []);
}

function Axis({ window_s }) {
  const step = gridStep(window_s) * (window_s <= 60 ? 2 : 1);
  const ticks = [];
  for (let back = 0; back < window_s; back += step) ticks.push(back);
  return html`
    <div class="lane-axis" aria-hidden="true">
      <span>Worker</span><span class="lane-now-head">Runs now</span>
      <div class="ticks">${ticks.map((back) => html`<span style=${{ right: `${(back / window_s) * 100}%` }}>${back ? `−${back < 120 ? `${back} s` : `${back / 60} min`}` : "now"}</span>`)}</div>
      <span class="lane-acts-head"></span>
    </div>`;
}

const TONES = { lost: "grave", quiet: "warn", stopping: "warn" };

function Lane({ worker, several, bars, window_s, drawers, number, all, top, height }) {
  const me = useMe();
  return html`
    <li class="lane" style=${{ top: `${top}px`, height: `${height}px` }} aria-posinset=${number} aria-setsize=${all} data-worker=${worker.id}>
      <div class="lane-who">
        <div class="lane-name"><a class="name" href=${href(["tasks"], { worker: worker.id })} title="Its tasks">${worker.host}:${worker.pid}</a>
          ${worker.state !== "running" && html`<${Badge} tone=${TONES[worker.state] ?? ""}>${worker.state}</${Badge}>`}</div>
        <div class="lane-about" title="since ${new Date(worker.started * 1000).toLocaleString()}, reads ${worker.queues.join(", ")}">
          <${Slots} busy=${worker.busy} slots=${worker.slots} /><span>${bytes(worker.memory_bytes)}</span><span class="lane-program">${worker.program}${several ? ` · ${worker.vhost}` : ""}</span></div>
      </div>
      <${Now} worker=${worker} bars=${bars} />
      <${Strip} worker=${worker} bars=${bars} window_s=${window_s} drawers=${drawers} />
      <div class="lane-acts">${me.may_write && worker.state !== "lost" && html`<${Acts} worker=${worker} />`}</div>
    </li>`;
}

function Now({ worker, bars }) {
  useNow();
  const [first] = worker.running;
  if (!first) return html`<div class="lane-now faint">idle</div>`;
  const more = worker.busy - 1;
  return html`
    <div class="lane-now">
      <div class="lane-task"><a class="name" href=${href(["tasks", first.id], { vhost: worker.vhost === "/" ? "" : worker.vhost })}>${first.task || "message"}</a> <span class="faint">${span(Math.max(0, bars.now() - first.since))}${first.attempt ? `, attempt ${first.attempt}` : ""}${more > 0 ? ` · ${exact(more)} more` : ""}</span></div>
      ${first.done !== undefined && html`<${Progress} of=${first} />`}
    </div>`;
}

export function Progress({ of }) {
  const words = `${of.done.toLocaleString("en")}${of.total ? ` of ${of.total.toLocaleString("en")}` : ""}${of.text ? ` ${of.text}` : ""}`;
  return html`
    <div class="lane-progress" title=${words}>
      ${of.total > 0 && html`<span class="meter" aria-hidden="true"><span style=${{ width: `${Math.min(100, (100 * of.done) / of.total)}%` }}></span></span>`}
      <span class="lane-progress-text">${words}</span>
    </div>`;
}

function Strip({ worker, bars, window_s, drawers }) {
  const canvas = useRef(null);
  const [hint, setHint] = useState(null);
  const latest = useRef(null);
  latest.current = { worker, window_s };
  const view = () => ({
    now: bars.now(), window_s: latest.current.window_s, lanes: lanesOf(latest.current.worker.slots, canvas.current.clientHeight),
  });
  useEffect(() => {
    const one = (colours) => canvas.current && draw(canvas.current, bars.of(worker.id), { ...view(), colours });
    drawers.add(one);
    return () => drawers.delete(one);
  }, [worker.id]);
  const under = (event) => {
    const box = canvas.current.getBoundingClientRect();
    return barAt(canvas.current, bars.of(worker.id), view(), event.clientX - box.left, event.clientY - box.top);
  };
  const moved = (event) => {
    const bar = under(event);
    setHint(bar && { bar, left: event.clientX - canvas.current.getBoundingClientRect().left });
  };
  const clicked = (event) => { const bar = under(event); if (bar?.id) go(href(["tasks", bar.id], { vhost: worker.vhost === "/" ? "" : worker.vhost })); };
  return html`
    <div class="lane-strip">
      <canvas ref=${canvas} role="img" aria-label=${spoken(worker)} style=${hint ? "cursor:pointer" : ""}
        onPointerMove=${moved} onPointerLeave=${() => setHint(null)} onClick=${clicked}></canvas>
      ${hint && html`<div class="chart-hint" style=${hint.left > canvas.current.clientWidth / 2 ? { right: `${canvas.current.clientWidth - hint.left + 10}px` } : { left: `${hint.left + 10}px` }}>${about(hint.bar, bars.now())}</div>`}
    </div>`;
}

const spoken = (worker) => `Timeline of ${worker.host}:${worker.pid}: ${worker.busy} of ${plural(worker.slots, "slot")} busy, ${plural(worker.ran, "task")} ended`;

const about = (bar, now) => [
  `${bar.task || "message"}${bar.attempt > 1 ? `, attempt ${bar.attempt}` : ""}`,
  `${bar.state === "running" ? "runs for" : `${bar.state} after`} ${span((bar.to ?? now) - bar.since)}`,
  `${bar.queue}`, bar.id,
].join("\n");

function Acts({ worker }) {
  const [asked, setAsked] = useState(false);
  const who = `${worker.host}:${worker.pid}`;
  const path = at("workers", worker.id);
  const order = async (verb, said) => { await post(`${path}/${verb}`); tell(said); };
  const wrong = (error) => tell(error.message, "grave");
  const quiet = worker.state !== "running";
  return html`
    ${quiet
      ? html`<${Act} kind="small" label="Let ${who} take tasks again" title="Take tasks again" disabled=${worker.state === "stopping"} onError=${wrong} act=${() => order("resume", `${who} is told to take tasks again`)}><${Icon} name="play" /><span class="act-word">Resume</span></${Act}>`
      : html`<${Act} kind="small" label="Quiet ${who}" title="Take nothing new, finish what runs" onError=${wrong} act=${() => order("quiet", `${who} is told to take nothing new`)}><${Icon} name="pause" /><span class="act-word">Quiet</span></${Act}>`}
    <button type="button" class="button small danger" aria-label="Stop ${who}" title="Stop" onClick=${() => setAsked(true)}><${Icon} name="close" /><span class="act-word">Stop</span></button>
    ${asked && html`
      <${Confirm} title="Stop ${who}?" verb="Stop" onClose=${() => setAsked(false)} act=${() => order("stop", `${who} is told to stop`)}>
        <p>It takes nothing new, finishes ${worker.busy ? plural(worker.busy, "task") : "what it may begin"} within its shutdown timeout, and ends. What it does not finish goes back to its queue. Nobody starts it again but you, or whatever runs it.</p>
      </${Confirm}>`}`;
}

