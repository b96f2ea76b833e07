/** Where a recording's bytes come from, and its blocks again when they are wanted again. */
import { decompress } from "fzstd";
import { portableCodecs, type Codecs } from "../../../hosts/node/src/recording.ts";

/** One slice read of a file. Small at first: something is to be seen soon. */
const FIRST_READ_BYTES = 1 << 18;
const READ_BYTES = 1 << 22;
const CODEC_OFFSET = 1;
const STORED_OFFSET = 4;
const SIZE_OFFSET = 8;
const BLOCK_HEAD_BYTES = 24;

export interface Source {
  /** Bytes there are; none where nobody knows. */
  readonly total: number | null;
  chunks(): AsyncIterable<Uint8Array>;
  /** A frames block was read: its content, and where it lies in the file. */
  keep(block: number, content: Uint8Array, from: number): void;
  /** The content of a block that was read before. */
  content(block: number): Promise<Uint8Array>;
  /** Blocks below this are wanted no more. */
  drop(below: number): void;
}

/** A file on this machine, of any size: blocks are read again, and the latest used are kept. */
export class FileSource implements Source {
  readonly total: number;
  readonly #file: Blob;
  readonly #places: number[] = [];
  readonly #cache = new Map<number, Uint8Array>();
  readonly #cacheBytesMax = 48 << 20;
  #cacheBytes = 0;

  constructor(file: Blob) {
    this.#file = file;
    this.total = file.size;
  }

  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    let size = FIRST_READ_BYTES;
    for (let at = 0; at < this.total;) {
      const chunk = await this.#read(at, at + size);
      at += chunk.length;
      size = READ_BYTES;
      yield chunk;
    }
  }

  keep(block: number, content: Uint8Array, from: number): void {
    this.#places[block] = from;
    this.#remember(block, content);
  }

  async content(block: number): Promise<Uint8Array> {
    const kept = this.#cache.get(block);
    if (kept) {
      this.#cache.delete(block);
      this.#cache.set(block, kept);
      return kept;
    }
    const at = this.#places[block] ?? 0;
    const head = await this.#read(at, at + BLOCK_HEAD_BYTES);
    const view = new DataView(head.buffer);
    const start = at + BLOCK_HEAD_BYTES;
    const stored = await this.#read(start, start + view.getUint32(STORED_OFFSET, true));
    const content = view.getUint8(CODEC_OFFSET)
      ? decompress(stored, new Uint8Array(view.getUint32(SIZE_OFFSET, true)))
      : stored;
    this.#remember(block, content);
    return content;
  }

  drop(): void {
    // It is there as long as the file is.
  }

  async #read(from: number, to: number): Promise<Uint8Array> {
    return new Uint8Array(await this.#file.slice(from, to).arrayBuffer());
  }

  #remember(block: number, content: Uint8Array): void {
    this.#cache.set(block, content);
    this.#cacheBytes += content.length;
    for (const [oldest, bytes] of this.#cache) {
      if (this.#cacheBytes <= this.#cacheBytesMax || oldest === block) break;
      this.#cache.delete(oldest);
      this.#cacheBytes -= bytes.length;
    }
  }
}

/** A stream that comes once: what is still wanted of it is kept. */
export class StreamSource implements Source {
  readonly total = null;
  readonly #chunks: AsyncIterable<Uint8Array>;
  readonly #kept = new Map<number, Uint8Array>();

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks;
  }

  chunks(): AsyncIterable<Uint8Array> {
    return this.#chunks;
  }

  keep(block: number, content: Uint8Array): void {
    this.#kept.set(block, content);
  }

  content(block: number): Promise<Uint8Array> {
    const content = this.#kept.get(block);
    return content ? Promise.resolve(content) : Promise.reject(new Error("no longer kept"));
  }

  drop(below: number): void {
    for (const block of this.#kept.keys()) {
      if (block >= below) break;
      this.#kept.delete(block);
    }
  }
}

/** As the portable ones, with a checksum that takes eight bytes a step. */
export const codecs: Codecs = { ...portableCodecs };
