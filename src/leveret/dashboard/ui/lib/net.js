// Questions to the server, and what it tells by itself. `path` is relative to /ui/: make it with `at("queues", vhost, name)`.
import { useEffect, useReducer, useState } from "../vendor/preact-htm.js";

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

export const at = (...parts) => parts.map(encodeURIComponent).join("/");
export const query = (values) =>
  new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "")).toString();

async function answered(path, options) {
  let response;
  try {
    response = await fetch(`ui/${path}`, options);
  } catch {
    throw new Refused(0, "the dashboard's server does not answer");
  }
  let body = null;
  try {
    body = await response.json();
  } catch { /* the status says enough */ }
  if (response.ok) return body;
  if (response.status === 401 && path !== "login") signedOut();
  throw new Refused(response.status, body?.reason ?? `the server answered ${response.status}`);
}

export const get = (path) => answered(path);
export const post = (path, body = {}) =>
  answered(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

let signedOut = () => {};
export const onSignedOut = (callback) => { signedOut = callback; };

// ---- what the server tells

const topics = new Map(); // path -> {listeners, last}
const watchers = new Set(); // of the connection
let source = null;
let opened = "";
let lost = false;
let timer = 0;
let attempts = 0;

function say(isLost) {
  if (lost === isLost) return;
  lost = isLost;
  for (const watcher of watchers) watcher(lost);
}

export function reopen(delay_ms = 20) {
  clearTimeout(timer);
  timer = setTimeout(open, delay_ms);
}

function open() {
  const wanted = [...topics.keys()].sort().map((topic) => `topic=${encodeURIComponent(topic)}`).join("&");
  if (wanted === opened && source) return;
  source?.close();
  source = null;
  opened = wanted;
  if (!wanted) return;
  const mine = (source = new EventSource(`ui/stream?${wanted}`));
  mine.onopen = () => {
    attempts = 0;
    say(false);
  };
  mine.onmessage = (message) => {
    const told = JSON.parse(message.data);
    const topic = topics.get(told.topic);
    if (!topic) return;
    topic.last = told.error
      ? { value: topic.last.value, error: new Refused(told.error.status, told.error.reason) }
      : { value: told.value, error: null };
    for (const listener of topic.listeners) listener(topic.last);
  };
  mine.onerror = () => {
    if (mine !== source) return;
    mine.close();
    source = null;
    attempts += 1;
    if (attempts > 1) say(true);
    get("me").then((me) => { if (!me.user) signedOut(); }, () => say(true));
    reopen(Math.min(300 * 2 ** attempts, 5000));
  };
}

function interrupted() {
  source?.close();
  source = null;
  say(true);
  reopen(1000);
}

addEventListener("offline", interrupted);
addEventListener("online", () => reopen());
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => { if (event.persisted) { source = null; reopen(); } });

function watch(path, listener) {
  if (!topics.has(path)) topics.set(path, { listeners: new Set(), last: { value: undefined, error: null } });
  const topic = topics.get(path);
  topic.listeners.add(listener);
  reopen();
  return () => {
    topic.listeners.delete(listener);
    if (!topic.listeners.size && topics.get(path) === topic) {
      topics.delete(path);
      opened = null; // who comes back to it has to be told again: of what does not change the server says nothing more
    }
    reopen();
  };
}

/** {value, error} of a path, kept up to date. While another path is asked for the old value stays, marked `stale`. */
export function useLive(path) {
  const [held, hold] = useState({ path: null, value: undefined, error: null });
  useEffect(() => {
    if (!path) return undefined;
    const known = topics.get(path)?.last;
    if (known && (known.value !== undefined || known.error)) hold({ path, ...known });
    return watch(path, (told) => hold({ path, ...told }));
  }, [path]);
  return { ...held, stale: held.path !== path };
}

/** {value, error, again()} of a path, asked for once. */
export function useOnce(path) {
  const [held, hold] = useState({ value: undefined, error: null });
  const [round, again] = useReducer((number) => number + 1, 0);
  useEffect(() => {
    if (!path) return undefined;
    let current = true;
    get(path).then(
      (value) => current && hold({ value, error: null }),
      (error) => current && hold((before) => ({ value: before.value, error })),
    );
    return () => { current = false; };
  }, [path, round]);
  return { ...held, again };
}

/** Whether nothing reaches us just now. */
export function useLost() {
  const [is, set] = useState(lost);
  useEffect(() => {
    watchers.add(set);
    set(lost);
    return () => watchers.delete(set);
  }, []);
  return is;
}

/** Hear nothing more, until `reopen`: somebody else may sign in. */
export function hangUp() {
  source?.close();
  source = null;
  opened = "";
}
