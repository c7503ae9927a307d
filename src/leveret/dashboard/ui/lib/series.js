// A chart's figures: asked for once, as far back as the server has them, then grown by what is told live. And the chart that every series has.
import { Chart } from "./chart.js";
import { rate } from "./format.js";
import { get, query } from "./net.js";
import { Panel } from "./parts.js";
import { html, useEffect, useState } from "../vendor/preact-htm.js";

const NAMES = ["ready", "unacked", "in", "out"];
const NOTHING = { at: [], ready: [], unacked: [], in: [], out: [] };
const SHOWN_S = 900;

/** Of `of` (total, or queue/VHOST/NAME quoted). `moment`: {at, ready, unacked, in, out} of just now; undefined: not known yet. */
export function useSeries(of, moment) {
  const [series, set] = useState(null);
  useEffect(() => {
    let current = true;
    set(null);
    get(`series?${query({ of })}`).then((told) => current && set({ ...NOTHING, ...told }), () => current && set(NOTHING));
    return () => { current = false; };
  }, [of]);
  const begun = series !== null;
  useEffect(() => {
    if (!moment || !begun) return;
    set((before) => (before.at.at(-1) >= moment.at ? before : grown(before, moment)));
  }, [moment?.at, begun]);
  return series ?? NOTHING;
}

export const RatesPanel = ({ series }) => html`
  <${Panel} id="rates" title="Messages per second">
    <${Chart} title="Messages per second" at=${series.at} span_s=${120} lines=${[
      { label: "In", values: series.in, colour: "--chart-1", format: rate },
      { label: "Out", values: series.out, colour: "--chart-3", format: rate },
    ]} />
  </${Panel}>`;

function grown(before, moment) {
  const from = Math.max(0, before.at.findIndex((at) => at > moment.at - SHOWN_S));
  const after = { at: [...before.at.slice(from), moment.at] };
  for (const name of NAMES) after[name] = [...before[name].slice(from), moment[name]];
  return after;
}
