/** What is shown below the list, one at a time. */
import { h } from "../dom.ts";

interface Tab {
  id: string;
  label: string;
  element: HTMLElement;
}

export class Tabs {
  readonly #buttons = new Map<string, HTMLButtonElement>();
  readonly #panels = new Map<string, HTMLElement>();

  constructor(parent: HTMLElement, tabs: readonly Tab[]) {
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Details" });
    parent.append(list);
    for (const { id, label, element } of tabs) {
      const button = h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${id}`,
          "aria-controls": `panel-${id}`,
          onclick: () => {
            this.show(id);
          },
        },
        label,
        h("span", { class: "count" }),
      );
      const panel = h(
        "div",
        { class: "panel", role: "tabpanel", id: `panel-${id}`, "aria-labelledby": `tab-${id}` },
        element,
      );
      this.#buttons.set(id, button);
      this.#panels.set(id, panel);
      list.append(button);
      parent.append(panel);
    }
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step === undefined) return;
      const ids = [...this.#buttons.keys()];
      const at = ids.findIndex((id) => this.#buttons.get(id) === document.activeElement);
      const next = ids[(at + step + ids.length) % ids.length];
      if (next === undefined) return;
      event.preventDefault();
      this.show(next);
      this.#buttons.get(next)?.focus();
    });
    this.show(tabs[0]?.id ?? "");
  }

  show(id: string): void {
    for (const [its, button] of this.#buttons) {
      button.setAttribute("aria-selected", String(its === id));
      button.tabIndex = its === id ? 0 : -1;
      const panel = this.#panels.get(its);
      if (panel) panel.hidden = its !== id;
    }
  }

  setCount(id: string, count: number): void {
    const element = this.#buttons.get(id)?.querySelector(".count");
    if (element) element.textContent = count > 0 ? String(count) : "";
  }
}
