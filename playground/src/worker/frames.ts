/** Frames and where they lie. */

/** Whole frames in the content of a block. */
export interface FrameRange {
  block: number;
  start: number;
  end: number;
}

/** Bytes of the frame at `at`, or 0 where there is none. */
export function frameBytes(frames: Uint8Array, at: number): number {
  if (at + 5 > frames.length) return 0;
  const bytes = 1 + new DataView(frames.buffer, frames.byteOffset + at).getUint32(1);
  return at + bytes <= frames.length ? bytes : 0;
}

/** How many frames begin before a byte. */
export function framesBefore(frames: Uint8Array, byte: number): number {
  let count = 0;
  for (let at = 0; at < byte; count++) at += frameBytes(frames, at) || byte;
  return count;
}

/** Undecided transactions: not their frames, but where those lie in the recording. */
export class Stash {
  #kept = new Map<number, (FrameRange & { subxid: number })[]>();

  keep(xid: number, subxid: number, range: FrameRange): void {
    const ranges = this.#kept.get(xid) ?? [];
    const last = ranges.at(-1);
    if (last?.subxid === subxid && last.block === range.block && last.end === range.start) {
      last.end = range.end;
    } else {
      ranges.push({ ...range, subxid });
    }
    this.#kept.set(xid, ranges);
  }

  discard(xid: number, subxid: number): void {
    if (xid === subxid) {
      this.#kept.delete(xid);
      return;
    }
    const ranges = this.#kept.get(xid)?.filter((range) => range.subxid !== subxid);
    if (ranges) this.#kept.set(xid, ranges);
  }

  of(xid: number): FrameRange[] {
    return (this.#kept.get(xid) ?? []).map(({ block, start, end }) => ({ block, start, end }));
  }

  clear(): void {
    this.#kept.clear();
  }

  clone(): Stash {
    const copy = new Stash();
    for (const [xid, ranges] of this.#kept) {
      copy.#kept.set(
        xid,
        ranges.map((range) => ({ ...range })),
      );
    }
    return copy;
  }
}
