/** The bar between the list and what is below it. */
const MIN = 15;
const MAX = 80;

export class Splitter {
  readonly #bar: HTMLElement;
  readonly #whole: HTMLElement;
  #percent = 42;

  constructor(bar: HTMLElement, whole: HTMLElement) {
    this.#bar = bar;
    this.#whole = whole;
    this.#set(this.#percent);
    bar.addEventListener("pointerdown", (event) => {
      bar.setPointerCapture(event.pointerId);
    });
    bar.addEventListener("pointermove", (event) => {
      if (!bar.hasPointerCapture(event.pointerId)) return;
      const { top, height } = whole.getBoundingClientRect();
      this.#set(((event.clientY - top) / height) * 100);
    });
    bar.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -4, ArrowDown: 4, Home: -100, End: 100 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      this.#set(this.#percent + step);
    });
  }

  #set(percent: number): void {
    this.#percent = Math.min(MAX, Math.max(MIN, percent));
    this.#whole.style.setProperty("--upper", `${this.#percent.toFixed(1)}%`);
    this.#bar.setAttribute("aria-valuenow", String(Math.round(this.#percent)));
  }
}
