/** A plugin and what it does to the events of the chosen message. */
import { h, replace } from "../dom.ts";
import { PluginHost } from "../plugin/host.ts";
import type { LogLine, Outcome } from "../plugin/protocol.ts";
import type { EventDetail } from "../protocol.ts";
import { formatBytes } from "../text.ts";
import { diffElement } from "./diff.ts";
import { jsonElement } from "./json.ts";

export interface PluginHooks {
  /** It is another one now, or none: what it does is to be asked again. */
  changed(): void;
}

export class PluginView {
  readonly element = h("div", { class: "scroll plugin" });
  readonly #host = new PluginHost();
  readonly #hooks: PluginHooks;
  readonly #config = h("textarea", { id: "plugin-config", rows: 4, spellcheck: "false" });
  readonly #error = h("p", { class: "error", role: "alert" });
  readonly #about = h("p", { class: "about" });
  readonly #log = h("ol", { class: "log" });
  #component: Uint8Array | null = null;
  #file = "";
  #name: string | null = null;

  constructor(hooks: PluginHooks) {
    this.#hooks = hooks;
    this.#draw();
  }

  /** Its name, where there is one that runs. */
  get name(): string | null {
    return this.#name;
  }

  async open(file: File): Promise<void> {
    this.#file = file.name;
    this.#component = new Uint8Array(await file.arrayBuffer());
    this.#draw();
    await this.#load();
  }

  /** What becomes of events; nothing where there is no plugin. */
  async outcomes(events: EventDetail[]): Promise<Outcome[]> {
    if (this.#name === null || events.length === 0) return [];
    try {
      const { outcomes, log } = await this.#host.run(events);
      this.#showLog(log);
      return outcomes;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return events.map(() => ({ kind: "failed", text }));
    }
  }

  async #load(): Promise<void> {
    if (!this.#component) return;
    this.#name = null;
    this.#error.textContent = "";
    this.#about.textContent = "Loading…";
    try {
      const { description, log } = await this.#host.load(this.#component, this.#config.value);
      const { name, version, commits } = description;
      this.#name = name;
      this.#about.textContent = `${name} ${version}, ${this.#file}, ${formatBytes(this.#component.length)}${
        commits ? "; what it emits at commits is not shown here" : ""
      }`;
      this.#showLog(log);
    } catch (error) {
      this.#about.textContent = this.#file;
      this.#error.textContent = error instanceof Error ? error.message : String(error);
    }
    this.#hooks.changed();
  }

  #remove(): void {
    this.#host.close();
    this.#component = null;
    this.#name = null;
    this.#error.textContent = "";
    replace(this.#log);
    this.#draw();
    this.#hooks.changed();
  }

  #draw(): void {
    if (!this.#component) {
      replace(
        this.element,
        h(
          "p",
          { class: "help" },
          "Drop a plugin on the page, a component of the world in wit/plugin/plugin.wit: what it does to the events of the chosen message is shown with them. It runs here, with nothing but its log, and anew for each message.",
        ),
      );
      return;
    }
    const apply = h("button", { type: "button", id: "plugin-apply" }, "Apply");
    apply.addEventListener("click", () => void this.#load());
    const remove = h("button", { type: "button" }, "Remove");
    remove.addEventListener("click", () => {
      this.#remove();
    });
    replace(
      this.element,
      this.#about,
      this.#error,
      h(
        "div",
        { class: "field-row" },
        h("label", { for: "plugin-config" }, "Its configuration"),
        this.#config,
      ),
      h("div", { class: "group" }, apply, remove),
      this.#log,
    );
  }

  #showLog(lines: readonly LogLine[]): void {
    replace(this.#log, ...lines.map(({ level, text }) => h("li", {}, `${level}: ${text}`)));
  }
}

const WORDS: Readonly<Record<Outcome["kind"], string>> = {
  "not asked": "passes by",
  became: "",
  dropped: "dropped",
  failed: "fails",
  kept: "kept",
};

/** What a plugin makes of an event. */
export function outcomeElement(name: string, event: EventDetail, outcome: Outcome): HTMLElement {
  const element = h("section", { class: "outcome", "data-outcome": outcome.kind });
  if (outcome.kind !== "became") {
    const why = outcome.kind === "failed" ? `: ${outcome.text}` : "";
    element.append(h("p", {}, h("b", {}, name), ` ${WORDS[outcome.kind]}${why}`));
    return element;
  }
  const [only, ...others] = outcome.events;
  if (!only) {
    element.append(h("p", {}, h("b", {}, name), " emits nothing in its place"));
    return element;
  }
  if (others.length > 0) {
    element.append(
      h("p", {}, h("b", {}, name), ` emits ${String(outcome.events.length)} events in its place`),
      ...outcome.events.map(({ topic, value }) =>
        h("div", {}, h("p", { class: "topic" }, topic), jsonElement(value ?? "null", "")),
      ),
    );
    return element;
  }
  element.append(h("p", {}, h("b", {}, name), " changes it"));
  if (only.topic !== event.topic) {
    element.append(
      h("p", { class: "topic" }, h("del", {}, event.topic), " ", h("ins", {}, only.topic)),
    );
  }
  if (only.key !== event.key) element.append(diffElement(event.key, only.key));
  if (only.value !== event.value) element.append(diffElement(event.value, only.value));
  return element;
}
