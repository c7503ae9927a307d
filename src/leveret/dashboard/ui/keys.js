// Keyboard shortcuts, and the list of them.
import { Dialog, go, html, useLayoutEffect } from "./lib.js";

const WAIT_MS = 1200;

const typing = (target) => target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]") || document.querySelector("dialog[open]");

/** g and a letter goes to a place, / to the search box, t switches colours, j and k go through rows. */
export function useKeys(places, onHelp) {
  useLayoutEffect(() => {  // at once: who sees the page may press a key
    let after_g = -WAIT_MS;
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      const key = event.key;
      if (event.timeStamp - after_g < WAIT_MS) {
        after_g = -WAIT_MS;
        const place = places.find((one) => one.letter === key);
        if (place) { event.preventDefault(); go(`#/${place.path}`); return; }
      }
      if (key === "g") after_g = event.timeStamp;
      else if (key === "?") onHelp();
      else if (key === "t") window.switchTheme();
      else if (key === "/") { event.preventDefault(); document.querySelector("[data-search]")?.focus(); }
      else if (key === "j" || key === "k") along(key === "j" ? 1 : -1);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

function along(step) {
  const links = [...document.querySelectorAll("main tbody a.row")];
  if (!links.length) return;
  const place = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, place < 0 ? 0 : place + step))].focus();
}

export const Keys = ({ places, onClose }) => html`
  <${Dialog} title="Keyboard shortcuts" onClose=${onClose}>
    <dl class="keys">
      ${places.map((place) => html`<div><dt><kbd>g</kbd> <kbd>${place.letter}</kbd></dt><dd>${place.label}</dd></div>`)}
      <div><dt><kbd>/</kbd></dt><dd>Search</dd></div>
      <div><dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>Next and previous row; Enter opens it</dd></div>
      <div><dt><kbd>t</kbd></dt><dd>Light or dark</dd></div>
      <div><dt><kbd>?</kbd></dt><dd>This list</dd></div>
    </dl>
    <div class="dialog-acts"><button type="button" class="button" onClick=${onClose}>Close</button></div>
  </${Dialog}>`;
