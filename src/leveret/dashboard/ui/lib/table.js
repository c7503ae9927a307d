// Tables and what goes into them.
import { html } from "../vendor/preact-htm.js";
import { exact } from "./format.js";
import { Icon } from "./icons.js";

/**
 * columns: [{key, label, render(row), num, sort, hide}]; `sort` is what the server calls it, `hide` ("phone" or "narrow") drops a column
 * where there is no room. `order`: {by, reverse}; `onOrder(by, reverse)`.
 */
export function Table({ label, columns, rows, rowKey, order, onOrder, rowClass, empty }) {
  if (!rows.length && empty) return empty;
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="${label}, table">
      <table>
        <caption class="unseen">${label}</caption>
        <thead><tr>${columns.map((column) => html`<${Heading} key=${column.key} column=${column} order=${order} onOrder=${onOrder} />`)}</tr></thead>
        <tbody>${rows.map((row) => html`
          <tr key=${rowKey(row)} class=${rowClass?.(row)}>${columns.map((column) => html`
            <td class=${classes(column)}>${column.render ? column.render(row) : row[column.key]}</td>`)}
          </tr>`)}</tbody>
      </table>
    </div>`;
}

const classes = (column) => [column.num && "num", column.hide && `hide-${column.hide}`, column.wide && "wide"].filter(Boolean).join(" ");

function Heading({ column, order, onOrder }) {
  if (!column.sort) return html`<th scope="col" class=${classes(column)}>${column.label}</th>`;
  const active = order?.by === column.sort;
  const clicked = () => onOrder(column.sort, active ? !order.reverse : Boolean(column.num));
  return html`
    <th scope="col" class=${classes(column)} aria-sort=${active ? (order.reverse ? "descending" : "ascending") : undefined}>
      <button type="button" class="sort ${active ? "active" : ""}" onClick=${clicked}>${column.label}${active && html`<${Icon} name=${order.reverse ? "down" : "up"} />`}</button>
    </th>`;
}

export function Pager({ page, pages, filtered, size, onPage, what = "rows" }) {
  if (pages <= 1) return null;
  const first = (page - 1) * size + 1;
  return html`
    <nav class="pager" aria-label="Pages">
      <span>${exact(first)}–${exact(Math.min(filtered, page * size))} of ${exact(filtered)} ${what}</span>
      <button type="button" class="button small" disabled=${page <= 1} onClick=${() => onPage(page - 1)}>Previous</button>
      <span class="unseen">page ${page} of ${pages}</span>
      <button type="button" class="button small" disabled=${page >= pages} onClick=${() => onPage(page + 1)}>Next</button>
    </nav>`;
}

/** A line of so many values; what it says stands in `label`. */
export function Spark({ values, label, width = 96, height = 22 }) {
  if (!values || values.length < 2) return html`<span class="faint">–</span>`;
  const most = Math.max(...values, 1);
  const step = width / (values.length - 1);
  const y = (value) => (height - 2 - (value / most) * (height - 4)).toFixed(1);
  const points = values.map((value, place) => `${(place * step).toFixed(1)},${y(value)}`).join(" ");
  return html`
    <svg class="spark" viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label=${label} preserveAspectRatio="none">
      <polygon class="spark-area" points="0,${height} ${points} ${width},${height}" />
      <polyline class="spark-line" points=${points} />
    </svg>`;
}
