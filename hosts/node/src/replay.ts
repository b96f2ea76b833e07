/**
 * Decodes a recording, by the rules of docs/recordings.md. Nothing here is Node's.
 */

import type { ChangeEvent, PackedRecord, Position } from "./records.js";
import { type Codecs, type Place, portableCodecs, readBlocks } from "./recording.js";
import {
  type DecodeError,
  Decoder,
  type Decoding,
  type Facts,
  type Options,
  type Settings,
} from "./session.js";

export interface ReplaySettings extends Settings {
  /** Besides those of the recording, and before them. */
  readonly options?: Options | undefined;
  /** Told of a frame that cannot be decoded, and decoding goes on. Without it, it ends there. */
  readonly onUndecodable?: ((error: DecodeError, place: Place) => void) | undefined;
  readonly codecs?: Codecs | undefined;
}

/** The events of a recording. */
export class Replay implements AsyncIterable<ChangeEvent> {
  readonly #chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  readonly #instantiate: () => Decoding | Promise<Decoding>;
  readonly #settings: ReplaySettings;

  /** `chunks`: the file, however divided. `instantiate`: a new instance of the component. */
  constructor(
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    instantiate: () => Decoding | Promise<Decoding>,
    settings: ReplaySettings = {},
  ) {
    this.#chunks = chunks;
    this.#instantiate = instantiate;
    this.#settings = settings;
  }

  /**
   * One by one. An event holds the batch it came with in memory.
   *
   * @throws {RecordingError} {@link DecodeError}, and what {@link Decoder} throws, behind all
   * events that come before.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ChangeEvent> {
    return new Events(this.batches());
  }

  /** All records, as many at a time as the decoder returns: several times as fast. */
  async *batches(): AsyncGenerator<readonly PackedRecord[], void, undefined> {
    const { options, onUndecodable, codecs = portableCodecs } = this.#settings;
    let decoder: Decoder | undefined;
    let facts = new FactsOfRelations();
    let last: Position | null = null;
    /** Up to where the server sends again what came before. */
    let seen: Position | null = null;
    for await (const block of readBlocks(this.#chunks, codecs)) {
      if (block.kind === "head") {
        const all = { ...block.head.options, ...options };
        decoder = Decoder.open(await this.#instantiate(), all, this.#settings);
        facts = new FactsOfRelations();
        seen = last;
      } else if (block.kind === "facts") facts.add(block.relation, block.facts);
      else if (block.kind === "frames" && decoder) {
        for (let rest = block.frames; rest.length > 0;) {
          const { consumed, stop, ...decoded } = decoder.decode(rest, block.receivedAtUs);
          rest = rest.subarray(consumed);
          const records: readonly PackedRecord[] = seen
            ? withoutSeen(decoded.records, seen)
            : decoded.records;
          last = records.findLast((record) => record.kind === "event")?.position ?? last;
          if (records.length > 0) yield records;
          if (stop?.kind === "unknown") decoder.learn(facts.answer(stop.question.relation));
          else if (stop) {
            if (!onUndecodable) throw stop.error;
            onUndecodable(stop.error, block);
            rest = rest.subarray(decoder.skip());
          }
        }
      }
    }
  }
}

/**
 * What `async function*` and a loop would be, but for the turns of the event loop's queue that take
 * such a generator longer than all else that is done with an event.
 */
class Events implements AsyncIterableIterator<ChangeEvent> {
  readonly #batches: AsyncGenerator<readonly PackedRecord[], void, undefined>;
  #records: Iterator<PackedRecord> = [].values();
  /** While a batch is awaited. */
  #reading: Promise<void> | null = null;
  #done = false;

  constructor(batches: AsyncGenerator<readonly PackedRecord[], void, undefined>) {
    this.#batches = batches;
  }

  next(): Promise<IteratorResult<ChangeEvent>> {
    if (!this.#reading) {
      for (let next; !(next = this.#records.next()).done;)
        if (next.value.kind === "event") return Promise.resolve({ done: false, value: next.value });
      if (this.#done) return Promise.resolve({ done: true, value: undefined });
      this.#reading = this.#read();
    }
    return this.#reading.then(() => this.next());
  }

  async return(): Promise<IteratorResult<ChangeEvent>> {
    await this.#batches.return();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #read(): Promise<void> {
    try {
      const { done, value } = await this.#batches.next();
      if (done) this.#done = true;
      else this.#records = value.values();
    } finally {
      this.#reading = null;
    }
  }
}

function withoutSeen(records: readonly PackedRecord[], seen: Position): readonly PackedRecord[] {
  return records.filter(
    (record) => record.kind !== "event" || comparePositions(record.position, seen) > 0,
  );
}

/** Negative, 0 or positive, as for sorting. */
export function comparePositions(left: Position, right: Position): number {
  if (left.commitLsn !== right.commitLsn) return left.commitLsn < right.commitLsn ? -1 : 1;
  return left.index - right.index || left.sub - right.sub;
}

/** Answers in the order in which they were given, by relation. */
class FactsOfRelations {
  readonly #unused = new Map<number, Facts[]>();
  readonly #last = new Map<number, Facts>();

  add(relation: number, facts: Facts): void {
    const unused = this.#unused.get(relation);
    if (unused) unused.push(facts);
    else this.#unused.set(relation, [facts]);
  }

  answer(relation: number): Facts {
    const oldest = this.#unused.get(relation)?.shift();
    if (oldest) this.#last.set(relation, oldest);
    return oldest ?? this.#last.get(relation) ?? { types: [], relations: [] };
  }
}
