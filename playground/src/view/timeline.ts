/** The transactions: a strip, each as high as it is large and as wide as it took. */
import { h } from "../dom.ts";
import { TRANSACTION_NUMBERS, type TransactionRow } from "../protocol.ts";
import { formatBytes, formatClock, formatCount, formatDuration, plural } from "../text.ts";
import { readTransaction } from "../worker/transactions.ts";

const HEIGHT_PX = 66;
const AXIS_PX = 17;
const WIDTH_MIN_PX = 2;
type Scale = "time" | "order";

export interface TimelineHooks {
  /** Chosen by the person. */
  select(transaction: TransactionRow): void;
}

export class Timeline {
  readonly #canvas: HTMLCanvasElement;
  readonly #strip: HTMLElement;
  readonly #tip: HTMLElement;
  readonly #summary: HTMLElement;
  readonly #hooks: TimelineHooks;
  #numbers = new Float64Array(1024 * TRANSACTION_NUMBERS);
  #count = 0;
  #selected = -1;
  #hovered = -1;
  #scale: Scale = "time";
  /** What is seen, as parts of the whole. */
  #from = 0;
  #to = 1;
  #scheduled = false;
  #colours: Record<string, string> = {};
  /** The least first and the greatest last clock. */
  #start = Infinity;
  #end = -Infinity;

