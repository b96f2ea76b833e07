/** Frames of transactions that came before they were decided, in the order they came. */

import { concatenate } from "./bytes.js";

/** The frames of undecided transactions would take more memory than they may. */
export class StashFullError extends Error {
  override readonly name = "StashFullError";
  readonly limitBytes: number;

  constructor(limitBytes: number) {
    super(`undecided transactions would exceed stashBytesMax, which is ${String(limitBytes)}`);
    this.limitBytes = limitBytes;
  }
}

interface Transaction {
  readonly runs: Run[];
  readonly discarded: Set<number>;
  bytes: number;
}

/** Whole frames of a subtransaction, or of the transaction itself. */
interface Run {
  readonly subxid: number;
  readonly frames: Uint8Array;
}

export class Stash {
  readonly #bytesMax: number;
  readonly #transactions = new Map<number, Transaction>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Keeps a copy. */
  keep(xid: number, subxid: number, frames: Uint8Array): void {
    this.#bytes += frames.length;
    if (this.#bytes > this.#bytesMax) throw new StashFullError(this.#bytesMax);
    let transaction = this.#transactions.get(xid);
    if (!transaction) {
      transaction = { runs: [], discarded: new Set(), bytes: 0 };
      this.#transactions.set(xid, transaction);
    }
    transaction.bytes += frames.length;
    for (let rest = frames.slice(); rest.length > 0;) {
      const bytes = wholeFrames(rest, CALL_BYTES_MAX);
      transaction.runs.push({ subxid, frames: rest.subarray(0, bytes) });
      rest = rest.subarray(bytes);
    }
  }

  /** Forgets a subtransaction, or all of the transaction if it is its own xid. */
  discard(xid: number, subxid: number): void {
    if (xid === subxid) this.take(xid);
    // Its frames are passed over when they are replayed: there may be many to look through.
    else this.#transactions.get(xid)?.discarded.add(subxid);
  }

  /** Takes out what was kept of a transaction; null if that is nothing. */
  take(xid: number): Replay | null {
    const transaction = this.#transactions.get(xid);
    if (!transaction) return null;
    this.#transactions.delete(xid);
    this.#bytes -= transaction.bytes;
    const { runs, discarded } = transaction;
    return new Replay(runs.filter((run) => !discarded.has(run.subxid)));
  }
}

/** A transaction's frames on their way back, oldest first. */
export class Replay {
  /** The oldest last. */
  readonly #runs: Run[];
  #rest: Uint8Array = new Uint8Array();

  constructor(runs: Run[]) {
    this.#runs = runs.reverse();
  }

  /** What is to be decoded next: whole frames; null at the end. */
  frames(): Uint8Array | null {
    if (this.#rest.length === 0) {
      const parts: Uint8Array[] = [];
      let bytes = 0;
      for (let run; (run = this.#runs.at(-1)); this.#runs.pop()) {
        bytes += run.frames.length;
        if (parts.length > 0 && bytes > CALL_BYTES_MAX) break;
        parts.push(run.frames);
      }
      this.#rest = concatenate(parts);
    }
    return this.#rest.length > 0 ? this.#rest : null;
  }

  /** Done with so many bytes of them. */
  consume(bytes: number): void {
    this.#rest = this.#rest.subarray(bytes);
  }
}

/** Length of the first frame, or of all there is where that cannot be told. */
export function frameBytes(frames: Uint8Array): number {
  if (frames.length < 5) return frames.length;
  const view = new DataView(frames.buffer, frames.byteOffset, frames.byteLength);
  return Math.min(view.getUint32(1) + 1, frames.length);
}

/** How many bytes of whole frames fit; of one at least. */
function wholeFrames(frames: Uint8Array, bytesMax: number): number {
  if (frames.length <= bytesMax) return frames.length;
  let end = 0;
  for (let next = 0; next <= bytesMax; next = end + frameBytes(frames.subarray(end))) end = next;
  return end || frameBytes(frames);
}

/** The decoder is given at most this at a time, or one frame: more gains nothing. */
const CALL_BYTES_MAX = 64 * 1024;
