/** What the decoder asked, what failed, and where the recording comes from. */
import { h, replace } from "../dom.ts";
import type { Failure, Head, Question } from "../protocol.ts";
import { formatCount } from "../text.ts";
import { jsonElement } from "./json.ts";

/** More rows are not of use to anybody. */
const ROWS_MAX = 500;

type Select = (message: number) => void;

function messageLink(message: number, select: Select): HTMLElement {
  const link = h("button", { type: "button", class: "link" }, formatCount(message + 1));
  link.addEventListener("click", () => {
    select(message);
  });
  return link;
}

function table(columns: readonly string[]): { element: HTMLElement; body: HTMLElement } {
  const body = h("tbody");
  const head = h("tr", {}, ...columns.map((text) => h("th", { scope: "col" }, text)));
  return { element: h("table", {}, h("thead", {}, head), body), body };
}

export class CatalogView {
  readonly element = h("div", { class: "scroll" });
  readonly #table = table(["Message", "Asked for", "OID", "Types", "Answer"]);
  readonly #none = h("p", { class: "none" }, "The decoder asked nothing yet.");
  readonly #select: Select;
  #count = 0;

  constructor(select: Select) {
    this.#select = select;
    this.element.append(
      h(
        "p",
        { class: "help" },
        "What the stream does not say, the decoder asks of the server's catalog. A recording has the answers.",
      ),
      this.#none,
      this.#table.element,
    );
    this.reset();
  }

  get count(): number {
    return this.#count;
  }

  reset(): void {
    this.#count = 0;
    replace(this.#table.body);
    this.#none.hidden = false;
    this.#table.element.hidden = true;
  }

  add(questions: readonly Question[]): void {
    for (const { message, relation, namespace, name, types, facts } of questions) {
      if (this.#count++ >= ROWS_MAX) continue;
      const answer = h("details", {});
      answer.append(h("summary", {}, facts === null ? "none recorded" : "facts"));
      if (facts !== null) {
        answer.addEventListener(
          "toggle",
          () => {
            answer.append(jsonElement(facts, ""));
          },
          { once: true },
        );
      }
      this.#table.body.append(
        h(
          "tr",
          {},
          h("td", {}, messageLink(message, this.#select)),
          h("td", {}, `${namespace}.${name}`),
          h("td", {}, relation),
          h("td", {}, types.join(", ")),
          h("td", {}, facts === null ? "none recorded" : answer),
        ),
      );
    }
    this.#none.hidden = this.#count > 0;
    this.#table.element.hidden = this.#count === 0;
  }
}

export class FailuresView {
  readonly element = h("div", { class: "scroll" });
  readonly #table = table(["Message", "Kind", "Byte", "What"]);
  readonly #none = h("p", { class: "none" }, "Every message could be decoded.");
  readonly #select: Select;
  #count = 0;

  constructor(select: Select) {
    this.#select = select;
    this.element.append(this.#none, this.#table.element);
    this.reset();
  }

  get count(): number {
    return this.#count;
  }

  reset(): void {
    this.#count = 0;
    replace(this.#table.body);
    this.#none.hidden = false;
    this.#table.element.hidden = true;
  }

  add(failures: readonly Failure[]): void {
    for (const { message, kind, offset, detail } of failures) {
      if (this.#count++ >= ROWS_MAX) continue;
      this.#table.body.append(
        h(
          "tr",
          {},
          h("td", {}, messageLink(message, this.#select)),
          h("td", {}, kind),
          h("td", {}, offset),
          h("td", {}, detail),
        ),
      );
    }
    this.#none.hidden = this.#count > 0;
    this.#table.element.hidden = this.#count === 0;
  }
}

export class HeadsView {
  readonly element = h("div", { class: "scroll" });
  readonly #select: Select;
  #count = 0;

  constructor(select: Select) {
    this.#select = select;
  }

  reset(): void {
    this.#count = 0;
    replace(this.element);
  }

  add({ block, message, members }: Head): void {
    this.#count++;
    const rows = Object.entries(members).flatMap(([name, value]) => {
      if (name === "options") {
        return Object.entries(value as Record<string, string>).map(([option, its]) =>
          h("tr", {}, h("th", { scope: "row" }, option), h("td", {}, its)),
        );
      }
      const text = Array.isArray(value) ? value.join(", ") : String(value);
      return [h("tr", { class: "member" }, h("th", { scope: "row" }, name), h("td", {}, text))];
    });
    this.element.append(
      h(
        "article",
        { class: "version" },
        h(
          "header",
          {},
          h(
            "h3",
            {},
            this.#count === 1 ? "Recorded from" : `Connected again (${String(this.#count - 1)})`,
          ),
          h(
            "span",
            { class: "muted" },
            `block ${String(block)}, before message `,
            messageLink(message, this.#select),
          ),
        ),
        h("table", { class: "members" }, h("tbody", {}, ...rows)),
      ),
    );
  }
}
