/** Dark or light: as the system has it, or as the person says. */
const NEXT = { auto: "dark", dark: "light", light: "auto" } as const;
const WORDS = { auto: "Auto", dark: "Dark", light: "Light" } as const;
const KEPT = "pgoutput-playground-theme";
type Theme = keyof typeof NEXT;

export function setUpTheme(button: HTMLElement, changed: () => void): void {
  let theme: Theme = "auto";
  const set = (to: Theme) => {
    theme = to;
    if (theme === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    button.textContent = WORDS[theme];
    const means = theme === "auto" ? "as the system" : theme;
    button.setAttribute("aria-label", `Colours: ${means}`);
    button.title = `Colours: ${means}`;
    changed();
  };
  try {
    const kept = localStorage.getItem(KEPT);
    if (kept !== null && kept in NEXT) set(kept as Theme);
  } catch {
    // A page from a folder may have no storage.
  }
  button.addEventListener("click", () => {
    set(NEXT[theme]);
    try {
      localStorage.setItem(KEPT, theme);
    } catch {
      // As above.
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
