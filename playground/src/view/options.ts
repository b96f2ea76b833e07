/** The decoder's options, by Debezium's names. */
import { h, replace } from "../dom.ts";
import type { OptionSet, Pairs } from "../protocol.ts";
import { plural } from "../text.ts";

interface Choice {
  name: string;
  values: readonly string[];
}

const BOOLEAN = ["true", "false"];
const CHOICES: readonly Choice[] = [
  { name: "format", values: ["debezium", "native"] },
  { name: "decimal.handling.mode", values: ["precise", "double", "string"] },
  {
    name: "time.precision.mode",
    values: [
      "adaptive",
      "adaptive_time_microseconds",
      "connect",
      "isostring",
      "microseconds",
      "nanoseconds",
    ],
  },
  { name: "binary.handling.mode", values: ["bytes", "base64", "base64-url-safe", "hex"] },
  { name: "interval.handling.mode", values: ["numeric", "string"] },
  { name: "hstore.handling.mode", values: ["json", "map"] },
  { name: "tombstones.on.delete", values: BOOLEAN },
  { name: "include.unknown.datatypes", values: BOOLEAN },
  { name: "provide.transaction.metadata", values: BOOLEAN },
  { name: "schemas.enable", values: BOOLEAN },
];

const PRESETS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "As recorded": {},
  Native: { format: "native" },
  Debezium: { format: "debezium" },
  "Debezium with schemas": { format: "debezium", "schemas.enable": "true" },
  "Debezium, readable values": {
    format: "debezium",
    "decimal.handling.mode": "string",
    "time.precision.mode": "isostring",
    "interval.handling.mode": "string",
    "binary.handling.mode": "hex",
    "hstore.handling.mode": "map",
    "include.unknown.datatypes": "true",
  },
  "Debezium with everything": {
    format: "debezium",
    "provide.transaction.metadata": "true",
    "include.unknown.datatypes": "true",
    "skipped.operations": "none",
  },
};

export class OptionsView {
  readonly #selects = new Map<string, HTMLSelectElement>();
  readonly #errors = new Map<string, HTMLElement>();
  readonly #presets: HTMLSelectElement;
  readonly #free: HTMLTextAreaElement;
  readonly #freeError: HTMLElement;
  readonly #recorded: HTMLInputElement;
  readonly #ignored: HTMLDetailsElement;
  readonly #changed: (options: OptionSet) => void;
  #timer = 0;

  constructor(parent: HTMLElement, changed: (options: OptionSet) => void) {
    this.#changed = changed;
    this.#presets = h(
      "select",
      { id: "preset" },
      ...Object.keys(PRESETS).map((name) => h("option", { value: name }, name)),
      h("option", { value: "", hidden: true }, "Own choice"),
    );
    this.#presets.addEventListener("change", () => {
      this.#apply(PRESETS[this.#presets.value] ?? {});
    });
    this.#recorded = h("input", { type: "checkbox", id: "recorded", checked: true });
    this.#free = h("textarea", {
      id: "free",
      rows: 3,
      spellcheck: "false",
      autocomplete: "off",
      placeholder: "topic.prefix=shop",
      "aria-describedby": "free-error",
    });
    this.#freeError = h("p", { class: "error", id: "free-error", role: "alert" });
    this.#ignored = h("details", { class: "help", hidden: true });
    parent.append(
      h("h2", {}, "Options"),
      field("preset", "Preset", this.#presets),
      ...CHOICES.map((choice) => this.#choice(choice)),
      field("free", "Others, one a line", this.#free),
      this.#freeError,
      h("label", { class: "check" }, this.#recorded, " The recording's own options under these"),
      this.#ignored,
    );
    this.#recorded.addEventListener("change", () => {
      this.#changedNow();
    });
    this.#free.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = window.setTimeout(() => {
        this.#changedNow();
      }, 250);
    });
  }

  get options(): OptionSet {
    const pairs: Pairs = [];
    for (const [name, select] of this.#selects) {
      if (select.value !== "") pairs.push([name, select.value]);
    }
    for (const line of this.#free.value.split("\n")) {
      if (line.trim() === "" || line.trimStart().startsWith("#")) continue;
      const equals = line.indexOf("=");
      if (equals < 0) pairs.push([line.trim(), ""]);
      else pairs.push([line.slice(0, equals).trim(), line.slice(equals + 1).trim()]);
    }
    return { pairs, recorded: this.#recorded.checked };
  }

  /** What the recording's head has: shown where nothing else is chosen. */
  setRecorded(options: Readonly<Record<string, string>>): void {
    for (const [name, select] of this.#selects) {
      const first = select.options[0];
      const value = options[name];
      if (first) first.textContent = value === undefined ? "default" : `as recorded: ${value}`;
    }
  }

  setIgnored(names: readonly string[]): void {
    this.#ignored.hidden = names.length === 0;
    replace(
      this.#ignored,
      h("summary", {}, `${plural(names.length, "option")} without meaning to a decoder`),
      h("p", {}, names.join(", ")),
    );
  }

  /** Where an option is wrong. Whether it is one of those that are chosen here. */
  showError(name: string, reason: string): void {
    const error = this.#errors.get(name);
    const select = this.#selects.get(name);
    const free = this.#free.value.split("\n").some((line) => line.split("=")[0]?.trim() === name);
    if (error && select && !free) {
      error.textContent = reason;
      select.setAttribute("aria-invalid", "true");
    } else {
      this.#freeError.textContent = `${name}: ${reason}`;
      this.#free.setAttribute("aria-invalid", "true");
    }
  }

  clearErrors(): void {
    for (const error of this.#errors.values()) error.textContent = "";
    for (const select of this.#selects.values()) select.removeAttribute("aria-invalid");
    this.#freeError.textContent = "";
    this.#free.removeAttribute("aria-invalid");
  }

  #choice({ name, values }: Choice): HTMLElement {
    const id = `option-${name.replaceAll(".", "-")}`;
    const select = h(
      "select",
      { id, "aria-describedby": `${id}-error` },
      h("option", { value: "" }, "default"),
      ...values.map((value) => h("option", { value }, value)),
    );
    select.addEventListener("change", () => {
      this.#changedNow();
    });
    const error = h("p", { class: "error", id: `${id}-error`, role: "alert" });
    this.#selects.set(name, select);
    this.#errors.set(name, error);
    const label = field(id, name, select);
    label.append(error);
    return label;
  }

  #apply(preset: Readonly<Record<string, string>>): void {
    for (const [name, select] of this.#selects) select.value = preset[name] ?? "";
    const rest = Object.entries(preset).filter(([name]) => !this.#selects.has(name));
    this.#free.value = rest.map(([name, value]) => `${name}=${value}`).join("\n");
    this.#changedNow();
  }

  #changedNow(): void {
    const { pairs } = this.options;
    const chosen = JSON.stringify(pairs.toSorted());
    const preset = Object.entries(PRESETS).find(
      ([, its]) => JSON.stringify(Object.entries(its).toSorted()) === chosen,
    );
    this.#presets.value = preset?.[0] ?? "";
    this.clearErrors();
    this.#changed(this.options);
  }
}

function field(id: string, label: string, control: HTMLElement): HTMLElement {
  return h("div", { class: "field-row" }, h("label", { for: id }, label), control);
}
