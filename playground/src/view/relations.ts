/** The relations of the stream, version by version. */
import { h, replace } from "../dom.ts";
import type { RelationVersion } from "../protocol.ts";
import { formatCount } from "../text.ts";

const WHAT: Readonly<Record<string, string>> = {
  added: "added",
  type: "type changed",
  key: "key flag changed",
  moved: "moved",
};

export class RelationsView {
  readonly element = h("div", { class: "relations" });
  readonly #list = h("div", { class: "names", role: "listbox", "aria-label": "Relations" });
  readonly #versions = h("div", { class: "versions" });
  readonly #byOid = new Map<number, RelationVersion[]>();
  readonly #select: (message: number) => void;
  #shown = -1;

  constructor(select: (message: number) => void) {
    this.#select = select;
    this.element.append(this.#list, this.#versions);
    this.#list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const all = [...this.#list.children] as HTMLElement[];
      const next = all[all.findIndex((item) => item.tabIndex === 0) + step];
      next?.click();
      next?.focus();
    });
    this.reset();
  }

  reset(): void {
    this.#byOid.clear();
    this.#shown = -1;
    replace(this.#list);
    replace(this.#versions, h("p", { class: "none" }, "No relation was announced yet."));
  }

  get count(): number {
    return this.#byOid.size;
  }

  add(versions: readonly RelationVersion[]): void {
    for (const version of versions) {
      const known = this.#byOid.get(version.oid) ?? [];
      known.push(version);
      this.#byOid.set(version.oid, known);
    }
    if (this.#shown < 0) this.#shown = versions[0]?.oid ?? -1;
    this.#draw();
  }

  #draw(): void {
    const focused = this.#list.contains(document.activeElement);
    const items = [...this.#byOid.values()].map((versions) => {
      const last = versions.at(-1) as RelationVersion;
      const shown = last.oid === this.#shown;
      const item = h(
        "div",
        { role: "option", tabindex: shown ? 0 : -1, "aria-selected": String(shown) },
        h("span", {}, `${last.namespace}.${last.name}`),
        h(
          "span",
          { class: "muted" },
          versions.length > 1 ? `${String(versions.length)} versions` : "",
        ),
      );
      item.addEventListener("click", () => {
        this.#shown = last.oid;
        this.#draw();
      });
      return item;
    });
    replace(this.#list, items);
    if (focused) this.#list.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
    const versions = this.#byOid.get(this.#shown) ?? [];
    replace(this.#versions, ...versions.toReversed().map((version) => this.#version(version)));
  }

  #version(version: RelationVersion): HTMLElement {
    const link = h(
      "button",
      { type: "button", class: "link" },
      `message ${formatCount(version.message + 1)}`,
    );
    link.addEventListener("click", () => {
      this.#select(version.message);
    });
    const rows = version.columns.map(({ name, type, key, changes, was }) =>
      h(
        "tr",
        { "data-change": changes[0] ?? null },
        h("td", {}, name),
        h("td", {}, was === null ? type : `${type} (was ${was})`),
        h("td", {}, key ? "key" : ""),
        h("td", {}, changes.map((change) => WHAT[change] ?? change).join(", ")),
      ),
    );
    const gone = version.removed.map(({ name, type, key }) =>
      h(
        "tr",
        { "data-change": "removed" },
        h("td", {}, h("del", {}, name)),
        h("td", {}, type),
        h("td", {}, key ? "key" : ""),
        h("td", {}, "removed"),
      ),
    );
    return h(
      "article",
      { class: "version" },
      h(
        "header",
        {},
        h("h3", {}, `${version.namespace}.${version.name}`),
        h("span", {}, `version ${String(version.version)}, since `, link),
        h("span", { class: "muted" }, `OID ${String(version.oid)}`),
        h("span", { class: "muted" }, `replica identity ${version.identity}`),
        version.notes.length > 0 && h("span", { class: "note" }, version.notes.join("; ")),
      ),
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ...["Column", "Type", "Key", "Change"].map((text) => h("th", { scope: "col" }, text)),
          ),
        ),
        h("tbody", {}, ...rows, ...gone),
      ),
    );
  }
}
