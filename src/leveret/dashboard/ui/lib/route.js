// Where we are: everything that can be shared is in the address behind the #, as #/queues/%2F/mail?sort=ready.
import { useLayoutEffect, useState } from "../vendor/preact-htm.js";

export function read(hash = location.hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  return { parts, query: Object.fromEntries(new URLSearchParams(search)) };
}

/** An address for `href`: the parts may hold any character, empty values of `values` are left out. */
export function href(parts, values = {}) {
  const search = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "")).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

export const go = (address) => { location.hash = address; };

/** The same page with other values in its query; nothing to go back to. */
export function refine(values) {
  const { parts, query } = read();
  history.replaceState(null, "", href(parts, { ...query, ...values }));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute() {
  const [route, set] = useState(read());
  useLayoutEffect(() => {  // at once: a link may be followed as soon as it is seen
    const changed = () => set(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

/** What is behind a pattern's colons (as queues/:vhost/:name), or null if the parts do not fit it. */
export function fit(pattern, parts) {
  const wanted = pattern.split("/").filter(Boolean);
  if (wanted.length !== parts.length) return null;
  const names = {};
  for (const [place, one] of wanted.entries()) {
    if (one.startsWith(":")) names[one.slice(1)] = parts[place];
    else if (one !== parts[place]) return null;
  }
  return names;
}
