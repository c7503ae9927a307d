// The form. On the broker's own machine it is filled in while guest still has its first password.
import { Field, Wrong, html, post, useEffect, useState } from "./lib.js";

export function SignIn({ guest, onDone }) {
  const [user, setUser] = useState(guest ? "guest" : "");
  const [password, setPassword] = useState(guest ? "guest" : "");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => { document.title = "Sign in · Leveret"; }, []);
  async function submitted(event) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await post("login", { user, password });
      onDone();
    } catch (wrong) {
      setError(wrong);
      setBusy(false);
    }
  }
  return html`
    <main class="alone">
      <form class="signin" onSubmit=${submitted}>
        <img src="assets/icon.svg" alt="" width="40" height="40" />
        <h1>Sign in to Leveret</h1>
        <p class="note">${guest ? "The user guest still has its first password, which opens this door on this machine only." : "With a user of the broker that has the tag management, monitoring or administrator."}</p>
        <${Field} label="User" value=${user} onValue=${setUser} name="user" autocomplete="username" required autofocus />
        <${Field} label="Password" type="password" value=${password} onValue=${setPassword} name="password" autocomplete="current-password" required />
        <${Wrong} error=${error} />
        <button class="button primary wide" disabled=${busy} aria-busy=${busy}>Sign in</button>
      </form>
    </main>`;
}
