/** The messages: rows that exist only while they are seen. */
import { h } from "../dom.ts";
import type { Row } from "../protocol.ts";
import { formatClock, formatCount, formatLsn } from "../text.ts";

const ROW_PX = 22;
/** Elements cannot be as high as all rows of a long stream: beyond, a pixel is more than one row. */
const HEIGHT_PX_MAX = 8_000_000;
const PAGE = 256;
const PAGES_KEPT_MAX = 24;
const OVERSCAN = 6;
const COLUMNS = [
  ["number", "No."],
  ["clock", "Server clock"],
  ["lsn", "LSN"],
  ["xid", "xid"],
  ["type", "Message"],
  ["subject", "Relation"],
  ["bytes", "Bytes"],
] as const;

export interface ListHooks {
  rows(from: number, to: number): Promise<Row[]>;
  select(message: number): void;
  /** The person moved the list away from its end, or back to it. */
  follows(end: boolean): void;
}

interface RowElement {
  element: HTMLElement;
  cells: Text[];
  type: HTMLElement;
  /** What it shows now. */
  shown: string;
}

/** Rows by their number in the stream; with a filter, by their place among those it lets through. */
export class MessageList {
  readonly element: HTMLElement;
  readonly #viewport: HTMLElement;
  readonly #space: HTMLElement;
  readonly #window: HTMLElement;
  readonly #empty: HTMLElement;
  readonly #hooks: ListHooks;
  readonly #pool: RowElement[] = [];
  readonly #pages = new Map<number, Row[]>();
  readonly #asked = new Set<number>();
  #total = 0;
  #dropped = 0;
  #matches: Uint32Array | null = null;
  #matchCount = 0;
  /** Number of a message. */
  #selected = -1;
  #generation = 0;
  #scheduled = false;
  #height = 0;
  #following = false;
  #ownScroll = false;
  #moving: number | null = null;

