/** The page: what is opened, what is shown, and the keys. */
import { Client } from "./client.ts";
import { announce, byId, h, replace } from "./dom.ts";
import { EXAMPLE } from "./generated/example.ts";
import {
  LIVE_MESSAGES_MAX,
  type Detail,
  type Notice,
  type Progress,
  type Source,
} from "./protocol.ts";
import { formatBytes, formatCount, plural } from "./text.ts";
import { Banners } from "./view/banners.ts";
import { setUpKeys } from "./view/keys.ts";
import { MessageList } from "./view/list.ts";
import { MessageView } from "./view/message.ts";
import { OptionsView } from "./view/options.ts";
import { PluginView } from "./view/plugin.ts";
import { RelationsView } from "./view/relations.ts";
import { Splitter } from "./view/splitter.ts";
import { CatalogView, FailuresView, HeadsView } from "./view/tables.ts";
import { Tabs } from "./view/tabs.ts";
import { setUpTheme } from "./view/theme.ts";
import { Timeline } from "./view/timeline.ts";

const CHANGES = new Set(["Insert", "Update", "Delete", "Truncate", "Message"]);

class Page {
  readonly #client = new Client((notice) => {
    this.#notice(notice);
  });
  readonly #banners = new Banners(byId("banners"));
  readonly #timeline: Timeline;
  readonly #list: MessageList;
  readonly #message: MessageView;
  readonly #relations: RelationsView;
  readonly #catalog: CatalogView;
  readonly #failures: FailuresView;
  readonly #heads: HeadsView;
  readonly #plugin: PluginView;
  readonly #tabs: Tabs;
  readonly #options: OptionsView;
  readonly #filter = byId("filter", HTMLInputElement);
  readonly #follow = byId("follow", HTMLInputElement);
  #progress: Progress | null = null;
  #matches = new Uint32Array(1024);
  #filtering = false;
  #filterTimer = 0;
  #live = false;
  #liveState = "";
  #name = "";
  /** The latest message asked for: answers to others come too late. */
  #wanted = -1;
  #wantedAgain = false;
  #asking = false;
  #choosing = false;
  #announced = "";

  constructor() {
    const select = (message: number) => {
      this.#choose(message);
    };
    this.#timeline = new Timeline(byId("timeline"), {
      select: ({ first }) => {
        this.#choose(first);
      },
    });
    this.#list = new MessageList(byId("list"), {
      rows: (from, to) => this.#client.ask("rows", { from, to }),
      select: (message) => {
        this.#show(message);
      },
      follows: (end) => {
        if (!this.#live) return;
        this.#follow.checked = end;
        this.#list.follow(end);
      },
    });
    this.#message = new MessageView({ select });
    this.#relations = new RelationsView(select);
    this.#catalog = new CatalogView(select);
    this.#failures = new FailuresView(select);
    this.#heads = new HeadsView(select);
    this.#plugin = new PluginView({
      changed: () => {
        this.#again();
      },
    });
    this.#tabs = new Tabs(byId("lower"), [
      { id: "message", label: "Message", element: this.#message.element },
      { id: "relations", label: "Relations", element: this.#relations.element },
      { id: "catalog", label: "Catalog", element: this.#catalog.element },
      { id: "failures", label: "Failures", element: this.#failures.element },
      { id: "recording", label: "Recording", element: this.#heads.element },
      { id: "plugin", label: "Plugin", element: this.#plugin.element },
    ]);
    this.#options = new OptionsView(byId("options"), (options) => {
      void this.#client.ask("options", options);
      this.#again();
    });
    new Splitter(byId("splitter"), byId("work"));
    setUpKeys(byId("keys", HTMLDialogElement), byId("show-keys"));
    setUpTheme(byId("theme"), () => {
      this.#timeline.setTheme();
    });
    this.#listen();
    this.#setStart(true);
    this.#status();
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token !== null) this.#openLive(token);
  }

  openFile(file: Blob, name: string): void {
    this.#live = false;
    this.#open({ kind: "file", file, name }, name);
  }

  #openLive(token: string): void {
    this.#live = true;
    const url = new URL("./live", location.href);
    url.hash = "";
    url.searchParams.set("token", token);
    this.#open({ kind: "live", url: url.href }, "live");
  }

  #open(source: Source, name: string): void {
    this.#name = name;
    this.#banners.clear();
    this.#reset();
    this.#setStart(false);
    byId("follow-label").hidden = !this.#live;
    this.#follow.checked = true;
    this.#list.follow(this.#live);
    this.#filter.value = "";
    this.#filtering = false;
    byId("matches").textContent = "";
    this.#status();
    this.#client.ask("open", { source, options: this.#options.options }).catch((error: unknown) => {
      this.#crashed(error);
    });
    this.#list.focus();
  }

  /** Forgets what is shown. */
  #reset(): void {
    this.#progress = null;
    this.#wanted = -1;
    this.#list.reset();
    this.#list.setEmpty("Reading…");
    this.#timeline.reset();
    this.#message.clear("Choose a message.");
    this.#relations.reset();
    this.#catalog.reset();
    this.#failures.reset();
    this.#heads.reset();
    this.#options.clearErrors();
    this.#options.setRecorded({});
    this.#counts();
  }

  #notice(notice: Notice): void {
    switch (notice.kind) {
      case "progress":
        this.#setProgress(notice.progress);
        return;
      case "head":
        this.#heads.add(notice.head);
        this.#options.setRecorded((notice.head.members["options"] ?? {}) as Record<string, string>);
        this.#source(notice.head.members);
        return;
      case "relations":
        this.#relations.add(notice.relations);
        break;
      case "questions":
        if (notice.restart) this.#catalog.reset();
        this.#catalog.add(notice.questions);
        break;
      case "failures":
        if (notice.restart) this.#failures.reset();
        this.#failures.add(notice.failures);
        break;
      case "transactions":
        this.#timeline.add(notice.from, notice.numbers);
        return;
      case "problem":
        this.#banners.show(
          "problem",
          "error",
          `${this.#name}: ${notice.problem.text}. What is before it is shown.`,
        );
        return;
      case "optionError":
        if (notice.fromHead) {
          this.#banners.show(
            "option",
            "error",
            `The recording's option ${notice.name}: ${notice.reason}`,
          );
        } else this.#options.showError(notice.name, notice.reason);
        this.#setOptionsOpen(true);
        return;
      case "options":
        this.#banners.hide("option");
        this.#options.setIgnored(notice.ignored);
        return;
      case "matches":
        this.#addMatches(notice.matches, notice.from, notice.scanned, notice.done);
        return;
      case "live":
        this.#setLive(notice.state, notice.text);
        return;
      case "restarted":
        this.#reset();
        if (this.#filtering) this.#setFilter();
        return;
      case "decoding":
        if (notice.message <= this.#wanted) this.#message.busy(notice.fraction);
        return;
      case "crashed":
        this.#crashed(notice.text);
        return;
    }
    this.#counts();
  }

  #crashed(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#banners.show("crashed", "error", `The page cannot go on with this recording: ${text}`);
  }

  #source(members: Record<string, unknown>): void {
    const { server, database } = members as { server?: string; database?: string };
    const parts = [server === undefined ? "" : `PostgreSQL ${server}`, database ?? ""];
    if (members["redacted"] === true) parts.push("redacted");
    if (this.#live) {
      parts.unshift(
        `${this.#liveState}, the latest ${formatCount(LIVE_MESSAGES_MAX)} messages kept`,
      );
    }
    const its = parts.filter(Boolean).join(", ");
    replace(byId("source"), h("strong", {}, this.#name), its === "" ? "" : ` ${its}`);
  }

  #setProgress(progress: Progress): void {
    this.#progress = progress;
    const { messages, dropped, transactions, done } = progress;
    this.#list.setTotal(messages, dropped);
    this.#timeline.setTotal(transactions);
    this.#list.setEmpty(
      this.#filtering ? "No message fits." : done ? "There is no message." : "Reading…",
    );
    if (this.#list.selected < 0 && messages > 0 && !this.#live) void this.#chooseFirst();
    this.#status();
  }

  /** The first message that is a change; where there is none nearby, the very first. */
  async #chooseFirst(): Promise<void> {
    if (this.#choosing) return;
    this.#choosing = true;
    const rows = await this.#client.ask("rows", { from: 0, to: 64 });
    this.#choosing = false;
    if (this.#list.selected >= 0) return;
    this.#choose(rows.find(({ type }) => CHANGES.has(type))?.number ?? 0);
  }

  #status(): void {
    const progress = this.#progress;
    const bar = byId("progress", HTMLProgressElement);
    const text = byId("progress-text");
    byId("status").dataset["done"] = progress?.done === true ? "yes" : "no";
    if (!progress) {
      text.textContent = this.#name === "" ? "Nothing leaves this page." : "";
      bar.hidden = true;
      byId("counts").textContent = "";
      return;
    }
    const { read, total, messages, dropped, decoded, events, failures, done } = progress;
    const part = total === null ? 1 : total === 0 ? 1 : read / total;
    const fraction = Math.min(part, messages === 0 ? 1 : decoded / messages);
    bar.hidden = done || this.#live;
    bar.value = fraction;
    let said = "";
    if (this.#live) said = `${formatBytes(read)} received`;
    else if (total !== null && read < total && !done) {
      said = `Read ${formatBytes(read)} of ${formatBytes(total)}`;
    } else if (done) said = `${formatBytes(total ?? read)} read`;
    else said = "Decoding";
    text.textContent = said;
    const counts = [plural(messages, "message"), plural(events, "event")];
    if (failures > 0) counts.push(`${formatCount(failures)} not decoded`);
    if (dropped > 0) counts.push(`the first ${formatCount(dropped)} no longer kept`);
    byId("counts").textContent = counts.join(" · ");
    if (done && !this.#live) {
      const whole = `${this.#name}: ${counts.join(", ")}.`;
      if (whole !== this.#announced) announce(whole);
      this.#announced = whole;
    }
  }

  #counts(): void {
    this.#tabs.setCount("relations", this.#relations.count);
    this.#tabs.setCount("catalog", this.#catalog.count);
    this.#tabs.setCount("failures", this.#failures.count);
  }

  // One message.

  /** Selects a message wherever it was named. */
  #choose(message: number): void {
    if (this.#live) {
      this.#follow.checked = false;
      this.#list.follow(false);
    }
    this.#list.select(message);
    this.#show(message);
  }

  #show(message: number): void {
    if (message < 0) return;
    this.#wanted = message;
    this.#tabs.show("message");
    this.#ask();
  }

  /** With other options the same message is another event. */
  #again(): void {
    if (this.#wanted < 0) return;
    this.#wantedAgain = true;
    this.#ask();
  }

  /** One question at a time; of those that come meanwhile only the last. */
  #ask(): void {
    if (this.#asking) {
      this.#wantedAgain = true;
      return;
    }
    this.#asking = true;
    this.#wantedAgain = false;
    const message = this.#wanted;
    this.#client
      .ask("detail", { message })
      .then((detail) => {
        if (message !== this.#wanted || this.#wantedAgain) return;
        if (!detail) {
          this.#message.clear("This message is no longer kept.");
          return;
        }
        this.#message.show(detail);
        void this.#askPlugin(detail);
        this.#timeline.mark(detail.transaction);
      })
      .catch((error: unknown) => {
        const text = error instanceof Error ? error.message : String(error);
        this.#message.clear(`This message cannot be shown: ${text}`);
      })
      .finally(() => {
        this.#asking = false;
        if (this.#wantedAgain || message !== this.#wanted) this.#ask();
      });
  }

  async #askPlugin(detail: Detail): Promise<void> {
    const { name } = this.#plugin;
    const outcomes = await this.#plugin.outcomes(detail.events);
    if (name !== null) this.#message.showOutcomes(detail, name, outcomes);
  }

  // The filter.

  #setFilter(): void {
    const text = this.#filter.value;
    this.#filtering = text.trim() !== "";
    void this.#client.ask("filter", { text });
    if (!this.#filtering) {
      byId("matches").textContent = "";
      this.#list.setMatches(null, 0);
    }
  }

  #addMatches(matches: Uint32Array, from: number, scanned: number, done: boolean): void {
    if (!this.#filtering) return;
    const count = from + matches.length;
    if (count > this.#matches.length) {
      const larger = new Uint32Array(Math.max(count, this.#matches.length * 2));
      larger.set(this.#matches);
      this.#matches = larger;
    }
    this.#matches.set(matches, from);
    this.#list.setMatches(this.#matches, count);
    const part = done ? "" : `, ${formatCount(scanned)} searched`;
    byId("matches").textContent =
      `${formatCount(count)} of ${formatCount(this.#progress?.messages ?? scanned)}${part}`;
    this.#list.setEmpty(done ? "No message fits." : "Searching…");
    if (done) announce(plural(count, "message fits", "messages fit"));
  }

  // A stream as it comes.

  #setLive(state: string, text: string): void {
    const states: Readonly<Record<string, string>> = {
      connecting: "Connecting to the stream…",
      connected: "",
      lost: `The connection is lost. ${text} Connecting again; the stream then starts anew.`,
      refused: text,
    };
    const said = states[state] ?? "";
    if (said === "") this.#banners.hide("live");
    else if (state !== "connecting" || !this.#banners.has("live")) {
      this.#banners.show("live", state === "connecting" ? "info" : "error", said);
    }
    this.#liveState = state;
    this.#source({});
  }

  // What the person does.

  #listen(): void {
    const file = byId("file", HTMLInputElement);
    const choose = () => {
      file.value = "";
      file.click();
    };
    byId("open").addEventListener("click", choose);
    byId("start-open").addEventListener("click", choose);
    file.addEventListener("change", () => {
      const [chosen] = file.files ?? [];
      if (chosen) this.#take(chosen);
    });
    for (const id of ["example", "start-example"]) {
      byId(id).addEventListener("click", () => {
        const bytes = Uint8Array.from(atob(EXAMPLE), (letter) => letter.charCodeAt(0));
        this.openFile(new Blob([bytes]), "example");
      });
    }
    byId("back").addEventListener("click", () => {
      this.#setStart(false);
      this.#list.focus();
    });
    byId("paste").addEventListener("click", () => {
      this.#setStart(true);
      byId("hex").focus();
    });
    byId("paste-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#paste();
    });
    this.#listenForDrops();
    this.#filter.addEventListener("input", () => {
      clearTimeout(this.#filterTimer);
      this.#filterTimer = window.setTimeout(() => {
        this.#setFilter();
      }, 80);
    });
    this.#filter.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#filter.value !== "") {
        this.#filter.value = "";
        this.#setFilter();
      } else if (event.key === "Enter" || event.key === "ArrowDown" || event.key === "Escape") {
        event.preventDefault();
        this.#list.focus();
      }
    });
    this.#follow.addEventListener("change", () => {
      this.#list.follow(this.#follow.checked);
    });
    byId("toggle-options").addEventListener("click", () => {
      this.#setOptionsOpen(byId("options").hidden);
    });
    this.#setOptionsOpen(matchMedia("(min-width: 1200px)").matches);
    document.addEventListener("keydown", (event) => {
      const { target } = event;
      const typing = target instanceof Element && target.matches("input, textarea, select");
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/" && !byId("work").hidden) {
        event.preventDefault();
        this.#filter.select();
      }
    });
  }

  #listenForDrops(): void {
    let depth = 0;
    const over = (on: boolean) => document.body.classList.toggle("dropping", on);
    document.addEventListener("dragenter", () => over(++depth > 0));
    document.addEventListener("dragleave", () => over(--depth > 0));
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      depth = 0;
      over(false);
      const [dropped] = event.dataTransfer?.files ?? [];
      if (dropped) this.#take(dropped);
    });
  }

  #take(file: File): void {
    if (file.name.endsWith(".wasm")) {
      // A plugin is of use with events alone.
      if (this.#name === "") byId("start-example").click();
      this.#tabs.show("plugin");
      void this.#plugin.open(file);
    } else this.openFile(file, file.name);
  }

  async #paste(): Promise<void> {
    const area = byId("hex", HTMLTextAreaElement);
    const pasted = await this.#client.ask("pasted", { text: area.value });
    const error = byId("hex-error");
    if (pasted.kind === "wrong") {
      error.textContent = pasted.text;
      area.setAttribute("aria-invalid", "true");
      area.focus();
      area.setSelectionRange(pasted.start, pasted.end);
      return;
    }
    error.textContent = "";
    area.removeAttribute("aria-invalid");
    const file = new Blob([pasted.file as Uint8Array<ArrayBuffer>]);
    this.openFile(file, `pasted ${pasted.messages === 1 ? "message" : "messages"}`);
  }

  /** The page where recordings are opened, or the one where they are looked at. */
  #setStart(start: boolean): void {
    byId("start").hidden = !start;
    byId("work").hidden = start;
    byId("toggle-options").hidden = start;
    const back = byId("back");
    back.hidden = this.#name === "";
    back.textContent = `Back to ${this.#name}`;
  }

  #setOptionsOpen(open: boolean): void {
    byId("options").hidden = !open;
    byId("toggle-options").setAttribute("aria-expanded", String(open));
  }
}

new Page();
