// The frame: who is signed in, where we are, and which view that is. Views are listed in views/index.js.
import {
  Head, Icon, Teller, fit, get, hangUp, html, onSignedOut, post, render, reopen, useEffect, useErrorBoundary, useLayoutEffect, useLost, useRoute, useState,
} from "./lib.js";
import { Keys, useKeys } from "./keys.js";
import { Me } from "./me.js";
import { SignIn } from "./signin.js";
import { places, routes } from "./views/index.js";

function App() {
  const [me, setMe] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const look = () => get("me").then((told) => { setMe(told); setTrouble(null); if (told.user) reopen(); }, setTrouble);
  useEffect(() => {
    onSignedOut(() => { hangUp(); look(); });
    invited().then(look);
  }, []);
  if (!me) {
    return trouble && html`<main class="alone"><p class="wrong" role="alert">${trouble.message}</p><button class="button" onClick=${look}>Try again</button></main>`;
  }
  if (!me.user) return html`<${SignIn} guest=${me.guest} onDone=${look} />`;
  return html`<${Me.Provider} value=${me}><${Frame} me=${me} onLeave=${async () => { await post("logout"); hangUp(); look(); }} /></${Me.Provider}>`;
}

/** The address that `leveret dashboard` prints has a word in it that signs in once. */
async function invited() {
  const word = /^#\/in\/([\w-]+)$/.exec(location.hash)?.[1];
  if (!word) return;
  history.replaceState(null, "", "#/");
  try {
    await post("login", { word });
  } catch { /* it was used before: there is the form, unless somebody is signed in */ }
}

function Frame({ me, onLeave }) {
  const route = useRoute();
  const lost = useLost();
  const [keys, setKeys] = useState(false);
  useKeys(places, () => setKeys((shown) => !shown));
  const here = route.parts[0] ?? "";
  const path = route.parts.join("/");
  useLayoutEffect(() => {  // at once: what is pressed next may want the focus elsewhere
    scrollTo(0, 0);
    // After the first page the heading is told to whoever does not see it.
    if (document.activeElement && document.activeElement !== document.body) document.querySelector("main h1")?.focus({ preventScroll: true });
  }, [path]);
  return html`
    <div class="frame">
      <header class="side">
        <a class="skip" href=${location.hash || "#/"} onClick=${(event) => { event.preventDefault(); document.querySelector("main").focus(); }}>Skip to the content</a>
        <a class="brand" href="#/"><img src="assets/icon.svg" alt="" width="22" height="22" /><span>Leveret</span></a>
        <nav class="places" aria-label="Pages">
          ${places.map((place) => html`
            <a key=${place.path} href="#/${place.path}" class="place" aria-current=${here === place.path ? "page" : undefined} title="g ${place.letter}">
              <${Icon} name=${place.icon} /><span>${place.label}</span>
            </a>`)}
        </nav>
        <div class="side-foot">
          <p class="whose" title=${me.broker.name}><span class="whose-name">${me.broker.product} ${me.broker.version}</span><span class="faint">${me.user}${me.may_write ? "" : ", may only look"}</span></p>
          <div class="side-acts">
            <button type="button" class="quiet" onClick=${() => window.switchTheme()} aria-label="Switch between light and dark" title="Light or dark (t)"><${Icon} name="light" /></button>
            <button type="button" class="quiet" onClick=${() => setKeys(true)} aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)"><${Icon} name="keys" /></button>
            <button type="button" class="quiet" onClick=${onLeave} aria-label="Sign out" title="Sign out"><${Icon} name="leave" /></button>
          </div>
        </div>
      </header>
      <main tabindex="-1">
        <div aria-live="assertive">${lost && html`<p class="banner">The connection to the dashboard is lost; trying again. What you see may be out of date.</p>`}</div>
        <${View} key=${path} route=${route} />
      </main>
    </div>
    ${keys && html`<${Keys} places=${places} onClose=${() => setKeys(false)} />`}
    <${Teller} />`;
}

function View({ route }) {
  const [error, reset] = useErrorBoundary();
  if (error) {
    return html`<${Head} title="This page failed" /><p class="wrong" role="alert">${String(error)}</p><button class="button" onClick=${reset}>Try again</button>`;
  }
  for (const { pattern, view } of routes) {
    const names = fit(pattern, route.parts);
    if (names) return html`<${view} ...${names} query=${route.query} />`;
  }
  return html`
    <${Head} title="There is no such page" />
    <p class="note">Nothing is at <code>#/${route.parts.join("/")}</code>. It may have been, or the address is cut off.</p>
    <p><a class="button" href="#/">To the overview</a></p>`;
}

render(html`<${App} />`, document.getElementById("app"));

