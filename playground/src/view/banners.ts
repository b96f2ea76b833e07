/** What a person has to know before looking at anything else. */
import { h } from "../dom.ts";

export class Banners {
  readonly #parent: HTMLElement;
  readonly #shown = new Map<string, HTMLElement>();

  constructor(parent: HTMLElement) {
    this.#parent = parent;
  }

  show(name: string, kind: "error" | "info", text: string): void {
    const known = this.#shown.get(name);
    if (known?.dataset["kind"] === kind) {
      const words = known.firstElementChild;
      if (words && words.textContent !== text) words.textContent = text;
      return;
    }
    this.hide(name);
    const close = h("button", { type: "button", class: "small", "aria-label": "Close" }, "Close");
    const banner = h(
      "div",
      { class: "banner", "data-kind": kind, role: kind === "error" ? "alert" : "status" },
      h("p", {}, text),
      close,
    );
    close.addEventListener("click", () => {
      this.hide(name);
    });
    this.#shown.set(name, banner);
    this.#parent.append(banner);
  }

  has(name: string): boolean {
    return this.#shown.has(name);
  }

  hide(name: string): void {
    this.#shown.get(name)?.remove();
    this.#shown.delete(name);
  }

  clear(): void {
    for (const name of [...this.#shown.keys()]) this.hide(name);
  }
}
