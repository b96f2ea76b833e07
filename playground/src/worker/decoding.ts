/** A decoder at some place of a recording: docs/recordings.md, "Reading it". */
import {
  readRecords,
  type ChangeEvent,
  type Position,
  type Topic,
} from "../../../hosts/node/src/records.ts";
import { Instance, type Decoder, type Facts, type Stop } from "./component.ts";
import { frameBytes, Stash, type FrameRange } from "./frames.ts";
import type { Pairs } from "../protocol.ts";

/** `wit/decoding.wit`: frames stashed are passed at most this many bytes a call. */
const REPLAY_BYTES = 65536;

export interface DecodeError {
  kind: string;
  offset: number;
  detail: string;
}

export interface Asked {
  relation: number;
  namespace: string;
  name: string;
  types: number[];
  /** Which of its relation's facts was the answer, from 0; none: there are none. */
  answer: number | null;
}

/** A frame and what lies around it. */
export interface Frame extends FrameRange {
  content: Uint8Array;
}

/** Who looks at what comes. */
export interface Observer {
  event?(event: ChangeEvent, passedOver: boolean): void;
  failed?(error: DecodeError, frame: Frame): void;
  asked?(question: Asked, frame: Frame): void;
}

/** What decoding needs of the recording. */
export interface Recorded {
  content(block: number): Promise<Uint8Array>;
  timeUs(block: number): bigint;
  /** The facts of a relation that stand before a block, in this segment of the recording. */
  facts(segment: number, relation: number, before: number): readonly Facts[];
}

interface Snapshot {
  memory: Uint8Array;
  topics: Map<number, Topic>;
  stash: Stash;
  used: Map<number, number>;
  last: Position | null;
}

/** How far a decoding is, and what takes another one there. */
export interface Checkpoint {
  segment: number;
  block: number;
  /** The position the segment's events are compared with. */
  lastBefore: Position | null;
  snapshot: Snapshot;
}

export class OptionError extends Error {
  override readonly name = "OptionError";
  readonly option: string;

  constructor(option: string, reason: string) {
    super(reason);
    this.option = option;
  }
}

export class Decoding {
  readonly segment: number;
  /** The next block to be decoded, and where in it. */
  block: number;
  offset = 0;
  /** How many times frames were stashed. */
  stashed = 0;
  /** The last position there was. */
  last: Position | null;
  readonly ignored: string[];
  readonly #recorded: Recorded;
  readonly #instance = new Instance();
  readonly #decoder: Decoder;
  #topics = new Map<number, Topic>();
  readonly #lastBefore: Position | null;
  #stash = new Stash();
  #used = new Map<number, number>();

  /** At the beginning of a segment. */
  constructor(
    recorded: Recorded,
    segment: number,
    block: number,
    options: Pairs,
    lastBefore: Position | null,
  ) {
    this.#recorded = recorded;
    this.segment = segment;
    this.block = block;
    this.last = lastBefore;
    this.#lastBefore = lastBefore;
    try {
      this.#decoder = this.#instance.exports.decoding.Decoder.open(options);
    } catch (error) {
      const { name, reason } =
        (error as { payload?: { name: string; reason: string } }).payload ?? {};
      if (name !== undefined && reason !== undefined) throw new OptionError(name, reason);
      throw error;
    }
    this.ignored = this.#decoder.ignoredOptions();
  }

  /** One at a checkpoint; `options` are those of the decoding that made it. */
  static at(checkpoint: Checkpoint, recorded: Recorded, options: Pairs): Decoding {
    const { segment, block, lastBefore, snapshot } = checkpoint;
    const decoding = new Decoding(recorded, segment, block, options, lastBefore);
    decoding.#instance.restore(snapshot.memory);
    decoding.#topics = new Map(snapshot.topics);
    decoding.#stash = snapshot.stash.clone();
    decoding.#used = new Map(snapshot.used);
    decoding.last = snapshot.last;
    return decoding;
  }

  /** Takes what came before its block and is known of it; the catalog's last answers are for it. */
  prepare(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      for (let tries = 0; tries < 3; tries++) {
        const { records, stop } = this.#decoder.decode(frame, 0n);
        readRecords(records, this.#topics);
        if (stop?.tag === "failed") this.#decoder.skip();
        if (stop?.tag !== "unknown") break;
        const { relation } = stop.val;
        const all = this.#recorded.facts(this.segment, relation, this.block);
        this.#used.set(relation, all.length);
        this.#decoder.learn(all.at(-1) ?? { types: [], relations: [] });
      }
    }
  }

