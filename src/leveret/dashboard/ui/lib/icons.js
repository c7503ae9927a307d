// Drawn for 16 pixels, in the colour of the text around them; hidden from screen readers, which read the words beside.
import { html } from "../vendor/preact-htm.js";

const PATHS = {
  overview: "M2.500 13.500v-4M6.200 13.500v-8M9.800 13.500v-6M13.500 13.500v-11",
  queues: "M2.500 4h11M2.500 8h11M2.500 12h7",
  workers: "M2.500 3.500h7v2.500h-7zM5.500 6.800h8v2.500h-8zM3.500 10.200h6v2.500h-6z",
  tasks: "M3 4.200l1.200 1.200L6.300 3M3 10.700l1.200 1.200 2.100-2.400M8.500 4.500h5M8.500 11h5",
  failures: "M8 2.500l6 11H2zM8 6.500v3.500M8 11.800v.2",
  unacked: "M8 14a6 6 0 1 0 0-12 6 6 0 0 0 0 12zM8 4.800V8l2.200 1.600",
  schedules: "M2.500 4h11v9.500h-11zM2.500 7h11M5.500 2.500V5M10.500 2.500V5",
  light: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1.500v1.300M8 13.200v1.300M1.500 8h1.300M13.200 8h1.300M3.400 3.400l.9.9M11.700 11.700l.9.9M3.400 12.600l.9-.9M11.700 4.300l.9-.9",
  dark: "M13.300 9.700A5.800 5.800 0 0 1 6.300 2.700a5.800 5.800 0 1 0 7 7z",
  keys: "M2 4.500h12v7H2zM4.500 7h.1M7 7h.1M9.500 7h.1M11.500 7h.1M5.500 9.300h5",
  leave: "M6.500 2.500h-4v11h4M6.500 8h7M11 5.500L13.500 8 11 10.500",
  search: "M7 11.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9zM10.400 10.400l3.100 3.100",
  up: "M8 13V3.500M4 7.300l4-4 4 4",
  down: "M8 3v9.500M4 8.700l4 4 4-4",
  right: "M6 3.500L10.500 8 6 12.500",
  close: "M4 4l8 8M12 4l-8 8",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  play: "M5 3.500l7 4.500-7 4.500z",
  more: "M3.500 8h.1M8 8h.1M12.500 8h.1",
};

export const Icon = ({ name }) => html`
  <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
