// All that views use, from one place.
export * from "./vendor/preact-htm.js";
export * from "./lib/net.js";
export * from "./lib/route.js";
export * from "./lib/format.js";
export * from "./lib/parts.js";
export * from "./lib/table.js";
export * from "./lib/dialog.js";
export * from "./lib/tree.js";
export * from "./lib/chart.js";
export * from "./lib/series.js";
export * from "./lib/icons.js";
