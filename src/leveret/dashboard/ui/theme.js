// Before anything is drawn: the chosen colours, or those that the system prefers. A classic script, so that nothing flashes.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try { return localStorage.getItem("leveret.theme"); } catch { return null; }
  };
  const apply = () => {
    document.documentElement.dataset.theme = kept() ?? (dark.matches ? "dark" : "light");
    dispatchEvent(new Event("themechange"));
  };
  dark.addEventListener("change", apply);
  window.switchTheme = () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("leveret.theme", next); } catch { /* it holds for this page then */ }
    document.documentElement.dataset.theme = next;
    dispatchEvent(new Event("themechange"));
  };
  apply();
})();
