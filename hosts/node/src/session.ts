/**
 * A decoder and what belongs to it: topics are named once, and the frames of streamed and prepared
 * transactions are kept until they are decided.
 *
 * Nothing here is Node's, and nothing waits: a page may use it, too.
 */

import type { Facts } from "../component/interfaces/pgoutput-decoder-catalog.js";
import type {
  DecodeErrorKind,
  Decoder as Guest,
  DecodeError as Problem,
  Question,
  RestoreError as RestoreErrorReason,
  Stop as GuestStop,
} from "../component/interfaces/pgoutput-decoder-decoding.js";
import { lsnText } from "./lsn.js";
import { type PackedRecord, type Topic, readRecords } from "./records.js";
import { type Replay, Stash, StashFullError, frameBytes } from "./stash.js";

export { StashFullError };
export type { DecodeErrorKind, Facts, Question, RestoreErrorReason };

/** What an instance of the component exports as `decoding`. */
export interface Decoding {
  readonly Decoder: { open(options: [string, string][]): Guest };
}

/** By Debezium's property names, and `format`: `debezium` or `native`. */
export type Options = Readonly<Record<string, string>>;

export interface Settings {
  /** Beyond it, {@link StashFullError}. 1 GiB if it is not given. */
  readonly stashBytesMax?: number | undefined;
}

/** What a call of {@link Decoder.decode} came to. */
export interface Decoded {
  readonly records: readonly PackedRecord[];
  /** Bytes of the frames used up: whole frames only. Pass the rest again. */
  readonly consumed: number;
  /** Why it stopped before a frame; null where it is only to be called again. */
  readonly stop: Stop | null;
}

/**
 * `unknown`: nothing is known of the frame's relation, {@link Decoder.learn} the answer.
 * `failed`: the frame cannot be decoded, {@link Decoder.skip} goes on behind it.
 */
export type Stop =
  | { readonly kind: "unknown"; readonly question: Question }
  | { readonly kind: "failed"; readonly error: DecodeError };

/** A decoder of one replication stream. */
export class Decoder {
  readonly #guest: Guest;
  readonly #topics = new Map<number, Topic>();
  readonly #stash: Stash;
  /** Frames of the transaction that was just committed: they come before any others. */
  #replay: Replay | null = null;
  /** How often, without going on. */
  #asked = 0;
  /** Of the frame that failed. */
  #failedBytes = 0;
  /** Why it is of no further use. */
  #broken: Error | null = null;

  private constructor(guest: Guest, { stashBytesMax = 1 << 30 }: Settings) {
    this.#guest = guest;
    this.#stash = new Stash(stashBytesMax);
  }

  /**
   * Give each decoder an instance of the component of its own: a decoder that breaks takes its
   * instance along.
   *
   * @throws {OptionError}
   */
  static open(decoding: Decoding, options: Options = {}, settings: Settings = {}): Decoder {
    try {
      return new Decoder(decoding.Decoder.open(Object.entries(options)), settings);
    } catch (thrown) {
      const { name, reason } = (payload(thrown) ?? {}) as { name?: unknown; reason?: unknown };
      if (typeof name !== "string" || typeof reason !== "string") throw new EngineError(thrown);
      throw new OptionError(name, reason);
    }
  }

  /** Options that were given, are Debezium's, and have no meaning to a decoder. */
  get ignoredOptions(): string[] {
    return this.#call(() => this.#guest.ignoredOptions());
  }