  /** Where it is, at the beginning of a block. */
  checkpoint(): Checkpoint {
    return {
      segment: this.segment,
      block: this.block,
      lastBefore: this.#lastBefore,
      snapshot: {
        memory: this.#instance.snapshot(),
        topics: new Map(this.#topics),
        stash: this.#stash.clone(),
        used: new Map(this.#used),
        last: this.last,
      },
    };
  }

  /** Decodes up to a byte of its block. A stashed frame that is watched has its own observer. */
  async decode(end: number, observer: Observer, watched?: Watched): Promise<void> {
    const range = { block: this.block, start: this.offset, end };
    await this.#pass(range, this.#recorded.timeUs(this.block), observer, watched, false);
    this.offset = end;
  }

  async #pass(
    range: FrameRange,
    timeUs: bigint,
    observer: Observer,
    watched: Watched | undefined,
    replaying: boolean,
  ): Promise<void> {
    const content = await this.#recorded.content(range.block);
    let replayed = -1;
    for (let at = range.start; at < range.end;) {
      const rest = content.subarray(at, range.end);
      const frames = replaying ? wholeFrames(rest) : rest;
      const { records, consumed, stop } = this.#decoder.decode(frames, timeUs);
      this.#take(records, { block: range.block, start: at, end: at + consumed }, observer);
      at += consumed;
      if (!stop) {
        if (consumed === 0) throw new Error("the decoder does not go on: a bug in it");
        continue;
      }
      const frame = { block: range.block, start: at, end: at + frameBytes(content, at), content };
      if (stop.tag === "replay") {
        const ranges = this.#stash.of(stop.val);
        if (replaying || replayed === at || ranges.length === 0) {
          const detail = "commits a transaction none of whose frames are in the recording";
          observer.failed?.({ kind: "sequence", offset: 0, detail }, frame);
          at = frame.end;
          continue;
        }
        replayed = at;
        for (const stashed of ranges) await this.#replay(stashed, timeUs, observer, watched);
      } else if (this.#answer(stop, frame, observer)) {
        at = frame.end;
      }
    }
  }

  async #replay(
    range: FrameRange,
    timeUs: bigint,
    observer: Observer,
    watched: Watched | undefined,
  ): Promise<void> {
    const pass = (part: FrameRange, to: Observer) => this.#pass(part, timeUs, to, undefined, true);
    const { frame } = watched ?? {};
    if (
      !watched ||
      frame?.block !== range.block ||
      frame.start < range.start ||
      frame.end > range.end
    ) {
      await pass(range, observer);
      return;
    }
    await pass({ ...range, end: frame.start }, observer);
    await pass(frame, watched.observer);
    await pass({ ...range, start: frame.end }, observer);
  }

  /** Whether the frame is given up. */
  #answer(stop: Exclude<Stop, { tag: "replay" }>, frame: Frame, observer: Observer): boolean {
    if (stop.tag === "failed") {
      const { kind, offset, detail } = stop.val;
      observer.failed?.({ kind, offset, detail }, frame);
      this.#decoder.skip();
      return true;
    }
    const { relation, namespace, name, types } = stop.val;
    const all = this.#recorded.facts(this.segment, relation, this.block);
    const used = Math.min(this.#used.get(relation) ?? 0, all.length - 1);
    const facts = all[used];
    this.#used.set(relation, used + 1);
    this.#decoder.learn(facts ?? { types: [], relations: [] });
    const answer = facts ? used : null;
    observer.asked?.({ relation, namespace, name, types: [...types], answer }, frame);
    return false;
  }

  #take(records: Uint8Array, frames: FrameRange, observer: Observer): void {
    for (const record of readRecords(records, this.#topics)) {
      if (record.kind === "event") {
        const { position } = record;
        const passedOver =
          this.#lastBefore !== null && comparePositions(position, this.#lastBefore) <= 0;
        if (!passedOver) this.last = position;
        observer.event?.(record, passedOver);
      } else if (record.kind === "stash") {
        this.stashed++;
        const start = frames.start + record.offset;
        const end = start + record.bytes;
        this.#stash.keep(record.xid, record.subxid, { block: frames.block, start, end });
      } else if (record.kind === "discard") {
        this.#stash.discard(record.xid, record.subxid);
      }
    }
  }
}

/** A frame whose events are looked at by themselves when it is replayed. */
export interface Watched {
  frame: FrameRange;
  observer: Observer;
}

/** As many whole frames as a call of a replay takes; one alone may be larger. */
function wholeFrames(frames: Uint8Array): Uint8Array {
  let end = 0;
  for (let bytes; (bytes = frameBytes(frames, end)) > 0; end += bytes) {
    if (end > 0 && end + bytes > REPLAY_BYTES) break;
  }
  return frames.subarray(0, end);
}

export function comparePositions(a: Position, b: Position): number {
  if (a.commitLsn !== b.commitLsn) return a.commitLsn < b.commitLsn ? -1 : 1;
  return a.index - b.index || a.sub - b.sub;
}
