// Dialogs: native ones, so that focus, Escape and the rest of the page are the browser's affair.
import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Field, Wrong } from "./parts.js";

let titles = 0;
export function Dialog({ title, onClose, children, wide }) {
  const element = useRef(null);
  const [id] = useState(() => `dialog-${(titles += 1)}`);
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    return () => dialog.open && dialog.close();
  }, []);
  return html`
    <dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby=${id} onClose=${onClose}
      onClick=${(event) => event.target === element.current && onClose()}>
      <div class="dialog-inside">
        <h2 id=${id}>${title}</h2>
        ${children}
      </div>
    </dialog>`;
}

/** A form in a dialog: `act` is called on Enter or the button, `onClose` afterwards; what goes wrong stays in it. */
export function FormDialog({ title, verb, danger, act, onClose, disabled, children, wide }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  async function submitted(event) {
    event.preventDefault();
    if (disabled || busy) return;
    setBusy(true);
    setError(null);
    try {
      await act();
      onClose();
    } catch (wrong) {
      setError(wrong);
      setBusy(false);
    }
  }
  return html`
    <${Dialog} title=${title} onClose=${onClose} wide=${wide}>
      <form onSubmit=${submitted} autocomplete="off">
        ${children}
        <${Wrong} error=${error} />
        <div class="dialog-acts">
          <button type="button" class="button" onClick=${onClose}>Cancel</button>
          <button type="submit" class="button ${danger ? "danger" : "primary"}" disabled=${disabled || busy} aria-busy=${busy}>${verb}</button>
        </div>
      </form>
    </${Dialog}>`;
}

/** "Are you sure?" With `typed`, only whoever types that text is. */
export function Confirm({ title, verb, danger = true, typed, act, onClose, children }) {
  const [text, setText] = useState("");
  return html`
    <${FormDialog} title=${title} verb=${verb} danger=${danger} act=${() => act(text)} onClose=${onClose} disabled=${typed !== undefined && text !== typed}>
      ${children}
      ${typed !== undefined && html`<${Field} label=${html`Type <strong class="name">${typed}</strong> to confirm`} value=${text} onValue=${setText} spellcheck="false" autofocus />`}
    </${FormDialog}>`;
}
