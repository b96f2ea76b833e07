/** One recording, open: read, decoded and searched bit by bit, between what the page asks. */
import {
  LIVE_BYTES_MAX,
  LIVE_MESSAGES_MAX,
  type Detail,
  type EventDetail,
  type Failure,
  type Notice,
  type OptionSet,
  type Pairs,
  type Question,
  type Row,
  type TransactionRow,
} from "../protocol.ts";
import { formatLsn } from "../text.ts";
import type { ChangeEvent, Position } from "../../../hosts/node/src/records.ts";
import {
  Decoding,
  OptionError,
  type Asked,
  type Checkpoint,
  type Frame,
  type Observer,
  type Recorded,
} from "./decoding.ts";
import { parseFilter } from "./filter.ts";
import { framesBefore, type FrameRange } from "./frames.ts";
import { Index, walk, type FramesBlock } from "./index.ts";
import type { Source } from "./source.ts";

/** How long to work before looking whether the page asks something. */
const SLICE_MS = 12;
const NOTICE_MS = 60;
/** Checkpoints are this many blocks apart, and twice as many when there are too many of them. */
const CHECKPOINT_BLOCKS = 8;
const CHECKPOINTS_MAX = 24;
const CHECKPOINT_BYTES_MAX = 8 << 20;
/** Of one message: a streamed transaction's commit may give any number. */
const EVENTS_SHOWN_MAX = 50;
/** Of one recording. */
const FAILURES_MAX = 10_000;
const QUESTIONS_MAX = 10_000;

/** Options, and what was decoded with them. */
interface Pass {
  options: OptionSet;
  decoding: Decoding | null;
  /** Why there is none. */
  stuck: boolean;
  /** Whether the options were looked at before there was anything to decode. */
  checked: boolean;
  checkpoints: Checkpoint[];
  every: number;
  events: number;
  failures: number;
  questions: number;
  decoded: number;
  newFailures: Failure[];
  newQuestions: Question[];
  restart: boolean;
}

