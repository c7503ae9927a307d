// Lines over time, drawn by uPlot on a canvas; what they show stands in words and figures beside it.
import { html, useEffect, useRef } from "../vendor/preact-htm.js";
import { clock } from "./format.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * lines: [{label, values, colour: "--chart-1", area, format}]; `at`: seconds since 1970, as many. `title` names it for screen readers.
 */
export function Chart({ title, at, lines, height = 180, span_s }) {
  const place = useRef(null);
  const plot = useRef(null);
  const data = [at, ...lines.map((line) => line.values)];
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(lines, place.current.clientWidth, height, span_s), latest.current, place.current);
    };
    make();
    const sized = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height }));
    sized.observe(place.current);
    addEventListener("themechange", make);
    return () => {
      removeEventListener("themechange", make);
      sized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [lines.map((line) => line.label).join(), height, span_s]);

  useEffect(() => { plot.current?.setData(data); });

  return html`
    <figure class="chart">
      <figcaption class="legend">
        ${lines.map((line) => html`<span><i style=${{ background: `var(${line.colour})` }} aria-hidden="true"></i>${line.label} <b>${said(line, line.values.at(-1))}</b></span>`)}
      </figcaption>
      <div ref=${place} class="plot" role="img" aria-label=${alternative(title, at, lines)}></div>
    </figure>`;
}

const said = (line, value) => (value === undefined || value === null ? "–" : line.format(value));

function alternative(title, at, lines) {
  if (at.length < 2) return `${title}: nothing yet`;
  const parts = lines.map((line) => {
    const values = line.values.filter((value) => value !== null && value !== undefined);
    if (!values.length) return `${line.label} unknown`;
    return `${line.label} now ${said(line, values.at(-1))}, between ${said(line, Math.min(...values))} and ${said(line, Math.max(...values))}`;
  });
  return `${title} from ${clock(at[0])} to ${clock(at.at(-1))}: ${parts.join("; ")}`;
}

function options(lines, width, height, span_s) {
  const faint = colour("--chart-text");
  const axis = { stroke: faint, grid: { stroke: colour("--chart-grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width,
    height,
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    padding: [8, 22, 0, 0],
    scales: {
      x: { time: true, range: (plot, low, high) => (span_s && high !== null ? [Math.min(low, high - span_s), high] : [low, high]) },
      y: { range: (plot, low, high) => [0, Math.max(high ?? 0, 1) * 1.08] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 26, values: (plot, ticks) => ticks.map((tick) => clock(tick).slice(0, ticks[1] - ticks[0] < 60 ? 8 : 5)) , space: 80 },
      { ...axis, size: 46, values: (plot, ticks) => ticks.map((tick) => lines[0].format(tick)), space: 36 },
    ],
    series: [{}, ...lines.map((line) => ({
      label: line.label,
      stroke: colour(line.colour),
      width: 1.5,
      fill: line.area ? `${colour(line.colour)}1f` : undefined,
      points: { show: false },
      spanGaps: true,
    }))],
    hooks: { setCursor: [hint(lines)] },
  };
}

/** The values under the pointer, in a box of text. */
function hint(lines) {
  let box = null;
  return (plot) => {
    if (!box) {
      box = document.createElement("div");
      box.className = "chart-hint";
      plot.over.append(box);
    }
    const place = plot.cursor.idx;
    box.hidden = place === null || place === undefined || plot.cursor.left < 0;
    if (box.hidden) return;
    const texts = lines.map((line, number) => `${line.label} ${said(line, plot.data[number + 1][place])}`);
    box.textContent = [clock(plot.data[0][place]), ...texts].join("\n");
    const right = plot.cursor.left > plot.over.clientWidth / 2;
    box.style.left = right ? "" : `${plot.cursor.left + 12}px`;
    box.style.right = right ? `${plot.over.clientWidth - plot.cursor.left + 12}px` : "";
  };
}