  constructor(parent: HTMLElement, hooks: TimelineHooks) {
    this.#hooks = hooks;
    this.#canvas = h("canvas", { class: "strip-canvas" });
    this.#tip = h("div", { class: "tip", hidden: true });
    this.#strip = h(
      "div",
      {
        class: "strip",
        id: "strip",
        role: "slider",
        tabindex: 0,
        "aria-label": "Transaction",
        "aria-valuemin": 0,
        "aria-valuemax": 0,
        "aria-valuenow": 0,
        "aria-valuetext": "none",
      },
      this.#canvas,
      this.#tip,
    );
    this.#summary = h("span", { class: "muted", id: "transactions-summary" });
    const scale = h(
      "select",
      { "aria-label": "Scale of the transactions" },
      h("option", { value: "time" }, "by time"),
      h("option", { value: "order" }, "in order"),
    );
    scale.addEventListener("change", () => {
      this.#scale = scale.value as Scale;
      this.#zoom(0, 1);
    });
    const zoom = (label: string, title: string, factor: number) =>
      h(
        "button",
        {
          type: "button",
          class: "small",
          title,
          "aria-label": title,
          onclick: () => {
            this.#zoomBy(factor, (this.#from + this.#to) / 2);
          },
        },
        label,
      );
    const all = h("button", { type: "button", class: "small" }, "All");
    all.addEventListener("click", () => {
      this.#zoom(0, 1);
    });
    parent.append(
      h(
        "div",
        { class: "strip-head" },
        h("h2", {}, "Transactions"),
        this.#summary,
        h(
          "span",
          { class: "legend", "aria-hidden": "true" },
          h("i", { class: "k committed" }),
          "committed",
          h("i", { class: "k rolled" }),
          "rolled back",
          h("i", { class: "k open" }),
          "undecided",
        ),
        h(
          "span",
          { class: "group end" },
          scale,
          zoom("−", "Less detail", 2),
          zoom("+", "More detail", 0.5),
          all,
        ),
      ),
      this.#strip,
    );
    this.#listen();
    this.setTheme();
  }

  reset(): void {
    this.#count = 0;
    this.#selected = -1;
    this.#hovered = -1;
    this.#from = 0;
    this.#to = 1;
    this.#start = Infinity;
    this.#end = -Infinity;
    this.#schedule();
  }

  add(from: number, numbers: Float64Array): void {
    const count = Math.max(this.#count, from + numbers.length / TRANSACTION_NUMBERS);
    if (count * TRANSACTION_NUMBERS > this.#numbers.length) {
      const larger = new Float64Array(
        Math.max(this.#numbers.length * 2, count * TRANSACTION_NUMBERS),
      );
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers.set(numbers, from * TRANSACTION_NUMBERS);
    this.#count = count;
    for (let at = 0; at < numbers.length; at += TRANSACTION_NUMBERS) {
      const start = numbers[at + 5] as number;
      if (start > 0) this.#start = Math.min(this.#start, start);
      this.#end = Math.max(this.#end, numbers[at + 6] as number);
    }
    this.#strip.setAttribute("aria-valuemax", String(count));
    this.#schedule();
  }

  /** How many there are; those that are too many are not drawn. */
  setTotal(total: number): void {
    const more = total > this.#count ? `, the first ${formatCount(this.#count)} shown` : "";
    this.#summary.textContent = total === 0 ? "none" : `${formatCount(total)}${more}`;
  }

  /** Marks the transaction of the selected message. */
  mark(transaction: TransactionRow | null): void {
    this.#selected = transaction ? this.#find(transaction.first) : -1;
    const text = transaction ? describe(transaction) : "none";
    this.#strip.setAttribute("aria-valuenow", String(this.#selected + 1));
    this.#strip.setAttribute("aria-valuetext", text);
    this.#schedule();
  }

  setTheme(): void {
    const style = getComputedStyle(this.#strip);
    for (const name of ["committed", "rolled", "open", "selected", "axis", "ground"]) {
      const probe = h("span");
      probe.style.color = `var(--strip-${name})`;
      this.#strip.append(probe);
      this.#colours[name] = getComputedStyle(probe).color;
      probe.remove();
    }
    this.#colours["font"] = style.fontFamily;
    this.#schedule();
  }

  #find(first: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#numbers[middle * TRANSACTION_NUMBERS] as number) < first) low = middle + 1;
      else high = middle;
    }
    return low < this.#count ? low : -1;
  }

  #listen(): void {
    const at = (event: PointerEvent | WheelEvent) => {
      const box = this.#canvas.getBoundingClientRect();
      return [event.clientX - box.left, box.width] as const;
    };
    let drag: { x: number; from: number; to: number; moved: boolean } | null = null;
    this.#strip.addEventListener("pointerdown", (event) => {
      const [x] = at(event);
      drag = { x, from: this.#from, to: this.#to, moved: false };
      this.#strip.setPointerCapture(event.pointerId);
    });
    this.#strip.addEventListener("pointermove", (event) => {
      const [x, width] = at(event);
      if (drag && (Math.abs(x - drag.x) > 3 || drag.moved)) {
        drag.moved = true;
        const by = ((drag.x - x) / width) * (drag.to - drag.from);
        this.#zoom(drag.from + by, drag.to + by);
        return;
      }
      this.#hover(x, width);
    });
    this.#strip.addEventListener("pointerup", (event) => {
      const [x, width] = at(event);
      if (drag && !drag.moved) {
        const index = this.#at(x, width);
        if (index >= 0) this.#hooks.select(readTransaction(this.#numbers, index));
      }
      drag = null;
    });
    this.#strip.addEventListener("pointerleave", () => {
      this.#hovered = -1;
      this.#tip.hidden = true;
      this.#schedule();
    });
    this.#strip.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && Math.abs(event.deltaX) < Math.abs(event.deltaY) && !event.shiftKey) {
          return;
        }
        event.preventDefault();
        const [x, width] = at(event);
        if (event.ctrlKey) {
          const centre = this.#from + (x / width) * (this.#to - this.#from);
          this.#zoomBy(event.deltaY > 0 ? 1.25 : 0.8, centre);
        } else {
          const by = ((event.deltaX || event.deltaY) / width) * (this.#to - this.#from);
          this.#zoom(this.#from + by, this.#to + by);
        }
      },
      { passive: false },
    );
    this.#strip.addEventListener("keydown", (event) => {
      const steps: Record<string, number> = {
        ArrowRight: 1,
        ArrowUp: 1,
        ArrowLeft: -1,
        ArrowDown: -1,
        PageUp: 10,
        PageDown: -10,
        Home: -Infinity,
        End: Infinity,
      };
      const step = steps[event.key];
      if (event.key === "+" || event.key === "-") {
        this.#zoomBy(event.key === "+" ? 0.5 : 2, (this.#from + this.#to) / 2);
      } else if (step === undefined || this.#count === 0) return;
      else {
        const next = Math.min(this.#count - 1, Math.max(0, this.#selected + step));
        this.#hooks.select(readTransaction(this.#numbers, next));
      }
      event.preventDefault();
    });
    new ResizeObserver(() => {
      this.#schedule();
    }).observe(this.#strip);
  }

  #hover(x: number, width: number): void {
    const index = this.#at(x, width);
    if (index !== this.#hovered) {
      this.#hovered = index;
      this.#tip.hidden = index < 0;
      if (index >= 0) this.#tip.textContent = describe(readTransaction(this.#numbers, index));
      this.#schedule();
    }
    const left = Math.min(Math.max(0, x + 8), Math.max(0, width - this.#tip.offsetWidth - 2));
    this.#tip.style.transform = `translateX(${String(left)}px)`;
  }

  #zoomBy(factor: number, centre: number): void {
    const width = Math.min(1, (this.#to - this.#from) * factor);
    const part = (centre - this.#from) / (this.#to - this.#from);
    this.#zoom(centre - width * part, centre + width * (1 - part));
  }

  #zoom(from: number, to: number): void {
    const width = Math.min(1, Math.max(to - from, 1e-7));
    this.#from = Math.min(1 - width, Math.max(0, from));
    this.#to = this.#from + width;
    this.#schedule();
  }

  /** Left edge and width, in parts of the whole. */
  #extent(index: number): [left: number, width: number] {
    if (this.#scale === "order") return [index / this.#count, 1 / this.#count];
    const at = index * TRANSACTION_NUMBERS;
    const whole = Math.max(1, this.#end - this.#start);
    const start = this.#numbers[at + 5] as number;
    return [(start - this.#start) / whole, ((this.#numbers[at + 6] as number) - start) / whole];
  }

  /** The transaction there; of several that overlap the highest, else the nearest within 6 px. */
  #at(x: number, width: number): number {
    let found = -1;
    let best = Infinity;
    for (let index = this.#firstSeen(); index < this.#count; index++) {
      const [left, wide] = this.#extent(index);
      const from = ((left - this.#from) / (this.#to - this.#from)) * width;
      if (from > width) break;
      const to = from + Math.max(WIDTH_MIN_PX, (wide / (this.#to - this.#from)) * width);
      const distance = x < from ? from - x : x > to ? x - to : 0;
      const rank = distance - this.#size(index) / 1e12;
      if (distance <= 6 && rank < best) {
        best = rank;
        found = index;
      }
    }
    return found;
  }

  #size(index: number): number {
    return this.#numbers[index * TRANSACTION_NUMBERS + 4] as number;
  }

  /** Those before are out of sight; starts are in order, so this may be one that is not the first. */
  #firstSeen(): number {
    if (this.#scale === "order") return Math.max(0, Math.floor(this.#from * this.#count) - 1);
    return 0;
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
    const width = this.#strip.clientWidth;
    if (width === 0) return;
    const ratio = devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(HEIGHT_PX * ratio);
    }
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, HEIGHT_PX);
    this.#drawAxis(context, width);
    this.#drawBars(context, width);
  }

  #drawAxis(context: CanvasRenderingContext2D, width: number): void {
    const base = HEIGHT_PX - AXIS_PX;
    context.fillStyle = this.#colours["axis"] ?? "gray";
    context.globalAlpha = 0.5;
    context.fillRect(0, base, width, 1);
    context.globalAlpha = 1;
    if (this.#count === 0) return;
    context.font = `10px ${this.#colours["font"] ?? "sans-serif"}`;
    context.textBaseline = "bottom";
    const labels = Math.max(2, Math.min(7, Math.floor(width / 130)));
    for (let at = 0; at < labels; at++) {
      const part = at / (labels - 1);
      const place = this.#from + part * (this.#to - this.#from);
      const text = this.#label(place, at === 0);
      context.textAlign = at === 0 ? "left" : at === labels - 1 ? "right" : "center";
      context.fillText(text, part * width, HEIGHT_PX - 1);
    }
  }

  /** The first label is a time, the others what has passed since. */
  #label(place: number, first: boolean): string {
    if (this.#scale === "order") {
      return `no. ${formatCount(Math.min(this.#count, Math.floor(place * this.#count) + 1))}`;
    }
    const whole = this.#end - this.#start;
    if (first) return formatClock(BigInt(Math.round(this.#start + place * whole)));
    return `+${formatDuration((place - this.#from) * whole)}`;
  }

  #drawBars(context: CanvasRenderingContext2D, width: number): void {
    const base = HEIGHT_PX - AXIS_PX;
    const zoom = width / (this.#to - this.#from);
    let largest = 1;
    for (let index = 0; index < this.#count; index++)
      largest = Math.max(largest, this.#size(index));
    const unit = (base - 4) / Math.log2(2 + largest);
    // The highest bar of each pixel and colour is all that is seen.
    const heights = new Map<string, Float32Array>();
    const wide: [number, number, number, string][] = [];
    for (let index = this.#firstSeen(); index < this.#count; index++) {
      const [left, part] = this.#extent(index);
      const x = (left - this.#from) * zoom;
      if (x > width) break;
      const w = Math.max(WIDTH_MIN_PX, part * zoom - (this.#scale === "order" ? 1 : 0));
      if (x + w < 0) continue;
      const height = Math.max(3, Math.log2(2 + this.#size(index)) * unit);
      const colour = this.#colour(index);
      if (w > WIDTH_MIN_PX) {
        wide.push([x, w, height, colour]);
        continue;
      }
      let seen = heights.get(colour);
      if (!seen) heights.set(colour, (seen = new Float32Array(width + 1)));
      const pixel = Math.max(0, Math.floor(x));
      seen[pixel] = Math.max(seen[pixel] ?? 0, height);
    }
    wide.sort((a, b) => b[2] - a[2]);
    for (const [x, w, height, colour] of wide) {
      context.fillStyle = colour;
      context.fillRect(x, base - height, w, height);
      context.strokeStyle = this.#colours["ground"] ?? "white";
      context.lineWidth = 1;
      if (w > 4) context.strokeRect(x + 0.5, base - height + 0.5, w - 1, height);
    }
    for (const [colour, seen] of heights) {
      context.fillStyle = colour;
      seen.forEach((height, x) => {
        if (height > 0) context.fillRect(x, base - height, WIDTH_MIN_PX, height);
      });
    }
    for (const index of [this.#hovered, this.#selected]) {
      if (index < 0) continue;
      const [left, part] = this.#extent(index);
      const x = (left - this.#from) * zoom;
      const w = Math.max(WIDTH_MIN_PX + 1, part * zoom);
      const height = Math.max(3, Math.log2(2 + this.#size(index)) * unit);
      context.fillStyle = this.#colours["selected"] ?? "black";
      context.fillRect(x, base - height, w, height);
      context.fillRect(x, base + 1, w, 3);
    }
  }

  #colour(index: number): string {
    const outcome = this.#numbers[index * TRANSACTION_NUMBERS + 7] as number;
    const name = ["open", "committed", "open", "rolled"][outcome] ?? "open";
    return this.#colours[name] ?? "gray";
  }
}

export function describe(transaction: TransactionRow): string {
  const { xid, changes, bytes, startUs, endUs, outcome } = transaction;
  return [
    `xid ${String(xid)}`,
    outcome,
    plural(changes, "change"),
    formatBytes(bytes),
    formatDuration(Math.max(0, endUs - startUs)),
  ].join(" · ");
}
