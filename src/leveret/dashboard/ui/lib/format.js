// Numbers and times as people read them. Units are in the text; exact values belong into a title.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 1,234 and from a hundred thousand on 123k, 4.5M. */
export function count(number) {
  if (number === null || number === undefined) return "–";
  if (Math.abs(number) < 1e5) return whole.format(number);
  const [unit, divisor] = Math.abs(number) < 1e6 ? ["k", 1e3] : Math.abs(number) < 1e9 ? ["M", 1e6] : ["G", 1e9];
  const value = number / divisor;
  return `${value < 10 ? value.toFixed(1) : whole.format(value)}${unit}`;
}

export const exact = (number) => whole.format(number);

/** Per second. */
export function rate(number) {
  if (number === null || number === undefined) return "–";
  if (number < 0.005) return "0";
  return number < 10 ? number.toFixed(number < 1 ? 2 : 1) : count(number);
}

/** 0.4 s, 12 s, 3 min 05 s, 2 h 10 min, 4 d 3 h. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return "0 s";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60 ? `${String(s % 60).padStart(2, "0")} s` : ""}`.trim();
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

const two = (number, unit, rest, small) => `${number} ${unit}${rest ? ` ${rest} ${small}` : ""}`;

export function bytes(number) {
  if (number === null || number === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  let value = number;
  while (value >= 1024 && place < units.length - 1) { value /= 1024; place += 1; }
  return `${place && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[place]}`;
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dateFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Of seconds since 1970: the time of day. */
export const clock = (at) => clockFormat.format(at * 1000);
export const when = (at) => dateFormat.format(at * 1000);
export const plural = (number, one, many = `${one}s`) => `${exact(number)} ${number === 1 ? one : many}`;
