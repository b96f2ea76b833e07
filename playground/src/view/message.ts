/** The selected message: its events beside its bytes. */
import { copyButton, h, replace } from "../dom.ts";
import type { Detail, EventDetail, Field } from "../protocol.ts";
import { formatBytes, formatCount, formatLsn, formatTime, plural, toHex } from "../text.ts";
import type { Outcome } from "../plugin/protocol.ts";
import { jsonElement } from "./json.ts";
import { outcomeElement } from "./plugin.ts";
import { describe } from "./timeline.ts";

const ROW_BYTES = 16;
/** Bytes shown at first, and more at a time. */
const BYTES_SHOWN = 4096;
const OPS: Readonly<Record<string, string>> = {
  c: "create",
  u: "update",
  d: "delete",
  r: "read",
  t: "truncate",
  m: "message",
};

export interface MessageHooks {
  select(message: number): void;
}

/** An event as Debezium's consumers get it: key, value, headers, topic. */
export function eventJson({ key, value, headers, topic }: EventDetail): string {
  const name = JSON.stringify(topic);
  return `{"key":${key ?? "null"},"value":${value ?? "null"},"headers":${headers},"topic":${name}}`;
}

export class MessageView {
  readonly element: HTMLElement;
  readonly #events: HTMLElement;
  readonly #bytes: HTMLElement;
  readonly #hooks: MessageHooks;
  #detail: Detail | null = null;
  #open = new Set<string>(["value"]);

