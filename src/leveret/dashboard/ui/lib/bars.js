// The bars of the timeline: what ran when, by worker. Asks for what has changed, and draws it; knows nothing of the page around it.
import { get } from "./net.js";

const KEPT_S = 600;
const COLOURS = 8;
const SLACK_S = 0.02;

export class Bars {
  constructor() {
    this.offset_s = 0; // of the server's clock to ours
    this.byWorker = new Map(); // worker -> Map of key -> bar
    this.version = 0;
    this.asking = null;
    this.unsorted = new Set(); // workers
  }

  now() { return Date.now() / 1000 + this.offset_s; }

  of(worker) { return this.byWorker.get(worker)?.values() ?? [].values(); }

  /** What has changed since it last asked. A server that begins anew is asked for everything. */
  refresh(version) {
    if (version !== undefined && version < this.version) { this.version = 0; this.byWorker.clear(); }
    this.asking ??= this.ask().finally(() => { this.asking = null; });
    return this.asking;
  }

  async ask() {
    let told;
    do {
      told = await get(`timeline?since=${this.version}`);
      this.offset_s = told.now - Date.now() / 1000;
      for (const values of told.bars) this.take(values);
      this.version = told.version;
    } while (told.more);
    this.forget();
    for (const worker of this.unsorted) if (this.byWorker.has(worker)) this.sort(worker);
    this.unsorted.clear();
  }

  take([worker, task, id, queue, attempt, since, to, state]) {
    if (!this.byWorker.has(worker)) this.byWorker.set(worker, new Map());
    const bars = this.byWorker.get(worker);
    const key = `${id} ${attempt}`;
    bars.set(key, { ...bars.get(key), worker, task, id, queue, attempt, since, to, state });
    this.unsorted.add(worker);
  }

  /** Into lanes: each bar into the first that is free when it begins. What has ended keeps its lane. */
  sort(worker) {
    const bars = [...this.byWorker.get(worker).values()].sort((one, other) => one.since - other.since);
    const until = [];
    for (const bar of bars) {
      if (!bar.settled) {
        const free = until.findIndex((to) => to <= bar.since + SLACK_S);
        bar.lane = free < 0 ? until.length : free;
        bar.settled = bar.to !== null;
      }
      until[bar.lane] = Math.max(until[bar.lane] ?? 0, bar.to ?? Infinity);
      for (let lane = 0; lane < until.length; lane += 1) until[lane] ??= 0;
    }
  }

  forget() {
    const before = this.now() - KEPT_S;
    for (const [worker, bars] of this.byWorker) {
      for (const [key, bar] of bars) if (bar.to !== null && bar.to < before) bars.delete(key);
      if (!bars.size) this.byWorker.delete(worker);
    }
  }
}

export const isBad = (state) => state === "failed" || state === "parked";

const colours = new Map();

/** Tasks of one name have one colour; another one has another as long as there are some left. */
export function colourOf(task) {
  if (!colours.has(task)) {
    let hash = 0;
    for (const sign of task) hash = (hash * 31 + sign.codePointAt(0)) >>> 0;
    const taken = new Set(colours.values());
    let colour = hash % COLOURS;
    while (taken.has(colour) && taken.size < COLOURS) colour = (colour + 1) % COLOURS;
    colours.set(task, colour);
  }
  return colours.get(task);
}

export function palette() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(name).trim();
  return {
    tasks: Array.from({ length: COLOURS }, (_, number) => named(`--task-${number}`)),
    bad: named("--chart-4"), cancelled: named("--faint"), grid: named("--chart-grid"), text: named("--bar-text"),
  };
}

const PAD = 5;

export function lanesOf(slots, height) {
  const most = Math.max(1, Math.floor((height - 2 * PAD) / 3));
  return Math.max(1, Math.min(slots || 1, most));
}

/** On a canvas of that many pixels; `lanes` below each other. Returns how many bars are seen. */
export function draw(canvas, bars, { now, window_s, lanes, colours }) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width) return 0;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const x = (at) => width * (1 - (now - at) / window_s);
  pen.fillStyle = colours.grid;
  const step = gridStep(window_s);
  for (let back = step; back < window_s; back += step) pen.fillRect(Math.round(x(now - back)), 0, 1, height);
  const high = (height - 2 * PAD) / lanes;
  const gap = high > 6 ? 1.5 : high > 3 ? 1 : 0.5;
  let seen = 0;
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  for (const bar of bars) {
    const to = bar.to ?? now;
    if (to < now - window_s) continue;
    seen += 1;
    const left = Math.max(0, x(bar.since));
    const wide = Math.max(1.5, x(to) - left - (bar.to === null ? 0 : 0.5));
    const top = PAD + (bar.lane % lanes) * high;
    pen.globalAlpha = bar.to === null ? 1 : 0.72;
    pen.fillStyle = isBad(bar.state) ? colours.bad : bar.state === "cancelled" ? colours.cancelled : colours.tasks[colourOf(bar.task)];
    round(pen, left, top, wide, high - gap, Math.min(3, (high - gap) / 2, wide / 2));
    pen.globalAlpha = 1;
    if (high >= 15 && wide > 44) label(pen, bar.task || "message", left + 6, top + (high - gap) / 2 + 0.5, wide - 10, colours.text);
  }
  return seen;
}

export const gridStep = (window_s) => (window_s <= 30 ? 5 : window_s <= 60 ? 10 : window_s <= 300 ? 60 : 120);

function round(pen, left, top, wide, high, radius) {
  pen.beginPath();
  pen.roundRect(left, top, wide, high, radius);
  pen.fill();
}

function label(pen, text, left, middle, room, colour) {
  let shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  while (shown.length > 1 && pen.measureText(shown).width > room) shown = `${shown.slice(0, -2)}…`;
  if (shown.length < 4) return;
  pen.fillStyle = colour;
  pen.fillText(shown, left, middle);
}

/** The bar at that place of the canvas, if there is one. */
export function barAt(canvas, bars, { now, window_s, lanes }, left, top) {
  const at = now - (1 - left / canvas.clientWidth) * window_s;
  const slack = (window_s / canvas.clientWidth) * 2;
  const lane = Math.floor((top - PAD) / ((canvas.clientHeight - 2 * PAD) / lanes));
  let found = null;
  for (const bar of bars) {
    if (bar.lane % lanes === lane && bar.since - slack <= at && (bar.to ?? now) + slack >= at) found = bar;
  }
  return found;
}