  constructor(parent: HTMLElement, hooks: ListHooks) {
    this.#hooks = hooks;
    this.#window = h("div", { class: "rows", role: "rowgroup" });
    this.#space = h("div", { class: "space", role: "presentation" }, this.#window);
    this.#empty = h("p", { class: "none" });
    this.#viewport = h(
      "div",
      { class: "viewport", role: "presentation", tabindex: -1 },
      this.#space,
      this.#empty,
    );
    const header = COLUMNS.map(([name, label], at) =>
      h("span", { class: `c-${name}`, role: "columnheader", "aria-colindex": at + 1 }, label),
    );
    this.element = h(
      "div",
      {
        class: "list",
        id: "messages",
        role: "grid",
        tabindex: 0,
        "aria-label": "Messages",
        "aria-colcount": COLUMNS.length,
        "aria-rowcount": 0,
      },
      h("div", { class: "row header", role: "row", "aria-rowindex": 1 }, header),
      this.#viewport,
    );
    parent.append(this.element);
    this.#viewport.addEventListener("scroll", () => {
      this.#schedule();
      if (!this.#ownScroll && this.#following !== this.#atEnd()) {
        this.#hooks.follows(this.#atEnd());
      }
      this.#ownScroll = false;
    });
    this.element.addEventListener("keydown", (event) => {
      this.#key(event);
    });
    this.element.addEventListener("click", (event) => {
      const row = (event.target as Element).closest<HTMLElement>("[data-at]");
      if (row) this.#select(Number(row.dataset["at"]));
    });
    new ResizeObserver(() => {
      this.#height = this.#viewport.clientHeight;
      this.#schedule();
    }).observe(this.#viewport);
  }

  /** Forgets all rows. */
  reset(): void {
    this.#generation++;
    this.#pages.clear();
    this.#asked.clear();
    this.#total = 0;
    this.#dropped = 0;
    this.#matches = null;
    this.#matchCount = 0;
    this.#selected = -1;
    this.#viewport.scrollTop = 0;
    this.#layout();
  }

  setTotal(total: number, dropped: number): void {
    if (total === this.#total && dropped === this.#dropped) return;
    const moved = dropped - this.#dropped;
    this.#total = total;
    this.#dropped = dropped;
    this.#layout();
    if (moved > 0 && !this.#matches && !this.#following) {
      this.#viewport.scrollTop -= moved * ROW_PX * this.#scale();
    }
  }

  /** Shows these messages alone; all of them without. */
  setMatches(matches: Uint32Array | null, count: number): void {
    const begins = (matches === null) !== (this.#matches === null);
    this.#matches = matches;
    this.#matchCount = count;
    this.#layout();
    if (begins && this.#selected >= 0) this.#reveal(this.#placeOf(this.#selected));
  }

  follow(end: boolean): void {
    this.#following = end;
    this.#layout();
  }

  setEmpty(text: string): void {
    this.#empty.textContent = text;
  }

  get selected(): number {
    return this.#selected;
  }

  select(message: number): void {
    this.#selected = message;
    this.#reveal(this.#placeOf(message));
    this.#schedule();
  }

  focus(): void {
    this.element.focus({ preventScroll: true });
  }

  get #count(): number {
    return this.#matches ? this.#matchCount : this.#total - this.#dropped;
  }

  #messageAt(place: number): number {
    return this.#matches ? (this.#matches[place] ?? -1) : place + this.#dropped;
  }

  /** The place of a message, or of the next one that is shown. */
  #placeOf(message: number): number {
    if (!this.#matches) return Math.max(0, message - this.#dropped);
    let low = 0;
    let high = this.#matchCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#matches[middle] as number) < message) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #key(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.#height / ROW_PX) - 1);
    const place = this.#selected < 0 ? -1 : this.#placeOf(this.#selected);
    const last = this.#count - 1;
    const to: Record<string, number> = {
      ArrowDown: place + 1,
      ArrowUp: place - 1,
      PageDown: place + page,
      PageUp: place - page,
      Home: 0,
      End: last,
    };
    const target = to[event.key];
    if (target === undefined || last < 0) return;
    event.preventDefault();
    this.#select(this.#messageAt(Math.min(last, Math.max(0, target))));
  }

  #select(message: number): void {
    this.select(message);
    // Keys that are held down ask for the last of the messages alone.
    if (this.#moving !== null) cancelAnimationFrame(this.#moving);
    this.#moving = requestAnimationFrame(() => {
      this.#moving = null;
      this.#hooks.select(message);
    });
  }

  #scale(): number {
    const whole = this.#count * ROW_PX;
    if (whole <= HEIGHT_PX_MAX) return 1;
    return (HEIGHT_PX_MAX - this.#height) / (whole - this.#height);
  }

  #atEnd(): boolean {
    const { scrollTop, scrollHeight } = this.#viewport;
    return scrollTop + this.#height >= scrollHeight - ROW_PX;
  }

  #reveal(place: number): void {
    const scale = this.#scale();
    const top = this.#viewport.scrollTop / scale;
    const at = place * ROW_PX;
    let to = top;
    if (at < top) to = at;
    else if (at + ROW_PX > top + this.#height) to = at + ROW_PX - this.#height;
    if (to === top) return;
    // A jump puts it into the middle.
    if (Math.abs(to - top) > this.#height) to = at - this.#height / 2;
    this.#viewport.scrollTop = Math.max(0, to) * scale;
  }

  #layout(): void {
    const count = this.#count;
    this.#space.style.height = `${String(Math.min(HEIGHT_PX_MAX, count * ROW_PX))}px`;
    this.element.setAttribute("aria-rowcount", String(count + 1));
    this.#empty.hidden = count > 0;
    if (this.#following) {
      const end = this.#viewport.scrollHeight - this.#height;
      if (Math.abs(this.#viewport.scrollTop - end) > 1) {
        this.#ownScroll = true;
        this.#viewport.scrollTop = end;
      }
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  #draw(): void {
    const scale = this.#scale();
    const top = this.#viewport.scrollTop / scale;
    const first = Math.max(0, Math.floor(top / ROW_PX) - OVERSCAN);
    const visible = Math.ceil(this.#height / ROW_PX) + 2 * OVERSCAN;
    const last = Math.min(this.#count, first + visible);
    const offset = scale === 1 ? first * ROW_PX : this.#viewport.scrollTop + first * ROW_PX - top;
    this.#window.style.transform = `translateY(${String(offset)}px)`;
    while (this.#pool.length < last - first) {
      const row = makeRow(this.#pool.length);
      this.#pool.push(row);
      this.#window.append(row.element);
    }
    let active: string | null = null;
    for (const [at, row] of this.#pool.entries()) {
      const place = first + at;
      if (place >= last) {
        row.element.hidden = true;
        continue;
      }
      const message = this.#messageAt(place);
      const selected = message === this.#selected;
      if (selected) active = row.element.id;
      fill(row, place, message, selected, this.#row(message));
    }
    if (active !== null) this.element.setAttribute("aria-activedescendant", active);
    else this.element.removeAttribute("aria-activedescendant");
  }

  #row(message: number): Row | null {
    const page = Math.floor(message / PAGE);
    const rows = this.#pages.get(page);
    const row = rows?.[message - (rows[0]?.number ?? 0)];
    if (!row) this.#fetch(page);
    return row ?? null;
  }

  #fetch(page: number): void {
    if (this.#asked.has(page)) return;
    this.#asked.add(page);
    const generation = this.#generation;
    const from = Math.max(this.#dropped, page * PAGE);
    const to = Math.min(this.#total, (page + 1) * PAGE);
    this.#hooks.rows(from, to).then(
      (rows) => {
        if (generation !== this.#generation) return;
        this.#asked.delete(page);
        this.#pages.delete(page);
        this.#pages.set(page, rows);
        for (const oldest of this.#pages.keys()) {
          if (this.#pages.size <= PAGES_KEPT_MAX) break;
          this.#pages.delete(oldest);
        }
        if (rows.length > 0) this.#schedule();
      },
      () => this.#asked.delete(page),
    );
  }
}

function makeRow(at: number): RowElement {
  const texts: Text[] = [];
  const cells = COLUMNS.map(([name], column) => {
    const text = document.createTextNode("");
    texts.push(text);
    return h("span", { class: `c-${name}`, role: "gridcell", "aria-colindex": column + 1 }, text);
  });
  const element = h("div", { class: "row", role: "row", id: `row-${String(at)}` }, cells);
  return { element, cells: texts, type: cells[4] as HTMLElement, shown: "" };
}

function fill(
  row: RowElement,
  place: number,
  message: number,
  selected: boolean,
  data: Row | null,
): void {
  const { element, cells } = row;
  if (element.hidden) element.hidden = false;
  const shown = `${String(place)} ${String(message)} ${String(selected)} ${String(data !== null)}`;
  if (row.shown === shown) return;
  row.shown = shown;
  element.dataset["at"] = String(message);
  element.setAttribute("aria-rowindex", String(place + 2));
  element.setAttribute("aria-selected", String(selected));
  const texts = data
    ? [
        formatCount(message + 1),
        formatClock(data.clockUs),
        data.lsn === 0n ? "" : formatLsn(data.lsn),
        data.xid === null ? "" : String(data.xid),
        data.type,
        data.problem === null ? data.subject : data.problem,
        formatCount(data.bytes),
      ]
    : [formatCount(message + 1), "", "", "", "…", "", ""];
  texts.forEach((text, at) => {
    const cell = cells[at];
    if (cell && cell.data !== text) cell.data = text;
  });
  row.type.dataset["type"] = data?.type ?? "";
  element.dataset["problem"] = data?.problem ? "yes" : "no";
}
