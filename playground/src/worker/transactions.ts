/** Transactions of a stream, packed: a million of them are 64 MB. */
import { OUTCOMES, TRANSACTION_NUMBERS, type Outcome, type TransactionRow } from "../protocol.ts";
import type { Message } from "./inspect.ts";

/** More are counted and not kept. */
export const TRANSACTIONS_MAX = 1_000_000;

const FIRST = 0;
const LAST = 1;
const XID = 2;
const CHANGES = 3;
const BYTES = 4;
const START = 5;
const END = 6;
const OUTCOME = 7;
const CHANGE_TYPES = new Set(["Insert", "Update", "Delete", "Truncate", "Message"]);

export class Transactions {
  total = 0;
  #numbers = new Float64Array(1024 * TRANSACTION_NUMBERS);
  #kept = 0;
  /** The one whose Begin or Stream Start came, and no end of it. */
  #current = -1;
  /** Those that come in pieces or were prepared, by xid. */
  #undecided = new Map<number, number>();
  #dirty = Infinity;

  /** Takes the next message of the stream. */
  add(message: Message, number: number): void {
    const { type, xid } = message;
    switch (type) {
      case "Begin":
      case "Begin Prepare":
        this.#current = this.#start(xid ?? 0, number, message);
        return;
      case "Stream Start":
        this.#current = this.#undecided.get(xid ?? 0) ?? this.#start(xid ?? 0, number, message);
        this.#undecided.set(xid ?? 0, this.#current);
        this.#count(this.#current, message, number);
        return;
      case "Stream Stop":
        this.#count(this.#current, message, number);
        this.#current = -1;
        return;
      case "Commit":
        this.#end(this.#current, "committed", message, number);
        return;
      case "Prepare":
        if (xid !== null) this.#undecided.set(xid, this.#current);
        this.#end(this.#current, "prepared", message, number);
        return;
      case "Stream Commit":
      case "Commit Prepared":
        this.#decide(xid, "committed", message, number);
        return;
      case "Stream Prepare":
        this.#end(this.#undecided.get(xid ?? 0) ?? -1, "prepared", message, number);
        return;
      case "Rollback Prepared":
        this.#decide(xid, "rolled back", message, number);
        return;
      case "Stream Abort":
        // That of a subtransaction ends nothing.
        if (message.subxid === null || message.subxid === xid) {
          this.#decide(xid, "rolled back", message, number);
        }
        return;
      default:
        this.#count(this.#current, message, number);
    }
  }

  /** Undecided ones are forgotten with their connection. */
  reconnected(): void {
    this.#current = -1;
    this.#undecided.clear();
  }

  /** The xid of what is open. */
  get openXid(): number | null {
    return this.#current < 0 ? null : (this.#numbers[this.#slot(this.#current) + XID] as number);
  }

  /** What is new since the last call. */
  take(): { from: number; numbers: Float64Array } | null {
    if (this.#dirty >= this.#kept) return null;
    const from = this.#dirty;
    this.#dirty = Infinity;
    return { from, numbers: this.#numbers.slice(this.#slot(from), this.#slot(this.#kept)) };
  }

  get(index: number): TransactionRow | null {
    if (index < 0 || index >= this.#kept) return null;
    return readTransaction(this.#numbers, index);
  }

  /** The transaction with this message; the latest that begins at it or before and reaches it. */
  find(message: number, xid: number | null): TransactionRow | null {
    let low = 0;
    let high = this.#kept;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#numbers[this.#slot(middle) + FIRST] as number) <= message) low = middle + 1;
      else high = middle;
    }
    for (let index = low - 1, steps = 0; index >= 0 && steps < 1000; index--, steps++) {
      const row = readTransaction(this.#numbers, index);
      if (row.last >= message && (xid === null || row.xid === xid)) return row;
    }
    return null;
  }

  #slot(index: number): number {
    return index * TRANSACTION_NUMBERS;
  }

  #start(xid: number, number: number, message: Message): number {
    this.total++;
    if (this.#kept >= TRANSACTIONS_MAX) return -1;
    const index = this.#kept++;
    if (this.#slot(this.#kept) > this.#numbers.length) {
      const larger = new Float64Array(this.#numbers.length * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    const at = this.#slot(index);
    const clock = Number(message.clockUs);
    this.#numbers.set([number, number, xid, 0, message.bytes, clock, clock, 0], at);
    this.#touch(index);
    return index;
  }

  #count(index: number, message: Message, number: number): void {
    if (index < 0) return;
    const at = this.#slot(index);
    const numbers = this.#numbers;
    numbers[at + LAST] = number;
    if (CHANGE_TYPES.has(message.type)) numbers[at + CHANGES] = (numbers[at + CHANGES] ?? 0) + 1;
    numbers[at + BYTES] = (numbers[at + BYTES] ?? 0) + message.bytes;
    if (message.clockUs > 0n) numbers[at + END] = Number(message.clockUs);
    this.#touch(index);
  }

  #end(index: number, outcome: Outcome, message: Message, number: number): void {
    if (index >= 0) {
      this.#count(index, message, number);
      this.#numbers[this.#slot(index) + OUTCOME] = OUTCOMES.indexOf(outcome);
    }
    this.#current = -1;
  }

  #decide(xid: number | null, outcome: Outcome, message: Message, number: number): void {
    const index = this.#undecided.get(xid ?? 0) ?? -1;
    this.#undecided.delete(xid ?? 0);
    const current = this.#current;
    this.#end(index, outcome, message, number);
    this.#current = current === index ? -1 : current;
  }

  #touch(index: number): void {
    this.#dirty = Math.min(this.#dirty, index);
  }
}

export function readTransaction(numbers: Float64Array, index: number): TransactionRow {
  const at = index * TRANSACTION_NUMBERS;
  const number = (which: number) => numbers[at + which] as number;
  return {
    first: number(FIRST),
    last: number(LAST),
    xid: number(XID),
    changes: number(CHANGES),
    bytes: number(BYTES),
    startUs: number(START),
    endUs: number(END),
    outcome: OUTCOMES[number(OUTCOME)] ?? "open",
  };
}