export class Engine implements Recorded {
  readonly index: Index;
  readonly #live: boolean;
  readonly #notify: (notice: Notice) => void;
  #pass: Pass;
  /** What the details of a message were decoded with, for the next one. */
  #cursor: Decoding | null = null;
  #filter: { test: (row: Row) => boolean; block: number; sent: number } | null = null;
  #closed = false;
  #noticed = 0;
  #headsSent = 0;
  #problemSent = false;
  #wake: (() => void) | null = null;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(source: Source, options: OptionSet, live: boolean, notify: (notice: Notice) => void) {
    this.index = new Index(source);
    this.#live = live;
    this.#notify = notify;
    this.#pass = newPass(options, false);
  }

  // What decoding needs of the recording.

  content(block: number): Promise<Uint8Array> {
    return this.index.content(block);
  }

  timeUs(block: number): bigint {
    return this.index.timeUs(block);
  }

  facts(segment: number, relation: number, before: number) {
    return this.index.facts(segment, relation, before);
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  setOptions(options: OptionSet): void {
    this.#pass = newPass(options, true);
    this.#cursor = null;
    this.#wake?.();
  }

  setFilter(text: string): void {
    const test = parseFilter(text);
    this.#filter = test && { test, block: this.index.droppedBlocks, sent: 0 };
    this.#wake?.();
  }

  /** Reads to the end; decoding and searching go on alongside, and until it is closed. */
  async run(): Promise<void> {
    this.#work().catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      this.#notify({ kind: "crashed", text });
    });
    await this.#read();
  }

  async #read(): Promise<void> {
    const pause = pauser();
    let since = performance.now();
    const steps = this.index.run();
    while (!(await steps.next()).done) {
      if (this.#closed) {
        await steps.return();
        return;
      }
      if (this.#live) this.#trim();
      this.#wake?.();
      // A file is read no further ahead than it takes to keep its blocks at hand.
      if (performance.now() - since > SLICE_MS || this.#live) {
        this.#report(false);
        await pause();
        since = performance.now();
      }
    }
    this.#report(true);
    this.#wake?.();
  }

  async #work(): Promise<void> {
    const pause = pauser();
    let since = performance.now();
    while (!this.#closed) {
      const busy = await this.#exclusive(async () => {
        const decoded = await this.#decodeNext();
        const searched = await this.#searchNext();
        return decoded || searched;
      });
      if (!busy) {
        this.#report(true);
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = null;
      }
      if (performance.now() - since > SLICE_MS) {
        this.#report(false);
        await pause();
        since = performance.now();
      }
    }
  }

  /** One after the other: decoding waits for blocks, and nobody else may change it meanwhile. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  // Decoding all of it.

  async #decodeNext(): Promise<boolean> {
    const pass = this.#pass;
    if (pass.stuck) return false;
    const { blocks, segments } = this.index;
    const at = pass.decoding?.block ?? Math.max(segments[0]?.block ?? 0, this.index.droppedBlocks);
    const block = blocks[at];
    if (!block) {
      // Whether the options are right is said even if there is nothing to decode.
      if (!pass.decoding && !pass.checked && segments.length > 0) {
        pass.checked = true;
        this.#open(pass, segments.length - 1, at, null);
      }
      return false;
    }
    if (!pass.decoding || pass.decoding.segment !== block.segment) {
      const opened = this.#open(pass, block.segment, at, pass.decoding?.last ?? null);
      if (!opened) return false;
      pass.decoding = opened;
    }
    const { decoding } = pass;
    if (
      at >= (pass.checkpoints.at(-1)?.block ?? -Infinity) + pass.every ||
      newSegment(pass, block)
    ) {
      this.#keepCheckpoint(pass, decoding.checkpoint());
    }
    await decoding.decode(block.bytes, this.#observerOf(pass, block));
    decoding.block = at + 1;
    decoding.offset = 0;
    pass.decoded = block.first + block.count;
    return true;
  }

  #observerOf(pass: Pass, block: FramesBlock): Observer {
    return {
      event: (_, passedOver) => {
        if (!passedOver) pass.events++;
      },
      failed: (error, frame) => {
        if (pass.failures++ < FAILURES_MAX) {
          pass.newFailures.push({ message: this.#numberOf(frame), ...error });
        }
      },
      asked: (asked, frame) => {
        if (pass.questions++ < QUESTIONS_MAX) {
          pass.newQuestions.push(this.#question(asked, frame, block.segment));
        }
      },
    };
  }

  #open(pass: Pass, segment: number, block: number, last: Position | null): Decoding | null {
    try {
      const decoding = new Decoding(this, segment, block, this.#pairs(pass.options, segment), last);
      this.#notify({ kind: "options", ignored: decoding.ignored });
      // Where what came before is gone.
      if (block > (this.index.segments[segment]?.block ?? 0) && this.index.blocks[block]) {
        decoding.prepare(this.index.prelude(block));
      }
      return decoding;
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      pass.stuck = true;
      const own = pass.options.pairs.some(([name]) => name === error.option);
      this.#notify({
        kind: "optionError",
        name: error.option,
        reason: error.message,
        fromHead: !own && error.option in this.#recordedOptions(pass.options, segment),
      });
      return null;
    }
  }

  #recordedOptions(options: OptionSet, segment: number): Record<string, string> {
    return options.recorded ? (this.index.segments[segment]?.head.options ?? {}) : {};
  }

  #pairs(options: OptionSet, segment: number): Pairs {
    const pairs = new Map(Object.entries(this.#recordedOptions(options, segment)));
    for (const [name, value] of options.pairs) pairs.set(name, value);
    return [...pairs];
  }

  #keepCheckpoint(pass: Pass, checkpoint: Checkpoint): void {
    if (checkpoint.snapshot.memory.length > CHECKPOINT_BYTES_MAX) return;
    pass.checkpoints.push(checkpoint);
    if (pass.checkpoints.length <= CHECKPOINTS_MAX) return;
    // The first of a segment stays; of the others every second one.
    pass.every *= 2;
    let segment = -1;
    pass.checkpoints = pass.checkpoints.filter(({ segment: its, block }) => {
      const first = its !== segment;
      segment = its;
      return first || block % pass.every === 0;
    });
  }

  #numberOf({ block, start, content }: Frame): number {
    return (this.index.blocks[block]?.first ?? 0) + framesBefore(content, start);
  }

  #question(asked: Asked, frame: Frame, segment: number): Question {
    const { answer, ...question } = asked;
    const facts = answer === null ? null : this.index.factsJson(segment, asked.relation, answer);
    return { message: this.#numberOf(frame), ...question, facts };
  }

  // Searching.

  async #searchNext(): Promise<boolean> {
    const filter = this.#filter;
    if (!filter) return false;
    const block = this.index.blocks[filter.block];
    if (!block) return false;
    const rows = await this.index.rows(block.first, block.first + block.count);
    if (filter !== this.#filter) return true;
    const matches = Uint32Array.from(rows.filter(filter.test), (row) => row.number);
    filter.block++;
    const done = filter.block >= this.index.blocks.length;
    if (matches.length > 0 || done || filter.block % 16 === 0) {
      const scanned = block.first + block.count;
      this.#notify({ kind: "matches", matches, from: filter.sent, scanned, done });
      filter.sent += matches.length;
    }
    return true;
  }

  // One message.

  detail(message: number): Promise<Detail | null> {
    return this.#exclusive(() => this.#detail(message));
  }

  async #detail(message: number): Promise<Detail | null> {
    if (message < this.index.dropped || message >= this.index.messages) return null;
    const block = this.index.blockOf(message);
    const { first, segment } = this.index.blocks[block] as FramesBlock;
    const content = await this.content(block);
    const range = walk(content, message - first);
    const frame = content.slice(range.start, range.end);
    const inspection = await this.index.before(block, range.start);
    const fields = inspection.fields(frame);
    const [row] = await this.index.rows(message, message + 1);
    if (!row) return null;
    const transaction = this.index.transactions.find(message, row.xid);
    const detail: Detail = {
      row,
      frame,
      fields,
      events: [],
      eventsTotal: 0,
      failure: null,
      question: null,
      commit: null,
      note: null,
      transaction,
    };
    if (this.#pass.stuck) return { ...detail, note: "Not decoded: an option is wrong." };
    const target = { block, ...range };
    const stashed = await this.#decodeOne(target, detail, segment, content.length);
    if (stashed) await this.#decodeAtCommit(target, detail, transaction);
    return detail;
  }

  /** What decoding a message comes to; whether it is put off until its transaction is decided. */
  async #decodeOne(
    target: FrameRange,
    detail: Detail,
    segment: number,
    blockBytes: number,
  ): Promise<boolean> {
    const cursor = await this.#cursorAt(target.block, target.start, segment);
    if (!cursor) {
      detail.note = "Not decoded: an option is wrong.";
      return false;
    }
    const before = cursor.stashed;
    await cursor.decode(target.end, this.#collect(detail, segment));
    if (target.end >= blockBytes) {
      cursor.block++;
      cursor.offset = 0;
    }
    return cursor.stashed > before;
  }

  async #decodeAtCommit(
    target: FrameRange,
    detail: Detail,
    transaction: TransactionRow | null,
  ): Promise<void> {
    if (!transaction || transaction.outcome === "open") {
      detail.note = "Its transaction is not decided in this recording, so it gives no event.";
      return;
    }
    if (transaction.outcome === "prepared") {
      detail.note = "Its transaction is prepared, and not decided in this recording.";
      return;
    }
    if (transaction.outcome === "rolled back") {
      detail.note = "Its transaction is rolled back: it gives no event.";
      return;
    }
    detail.commit = transaction.last;
    const block = this.index.blockOf(transaction.last);
    const its = this.index.blocks[block] as FramesBlock;
    const content = await this.content(block);
    const { start, end } = walk(content, transaction.last - its.first);
    const cursor = await this.#cursorAt(block, start, its.segment);
    if (!cursor) return;
    const observer = this.#collect(detail, its.segment);
    await cursor.decode(end, {}, { frame: target, observer });
    if (end >= content.length) {
      cursor.block++;
      cursor.offset = 0;
    }
    if (detail.events.length === 0 && !detail.failure) {
      detail.note = "It gives no event when its transaction is committed.";
    }
  }

  #collect(detail: Detail, segment: number): Observer {
    const pairs = this.#pairs(this.#pass.options, segment);
    const native = pairs.some(([name, value]) => name === "format" && value === "native");
    return {
      event: (event, passedOver) => {
        detail.eventsTotal++;
        if (detail.events.length < EVENTS_SHOWN_MAX) {
          detail.events.push(eventDetail(event, passedOver, native));
        }
      },
      failed: (error) => (detail.failure = { message: detail.row.number, ...error }),
      asked: (asked, frame) => (detail.question = this.#question(asked, frame, segment)),
    };
  }

  /** A decoder before a frame: the one of the last message, if it is not behind; else of a checkpoint. */
  async #cursorAt(block: number, offset: number, segment: number): Promise<Decoding | null> {
    const pass = this.#pass;
    const checkpoint = pass.checkpoints.findLast(
      (known) =>
        known.segment === segment &&
        known.block <= block &&
        known.block >= this.index.droppedBlocks,
    );
    let cursor = this.#cursor;
    const usable =
      cursor?.segment === segment &&
      (cursor.block < block || (cursor.block === block && cursor.offset <= offset)) &&
      cursor.block >= Math.max(checkpoint?.block ?? 0, this.index.droppedBlocks);
    if (!cursor || !usable) {
      if (checkpoint) {
        cursor = Decoding.at(checkpoint, this, this.#pairs(pass.options, segment));
      } else {
        const first = Math.max(this.index.segments[segment]?.block ?? 0, this.index.droppedBlocks);
        cursor = this.#open(pass, segment, first, null);
      }
    }
    this.#cursor = null;
    if (!cursor) return null;
    const from = cursor.block;
    let since = performance.now();
    const pause = pauser();
    while (cursor.block < block) {
      await cursor.decode(this.index.blocks[cursor.block]?.bytes ?? 0, {});
      cursor.block++;
      cursor.offset = 0;
      if (performance.now() - since > 100) {
        const fraction = (cursor.block - from) / (block - from);
        this.#notify({ kind: "decoding", message: this.index.blocks[block]?.first ?? 0, fraction });
        await pause();
        since = performance.now();
        if (pass !== this.#pass || this.#closed) return null;
      }
    }
    if (cursor.offset < offset) await cursor.decode(offset, {});
    this.#cursor = cursor;
    return cursor;
  }

  // A stream without end.

  #trim(): void {
    const { blocks, droppedBlocks, messages } = this.index;
    let below = droppedBlocks;
    let bytes = 0;
    for (let at = droppedBlocks; at < blocks.length; at++) bytes += blocks[at]?.bytes ?? 0;
    // What is not decoded yet stays.
    const decoded = this.#pass.decoding?.block ?? 0;
    while (below < decoded && below < blocks.length - 1) {
      const { first, count, bytes: its } = blocks[below] as FramesBlock;
      if (messages - first - count < LIVE_MESSAGES_MAX && bytes <= LIVE_BYTES_MAX) break;
      bytes -= its;
      below++;
    }
    if (below > droppedBlocks) this.index.drop(below);
  }

  // Saying what is new.

  #report(now: boolean): void {
    const time = performance.now();
    if (!now && time - this.#noticed < NOTICE_MS) return;
    this.#noticed = time;
    const { index } = this;
    const pass = this.#pass;
    for (; this.#headsSent < index.segments.length; this.#headsSent++) {
      const segment = index.segments[this.#headsSent];
      if (!segment) break;
      const { fileBlock, message, head } = segment;
      this.#notify({ kind: "head", head: { block: fileBlock, message, members: { ...head } } });
    }
    const relations = index.relations.take();
    if (relations.length > 0) this.#notify({ kind: "relations", relations, restart: false });
    const transactions = index.transactions.take();
    if (transactions) this.#notify({ kind: "transactions", ...transactions });
    const { newFailures, newQuestions, restart } = pass;
    if (newFailures.length > 0 || restart) {
      this.#notify({ kind: "failures", failures: newFailures, restart });
      pass.newFailures = [];
    }
    if (newQuestions.length > 0 || restart) {
      this.#notify({ kind: "questions", questions: newQuestions, restart });
      pass.newQuestions = [];
    }
    pass.restart = false;
    // A stream that is cut off is no damage.
    const cut = this.#live && /unfinished|truncated/.test(index.problemReason ?? "");
    if (index.problem && !cut && !this.#problemSent) {
      this.#problemSent = true;
      this.#notify({ kind: "problem", problem: index.problem });
    }
    this.#notify({
      kind: "progress",
      progress: {
        read: index.read,
        total: null,
        messages: index.messages,
        dropped: index.dropped,
        transactions: index.transactions.total,
        decoded: pass.decoded,
        events: pass.events,
        failures: pass.failures,
        done: index.done && (pass.stuck || pass.decoded >= index.messages),
        ended: index.ended,
      },
    });
  }
}

