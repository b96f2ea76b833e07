/** Reads the packed records of wit/decoding.wit, in its words. No text is copied: all are views. */

export type Begin = { kind: "begin"; commitLsn: bigint; commitTsUs: bigint; xid: number };
export type Commit = Omit<Begin, "kind"> & { kind: "commit"; events: number; endLsn: bigint };
export type Stash = { kind: "stash"; xid: number; subxid: number; offset: number; bytes: number };
export type Discard = { kind: "discard"; xid: number; subxid: number };
export type Prepared = { kind: "prepared"; xid: number; prepareLsn: bigint };
export type PackedRecord = Begin | Commit | ChangeEvent | Stash | Discard | Prepared;

/** What is constant for the events that name it; its headers are those of events without own. */
export type Topic = Record<"id" | "relationOid", number> &
  Record<"name" | "schema" | "table", string> & { headers: Uint8Array; columns: Column[] };
export type Column = Attribute & { typeOid: number; typmod: number };
export type Attribute = { name: string; shape: number; flags: number; attributes: Attribute[] };
export type Position = { commitLsn: bigint; index: number; sub: number };
export type Part = "key" | "value" | "headers" | "before" | "after" | "source";

/** Bytes that are no records: a bug in the decoder, or in whoever kept them. */
export class RecordError extends Error {
  override readonly name = "RecordError";
}

const EVENT_BYTES = 88;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class ChangeEvent {
  readonly kind = "event";
  readonly topic: Topic;
  // Private to the language, so that printing an event shows no row.
  readonly #view: DataView;
  readonly #at: number;

  constructor(view: DataView, at: number, length: number, topic: Topic) {
    this.topic = topic;
    this.#view = view;
    this.#at = at;
    const value = this.#u32(52);
    let fits = this.#u32(48) + value + this.#u32(56) + 4 * this.#u32(60) <= length - EVENT_BYTES;
    for (let at = 64; at < 88; at += 8) fits &&= this.#u32(at) + this.#u32(at + 4) <= value;
    if (!fits) throw new RangeError("an event cut short");
  }
  /** `c` `u` `d` `r` `t` `m`; null for tombstones and transaction metadata. */
  get op(): string | null {
    const op = this.#view.getUint8(this.#at + 5);
    return op ? String.fromCharCode(op) : null;
  }
  get position(): Position {
    return { commitLsn: this.#u64(8), index: this.#u32(16), sub: this.#u32(20) };
  }
  get lsn(): bigint {
    return this.#u64(24);
  }
  get commitTsUs(): bigint {
    return BigInt.asIntN(64, this.#u64(32));
  }
  get xid(): number | null {
    return this.#u32(40) || null;
  }
  /** Indexes of columns of `after` whose TOASTed value did not change and was not sent. */
  get unchanged(): number[] {
    const start = EVENT_BYTES + this.#u32(48) + this.#u32(52) + this.#u32(56);
    return Array.from({ length: this.#u32(60) }, (_, index) => this.#u32(start + 4 * index));
  }
  /** JSON, a view of the batch; null for SQL's null key, a tombstone's value, a missing member. */
  bytes(part: Part): Uint8Array | null {
    const [key, value] = [this.#u32(48), this.#u32(52)];
    if (part === "key") return this.#slice(0, key);
    if (part === "value") return this.#slice(key, value);
    if (part === "headers") return this.#slice(key + value, this.#u32(56)) ?? this.topic.headers;
    const at = part === "before" ? 64 : part === "after" ? 72 : 80;
    return this.#slice(key + this.#u32(at), this.#u32(at + 4));
  }
  text(part: Part): string | null {
    const bytes = this.bytes(part);
    return bytes && utf8.decode(bytes);
  }
  #slice(start: number, bytes: number): Uint8Array | null {
    const at = this.#view.byteOffset + this.#at + EVENT_BYTES + start;
    return bytes ? new Uint8Array(this.#view.buffer, at, bytes) : null;
  }
  #u32(offset: number): number {
    return this.#view.getUint32(this.#at + offset, true);
  }
  #u64(offset: number): bigint {
    return this.#view.getBigUint64(this.#at + offset, true);
  }
}

/** Reads a batch. Topics hold from one to the next: there is one map for each decoder. */
export function readRecords(records: Uint8Array, topics: Map<number, Topic>): PackedRecord[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const read: PackedRecord[] = [];
  let at = 0;
  try {
    for (let length; at < records.length; at += length) {
      length = view.getUint32(at, true);
      const kind = view.getUint8(at + 4);
      if (length < 5 || length > records.length - at) throw new RangeError("a record cut short");
      if (kind === 4) {
        const topic = topics.get(view.getUint32(at + 44, true));
        if (!topic) throw new RangeError("an event of an unknown topic");
        read.push(new ChangeEvent(view, at, length, topic));
      } else if (kind === 1) {
        readTopic(records.subarray(at, at + length), topics);
      } else if (kind >= 2 && kind <= 7) {
        read.push(readMark(kind, new DataView(view.buffer, view.byteOffset + at, length)));
      }
    }
  } catch (cause) {
    throw new RecordError(`no record of a decoder at byte ${String(at)}`, { cause });
  }
  return read;
}

function readMark(kind: number, view: DataView): PackedRecord {
  const u32 = (offset: number) => view.getUint32(offset, true);
  const u64 = (offset: number) => view.getBigUint64(offset, true);
  const [xid, subxid] = [u32(8), u32(12)];
  if (kind === 6) return { kind: "discard", xid, subxid };
  if (kind === 7) return { kind: "prepared", xid, prepareLsn: u64(16) };
  const offset = Number(u64(16));
  if (kind === 5) return { kind: "stash", xid, subxid, offset, bytes: Number(u64(24)) };
  const transaction = { commitLsn: u64(8), commitTsUs: view.getBigInt64(16, true), xid: u32(24) };
  if (kind === 2) return { kind: "begin", ...transaction };
  return { kind: "commit", ...transaction, events: u32(28), endLsn: u64(32) };
}

function readTopic(bytes: Uint8Array, topics: Map<number, Topic>): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 36;
  const u32 = (offset: number) => view.getUint32(offset, true);
  const text = (length: number) => utf8.decode(bytes.subarray(at, (at += length)));
  const attribute = (): Attribute => {
    const [shape, flags] = [view.getUint8(at), view.getUint8(at + 1)];
    at += 4;
    const name = text(view.getUint16(at - 2, true));
    const length = (shape & 15) === 5 ? view.getUint16((at += 2) - 2, true) : 0;
    return { name, shape, flags, attributes: Array.from({ length }, attribute) };
  };
  const column = (): Column => {
    at += 8;
    return { typeOid: u32(at - 8), typmod: u32(at - 4) | 0, ...attribute() };
  };
  const [name, schema, table] = [text(u32(16)), text(u32(20)), text(u32(24))];
  const headers = bytes.slice(at, (at += u32(28)));
  const columns = Array.from({ length: u32(32) }, column);
  if (at > bytes.length) throw new RangeError("a topic cut short");
  const [id, relationOid] = [u32(8), u32(12)];
  topics.set(id, { id, relationOid, name, schema, table, headers, columns });
}