  constructor(hooks: MessageHooks) {
    this.#hooks = hooks;
    this.#events = h("section", { class: "events", "aria-label": "Events" });
    this.#bytes = h("section", { class: "bytes", "aria-label": "Bytes" });
    this.element = h("div", { class: "message" }, this.#events, this.#bytes);
    this.element.addEventListener("focusin", (event) => {
      this.#highlight(event.target as Element);
    });
    let under: EventTarget | null = null;
    let place = "";
    this.element.addEventListener("pointermove", (event) => {
      // What scrolls by under a pointer that rests is not pointed at.
      const here = `${String(event.clientX)} ${String(event.clientY)}`;
      if (here === place || event.target === under) return;
      place = here;
      under = event.target;
      this.#highlight(event.target as Element);
    });
    this.element.addEventListener("pointerleave", () => {
      this.#mark(new Set(), new Set());
    });
    this.#bytes.addEventListener("keydown", (event) => {
      this.#key(event);
    });
    this.clear("Choose a message.");
  }

  clear(text: string): void {
    this.#detail = null;
    replace(this.#events, h("p", { class: "none" }, text));
    replace(this.#bytes);
  }

  /** What a plugin makes of the events that are shown. */
  showOutcomes(detail: Detail, name: string, outcomes: readonly Outcome[]): void {
    if (this.#detail !== detail) return;
    for (const old of this.#events.querySelectorAll(".outcome")) old.remove();
    const articles = [...this.#events.querySelectorAll("article")];
    outcomes.forEach((outcome, at) => {
      const event = detail.events[at];
      const header = articles[at]?.querySelector("header");
      if (event) header?.after(outcomeElement(name, event, outcome));
    });
  }

  /** That it takes a while. */
  busy(fraction: number): void {
    if (this.#detail) return;
    const percent = Math.round(fraction * 100);
    replace(
      this.#events,
      h("p", { class: "none" }, `Decoding up to this message: ${String(percent)} %`),
    );
  }

  show(detail: Detail): void {
    const same = this.#detail?.row.number === detail.row.number;
    const [events, bytes] = [this.#events.scrollTop, this.#bytes.scrollTop];
    this.#detail = detail;
    this.#showEvents(detail);
    // With other options the bytes are the same.
    if (!same) this.#showBytes(detail);
    this.#events.scrollTop = same ? events : 0;
    this.#bytes.scrollTop = same ? bytes : 0;
  }

  #showEvents(detail: Detail): void {
    const { row, events, eventsTotal, failure, note, commit, question, transaction } = detail;
    const facts: (HTMLElement | string)[] = [];
    if (row.clockUs > 0n)
      facts.push(h("span", { title: "Server clock, UTC" }, formatTime(row.clockUs)));
    if (row.lsn > 0n) facts.push(h("span", { title: "LSN" }, formatLsn(row.lsn)));
    if (transaction) facts.push(h("span", { title: "Transaction" }, describe(transaction)));
    const head = h(
      "div",
      { class: "pane-head" },
      h("h2", {}, eventsTotal === 0 ? "No event" : plural(eventsTotal, "event")),
      events.length > 0 &&
        copyButton(events.length === 1 ? "Copy JSON" : "Copy all as JSON", () =>
          events.map(eventJson).join("\n"),
        ),
    );
    const parts: (HTMLElement | false | null)[] = [
      head,
      h("p", { class: "facts" }, ...facts),
      row.problem !== null && h("p", { class: "error" }, `Not understood: ${row.problem}`),
      failure && h("p", { class: "error", role: "alert" }, failureText(failure)),
      note !== null && h("p", { class: "note" }, note),
      commit !== null && this.#commitNote(commit),
      question && h("p", { class: "note" }, questionText(question)),
      events.length === 0 &&
        !failure &&
        note === null &&
        h("p", { class: "none" }, whyNone(row.type)),
      ...events.map((event, at) => this.#event(event, at, events.length)),
      eventsTotal > events.length &&
        h(
          "p",
          { class: "note" },
          `${formatCount(eventsTotal - events.length)} more are not shown.`,
        ),
    ];
    replace(this.#events, ...parts);
  }

  #commitNote(commit: number): HTMLElement {
    const link = h(
      "button",
      { type: "button", class: "link" },
      `message ${formatCount(commit + 1)}`,
    );
    link.addEventListener("click", () => {
      this.#hooks.select(commit);
    });
    return h("p", { class: "note" }, "Decoded when its transaction is committed, at ", link, ".");
  }

  #event(event: EventDetail, at: number, count: number): HTMLElement {
    const { topic, op, key, value, headers, position, passedOver } = event;
    const what = op ? (OPS[op] ?? op) : value === null ? "tombstone" : "transaction metadata";
    const part = (name: string, text: string | null) => {
      const open = this.#open.has(name);
      const body = h("details", { class: "part", open });
      const size = text === null ? "" : formatBytes(new TextEncoder().encode(text).length);
      body.append(h("summary", {}, name, h("span", { class: "muted" }, size)));
      const fill = () => {
        if (body.childElementCount > 1) return;
        body.append(
          text === null ? h("div", { class: "json j-word" }, "null") : jsonElement(text, name),
        );
      };
      if (open) fill();
      body.addEventListener("toggle", () => {
        fill();
        if (body.open) this.#open.add(name);
        else this.#open.delete(name);
      });
      return body;
    };
    return h(
      "article",
      { class: "event", "aria-label": `Event ${String(at + 1)} of ${String(count)}` },
      h(
        "header",
        {},
        h("span", { class: "op", "data-op": op ?? "" }, op ?? "–"),
        h("span", { class: "what" }, what),
        h("span", { class: "topic", title: "Topic" }, topic),
        h("span", { class: "muted", title: "Position: commit LSN, change, event" }, position),
        count > 1 && copyButton("Copy", () => eventJson(event)),
      ),
      passedOver && h("p", { class: "note" }, "It came before, and is passed over."),
      part("key", key),
      part("value", value),
      part("headers", headers),
    );
  }

  #showBytes({ frame, fields }: Detail): void {
    const owner = new Int32Array(frame.length).fill(-1);
    fields.forEach((field, at) => {
      owner.fill(at, field.offset, field.offset + field.bytes);
    });
    const dump = h("div", { class: "dump", "aria-label": "Hexadecimal", role: "img" });
    const more = h("button", { type: "button", class: "small" });
    let shown = 0;
    const show = (to: number) => {
      const rows = document.createDocumentFragment();
      for (; shown < Math.min(to, frame.length); shown += ROW_BYTES) {
        rows.append(dumpRow(frame, shown, owner));
      }
      dump.append(rows);
      const rest = frame.length - shown;
      more.hidden = rest <= 0;
      const step = Math.min(16 * BYTES_SHOWN, rest);
      more.textContent = `Show ${formatBytes(step)} of ${formatBytes(rest)} more`;
    };
    more.addEventListener("click", () => {
      show(shown + 16 * BYTES_SHOWN);
    });
    show(BYTES_SHOWN);
    replace(
      this.#bytes,
      h(
        "div",
        { class: "pane-head" },
        h("h2", {}, plural(frame.length, "byte")),
        copyButton("Copy hex", () => toHex(frame)),
      ),
      h(
        "div",
        { class: "bytes-body" },
        h("div", { class: "dump-box" }, dump, more),
        fieldList(fields),
      ),
    );
  }

  /** Whatever is under the pointer or has the focus: its bytes, its field, its value. */
  #highlight(target: Element): void {
    const { fields } = this.#detail ?? { fields: [] };
    const at = target.closest<HTMLElement>("[data-f]")?.dataset["f"];
    const path = target.closest<HTMLElement>("[data-path]")?.dataset["path"];
    const marked = new Set<number>();
    const paths = new Set<string>();
    if (at !== undefined) {
      const its = fields[Number(at)]?.path ?? null;
      marked.add(Number(at));
      if (its !== null) {
        paths.add(its);
        fields.forEach((field, other) => {
          if (field.path === its) marked.add(other);
        });
      }
    } else if (path !== undefined) {
      fields.forEach((field, other) => {
        if (field.path !== null && covers(field.path, path)) {
          marked.add(other);
          paths.add(field.path);
        }
      });
    }
    this.#mark(marked, paths);
  }

  #mark(fields: ReadonlySet<number>, paths: ReadonlySet<string>): void {
    for (const element of this.#bytes.querySelectorAll<HTMLElement>("[data-f]")) {
      element.classList.toggle("on", fields.has(Number(element.dataset["f"])));
    }
    for (const element of this.#events.querySelectorAll<HTMLElement>("[data-path]")) {
      const its = element.dataset["path"] ?? "";
      let on = false;
      for (const path of paths) on ||= covers(path, its);
      element.classList.toggle("on", on);
    }
  }

  #key(event: KeyboardEvent): void {
    const current = document.activeElement;
    if (!(current instanceof HTMLElement) || !current.matches(".fields [data-f]")) return;
    const all = [...this.#bytes.querySelectorAll<HTMLElement>(".fields [data-f]")];
    const place = all.indexOf(current);
    const to: Record<string, number> = {
      ArrowDown: place + 1,
      ArrowUp: place - 1,
      Home: 0,
      End: all.length - 1,
    };
    const next = all[to[event.key] ?? -1];
    if (!next) return;
    event.preventDefault();
    for (const row of all) row.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/** Whether a path of the event is a field's value, with or without the schema around it. */
function covers(field: string, path: string): boolean {
  const plain = path.replace(/^(key|value)\.(payload\.)?/, "");
  if (field === plain || plain.startsWith(`${field}.`)) return true;
  // A key has the columns at its top.
  return path.startsWith("key.") && (field === `after.${plain}` || field === `before.${plain}`);
}

function dumpRow(frame: Uint8Array, from: number, owner: Int32Array): HTMLElement {
  const row = h("div", { class: "dump-row" });
  const hex = h("span", { class: "hex" });
  const text = h("span", { class: "text" });
  row.append(h("span", { class: "offset" }, from.toString(16).padStart(4, "0")), hex, text);
  const end = Math.min(from + ROW_BYTES, frame.length);
  for (let at = from; at < end;) {
    const field = owner[at] ?? -1;
    let to = at + 1;
    while (to < end && owner[to] === field) to++;
    const bytes = frame.subarray(at, to);
    const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = [...bytes].map((byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·",
    );
    const shade = field % 2 === 0 ? "even" : "odd";
    hex.append(h("span", { "data-f": field, class: shade }, digits), to < end ? " " : "");
    text.append(h("span", { "data-f": field, class: shade }, letters.join("")));
    at = to;
  }
  return row;
}

function fieldList(fields: readonly Field[]): HTMLElement {
  const rows = fields.map(({ offset, bytes, name, value, path }, at) =>
    h(
      "div",
      {
        class: "field",
        role: "option",
        "data-f": at,
        tabindex: at === 0 ? 0 : -1,
        "data-linked": path === null ? "no" : "yes",
        title: `byte ${String(offset)}, ${plural(bytes, "byte")}`,
      },
      h("span", { class: "name" }, name),
      h("span", { class: "value" }, value),
    ),
  );
  return h("div", { class: "fields", role: "listbox", "aria-label": "Fields" }, rows);
}

function failureText({ kind, offset, detail }: NonNullable<Detail["failure"]>): string {
  return `Cannot be decoded (${kind}, byte ${String(offset)} of the message): ${detail}`;
}

function questionText({ namespace, name, facts }: NonNullable<Detail["question"]>): string {
  const answer = facts === null ? "the recording has no answer" : "answered by the recording";
  return `Here the decoder asked the catalog for ${namespace}.${name}: ${answer}.`;
}

/** Why there is nothing to see, where that is as it should be. */
function whyNone(type: string): string {
  if (["Insert", "Update", "Delete", "Truncate", "Message"].includes(type)) {
    return "No event comes of it with these options.";
  }
  return `${type}: of this message no event comes.`;
}