function newPass(options: OptionSet, restart: boolean): Pass {
  return {
    options,
    decoding: null,
    stuck: false,
    checked: false,
    checkpoints: [],
    every: CHECKPOINT_BLOCKS,
    events: 0,
    failures: 0,
    questions: 0,
    decoded: 0,
    newFailures: [],
    newQuestions: [],
    restart,
  };
}

function newSegment(pass: Pass, block: FramesBlock): boolean {
  return pass.checkpoints.at(-1)?.segment !== block.segment;
}

const KEY = 1;
const NULLABLE = 2;
const utf8 = new TextDecoder();

function eventDetail(event: ChangeEvent, passedOver: boolean, native: boolean): EventDetail {
  const { commitLsn, index, sub } = event.position;
  const { name, schema, table, columns } = event.topic;
  const value = event.bytes("value");
  /** Bytes of the value as characters of it. */
  const span = (part: "before" | "after"): [number, number] | null => {
    const its = event.bytes(part);
    if (!value || !its) return null;
    const at = its.byteOffset - value.byteOffset;
    const start = utf8.decode(value.subarray(0, at)).length;
    return [start, start + utf8.decode(its).length];
  };
  return {
    topic: name,
    op: event.op,
    position: `${formatLsn(commitLsn)} ${String(index)}.${String(sub)}`,
    key: event.text("key"),
    value: event.text("value"),
    headers: event.text("headers") ?? "{}",
    passedOver,
    relation: {
      schema,
      table,
      columns: columns.map(({ name, typeOid, typmod, shape, flags }) => ({
        name,
        typeOid,
        typmod,
        shape,
        key: (flags & KEY) !== 0,
        nullable: (flags & NULLABLE) !== 0,
      })),
    },
    lsn: event.lsn,
    commitUs: event.commitTsUs,
    before: span("before"),
    after: span("after"),
    unchanged: event.unchanged,
    native,
  };
}

/** Lets what waits for this thread go first, without the delay of a timer. */
function pauser(): () => Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return () =>
    new Promise((resolve) => {
      port1.onmessage = () => {
        resolve();
      };
      port2.postMessage(null);
    });
}