  /**
   * Decodes whole frames: CopyData messages with XLogData, one after the other, as the server
   * sends them. `nowUs`, µs since 1970-01-01, is the time given to the events.
   *
   * Call it until all of them are used up. While the frames of a transaction that was streamed are
   * decoded, it uses up none.
   *
   * @throws {NotStashedError} {@link StashFullError} {@link EngineError} The decoder is of no
   * further use. What was decoded before has been returned.
   */
  decode(frames: Uint8Array, nowUs: bigint): Decoded {
    const stashed = this.#replay?.frames() ?? null;
    if (!stashed) this.#replay = null;
    const given = stashed ?? frames;
    const { consumed, stop, ...decoded } = this.#call(() => this.#guest.decode(given, nowUs));
    const records = this.#call(() => readRecords(decoded.records, this.#topics));
    this.#asked = stop?.tag === "unknown" && consumed === 0 ? this.#asked + 1 : 0;
    const stalled = !stop && consumed === 0 && given.length > 0;
    if (stalled || this.#asked > ASKED_MAX) throw this.#break("it does not go on");
    this.#keep(records, given);
    this.#replay?.consume(consumed);
    this.#failedBytes = stop?.tag === "failed" ? frameBytes(given.subarray(consumed)) : 0;
    if (stop?.tag === "replay") this.#startReplay(stop.val);
    return { records, consumed: stashed ? 0 : consumed, stop: asStop(stop) };
  }

  /** Facts from the catalogs: what was asked for and is not among them is taken as gone. */
  learn(facts: Facts): void {
    this.#call(() => {
      this.#guest.learn(facts);
    });
  }

  /**
   * Gives up the frame that failed. Returns how many bytes of the frames that were passed it is: go
   * on behind them. It is none where the frame had been stashed.
   */
  skip(): number {
    this.#call(() => {
      this.#guest.skip();
    });
    const bytes = this.#failedBytes;
    this.#failedBytes = 0;
    if (!this.#replay) return bytes;
    this.#replay.consume(bytes);
    return 0;
  }

  /** What a successor needs to go on where this one stands, between transactions. */
  save(): Uint8Array {
    return this.#call(() => this.#guest.save());
  }

  /**
   * The inverse of {@link save}, on a new decoder with the same options.
   *
   * @throws {RestoreError}
   */
  restore(saved: Uint8Array): void {
    if (this.#broken) throw this.#broken;
    try {
      this.#guest.restore(saved);
    } catch (thrown) {
      const reason = payload(thrown);
      if (reason === "corrupt" || reason === "version") throw new RestoreError(reason);
      throw this.#break(thrown);
    }
  }

  /** Does what the records say of the frames. */
  #keep(records: readonly PackedRecord[], frames: Uint8Array): void {
    try {
      for (const record of records) {
        if (record.kind === "stash") {
          const { xid, subxid, offset, bytes } = record;
          this.#stash.keep(xid, subxid, frames.subarray(offset, offset + bytes));
        } else if (record.kind === "discard") this.#stash.discard(record.xid, record.subxid);
      }
    } catch (error) {
      // Thrown by the next call, so that what was decoded is not lost.
      this.#break(error);
    }
  }

  #startReplay(xid: number): void {
    if (this.#replay) throw this.#break("it asks for a replay in a replay");
    this.#replay = this.#stash.take(xid);
    if (!this.#replay) this.#break(new NotStashedError(xid));
  }

  #call<Result>(call: () => Result): Result {
    if (this.#broken) throw this.#broken;
    try {
      return call();
    } catch (thrown) {
      throw this.#break(thrown);
    }
  }

  #break(why: unknown): Error {
    const known = why instanceof StashFullError || why instanceof NotStashedError;
    this.#broken ??= known ? why : new EngineError(why);
    return this.#broken;
  }
}

/** Far more often than a frame asks. */
const ASKED_MAX = 100;

function asStop(stop: GuestStop | undefined): Stop | null {
  if (stop?.tag === "unknown") return { kind: "unknown", question: stop.val };
  if (stop?.tag === "failed") return { kind: "failed", error: new DecodeError(stop.val) };
  return null;
}

/** What a `result` of the component holds: jco throws it, wrapped. */
function payload(thrown: unknown): unknown {
  return thrown instanceof Error && "payload" in thrown ? thrown.payload : null;
}

/** A frame that cannot be decoded. It tells no values. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
  readonly kind: DecodeErrorKind;
  /** The pgoutput message's first byte. */
  readonly messageType: number | null;
  /** Where in the pgoutput message, in bytes. */
  readonly offset: number;
  /** The frame's; the open transaction's commit LSN where it has none. */
  readonly lsn: bigint;

  constructor({ kind, messageType, offset, lsn, detail }: Problem) {
    const message = messageType === undefined ? "" : `, message '${printable(messageType)}'`;
    const where = `at LSN ${lsnText(lsn)}${message}, byte ${String(offset)}`;
    super(`${PROBLEMS[kind]} ${where}: ${detail}`);
    this.kind = kind;
    this.messageType = messageType ?? null;
    this.offset = offset;
    this.lsn = lsn;
  }
}

const PROBLEMS: Readonly<Record<DecodeErrorKind, string>> = {
  frame: "not an XLogData frame",
  limit: "limit exceeded",
  sequence: "message out of sequence",
  trailing: "trailing bytes",
  truncated: "truncated message",
  unsupported: "unsupported message",
  value: "invalid value",
};

function printable(byte: number): string {
  if (byte > 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

/** An option that is not known, or whose value is not. */
export class OptionError extends Error {
  override readonly name = "OptionError";
  readonly option: string;

  constructor(option: string, reason: string) {
    super(`option ${option}: ${reason}`);
    this.option = option;
  }
}

/** Bytes that cannot be restored: not saved ones, or saved by a decoder of another version. */
export class RestoreError extends Error {
  override readonly name = "RestoreError";
  readonly reason: RestoreErrorReason;

  constructor(reason: RestoreErrorReason) {
    super(reason === "corrupt" ? "not a saved decoder" : "saved by a decoder of another version");
    this.reason = reason;
  }
}

/** A frame commits a transaction none of whose frames have come. */
export class NotStashedError extends Error {
  override readonly name = "NotStashedError";
  readonly xid: number;

  constructor(xid: number) {
    super(`none of the frames of transaction ${String(xid)} have come`);
    this.xid = xid;
  }
}

/** The decoder itself failed: a bug in it. Its instance is of no further use. */
export class EngineError extends Error {
  override readonly name = "EngineError";

  constructor(why: unknown) {
    const what = why instanceof Error ? why.message : String(why);
    super(`the decoder failed: ${what}`, { cause: why });
  }
}
