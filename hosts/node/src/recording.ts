/**
 * Reads recordings block by block: docs/recordings.md is their format.
 *
 * Nothing here is Node's: a page reads one from `file.stream()` or `response.body`.
 */

import { decompress } from "fzstd";
import type {
  Facts,
  RelationFacts,
  TypeFacts,
  TypeKind,
} from "../component/interfaces/pgoutput-decoder-catalog.js";
import { concatenate } from "./bytes.js";
import { crc32 } from "./crc32.js";

/** Where a block is: counted from 1, and its first byte. The file's own head is block 0. */
export interface Place {
  readonly block: number;
  readonly byte: number;
}

export type Block = Content & Place & { readonly receivedAtUs: bigint };

/** Of a block. The frames are whole ones, as `decode` takes them. */
export type Content =
  | { readonly kind: "head"; readonly head: Head }
  | { readonly kind: "facts"; readonly relation: number; readonly facts: Facts }
  | { readonly kind: "frames"; readonly frames: Uint8Array }
  | { readonly kind: "end" };

/** The beginning of a stream. */
export interface Head {
  readonly options: Readonly<Record<string, string>>;
  /** All that it says, by the names of docs/recordings.md. */
  readonly members: Readonly<Record<string, unknown>>;
}

/**
 * What a file that cannot be read to its end is: no recording at all; one of a later version of the
 * format; cut off inside a block; damaged; or sound, but without the block that ends it.
 */
export type RecordingErrorReason = "foreign" | "newer" | "truncated" | "damaged" | "unfinished";

/** A file that cannot be read to its end. The blocks before are sound, and have been given out. */
export class RecordingError extends Error implements Place {
  override readonly name = "RecordingError";
  readonly reason: RecordingErrorReason;
  readonly block: number;
  readonly byte: number;

  constructor(reason: RecordingErrorReason, what: string, { block, byte }: Place) {
    super(block === 0 ? what : `block ${String(block)} at byte ${String(byte)}: ${what}`);
    this.reason = reason;
    this.block = block;
    this.byte = byte;
  }
}

/** What a platform may have faster than the language. */
export interface Codecs {
  /** As zlib's: `seed` is the CRC-32 of what came before. */
  crc32(bytes: Uint8Array, seed: number): number;
  /** Expands one zstd frame to `contentBytes` bytes. */
  decompress(stored: Uint8Array, contentBytes: number): Uint8Array;
}

/** Works everywhere. */
export const portableCodecs: Codecs = {
  crc32,
  // Not into an array of ours: fzstd compares it with a number, which makes a string of all of it.
  decompress: (stored) => decompress(stored),
};

/**
 * The blocks of a recording, each checked before it is given out. `chunks` are the file's bytes,
 * however divided; no more than a block of them is kept.
 *
 * @throws {RecordingError} where the file is not sound, behind the last block that is.
 */
export async function* readBlocks(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  codecs: Codecs = portableCodecs,
): AsyncGenerator<Block, void, undefined> {
  const input = new Input(chunks);
  try {
    await readFileHead(input);
    let ended = false;
    for (let number = 1; ; number++) {
      const place = { block: number, byte: input.byte };
      const block = await readBlock(input, place, codecs);
      if (block === "end of file") {
        if (ended) return;
        throw new RecordingError("unfinished", "the end is missing", place);
      }
      const kind = block === "unknown kind" ? null : block.kind;
      if (number === 1 && kind !== "head")
        throw new RecordingError("damaged", "the first block is not a head", place);
      ended = kind === "end";
      if (block !== "unknown kind") yield block;
    }
  } finally {
    await input.close();
  }
}

async function readFileHead(input: Input): Promise<void> {
  const head = await input.take(FILE_HEAD_BYTES);
  const fail = (reason: RecordingErrorReason, what: string) =>
    new RecordingError(reason, what, { block: 0, byte: 0 });
  if (MAGIC.some((byte, index) => index < head.length && head[index] !== byte))
    throw fail("foreign", "not a recording");
  if (head.length < FILE_HEAD_BYTES) throw fail("truncated", "the file ends inside its head");
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const version = view.getUint16(MAGIC.length, true);
  if (version !== VERSION)
    throw fail("newer", `version ${String(version)} of the format; 1 is what this reader knows`);
}

async function readBlock(
  input: Input,
  place: Place,
  codecs: Codecs,
): Promise<Block | "end of file" | "unknown kind"> {
  const fail = (reason: RecordingErrorReason, what: string) =>
    new RecordingError(reason, what, place);
  const head = await input.take(BLOCK_HEAD_BYTES);
  if (head.length === 0) return "end of file";
  if (head.length < BLOCK_HEAD_BYTES) throw fail("truncated", "the file ends inside it");
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const storedBytes = view.getUint32(4, true);
  const contentBytes = view.getUint32(8, true);
  if (Math.max(storedBytes, contentBytes) > CONTENT_BYTES_MAX)
    throw fail("damaged", "its length cannot be");
  const stored = await input.take(storedBytes);
  if (stored.length < storedBytes) throw fail("truncated", "the file ends inside it");
  const crc = codecs.crc32(stored, codecs.crc32(head.subarray(0, CRC_OFFSET), 0));
  if (crc !== view.getUint32(CRC_OFFSET, true)) throw fail("damaged", "its CRC is wrong");

  const kind = KINDS[view.getUint8(0)];
  if (!kind) return "unknown kind";
  let content: Content;
  try {
    content = parse(kind, unpack(view.getUint8(1), stored, contentBytes, codecs));
  } catch {
    // Not as its cause: what a parser says may quote the text.
    throw fail("damaged", `its content is no ${kind}`);
  }
  return { ...place, receivedAtUs: view.getBigInt64(12, true), ...content };
}

function unpack(codec: number, stored: Uint8Array, contentBytes: number, codecs: Codecs) {
  if (codec > ZSTD) throw new RangeError("stored in an unknown way");
  const content = codec === ZSTD ? codecs.decompress(stored, contentBytes) : stored;
  if (content.length !== contentBytes) throw new RangeError("of another length");
  return content;
}

function parse(kind: Content["kind"], content: Uint8Array): Content {
  if (kind === "end") return { kind };
  if (kind === "frames") return { kind, frames: wholeFrames(content) };
  const members = new Members(JSON.parse(utf8.decode(content)));
  if (kind === "head")
    return { kind, head: { options: members.strings("options"), members: members.all } };
  const facts = {
    types: members.list("types").map(readType),
    relations: members.list("relations").map(readRelation),
  };
  return { kind, relation: members.number("relation"), facts };
}

function wholeFrames(frames: Uint8Array): Uint8Array {
  const view = new DataView(frames.buffer, frames.byteOffset, frames.byteLength);
  let at = 0;
  while (at < frames.length) {
    const length = view.getUint32(at + 1);
    if (view.getUint8(at) !== COPY_DATA || length < FRAME_LENGTH_MIN)
      throw new RangeError("not a frame");
    at += 1 + length;
  }
  if (at > frames.length) throw new RangeError("a frame cut short");
  return frames;
}

function readType(members: Members): TypeFacts {
  return {
    oid: members.number("oid"),
    namespace: members.text("namespace"),
    name: members.text("name"),
    kind: members.oneOf("kind", TYPE_KINDS),
    element: members.number("element"),
    delimiter: members.text("delimiter"),
    base: members.number("base"),
    baseTypmod: members.number("base_typmod"),
    subtype: members.number("subtype"),
    labels: members.texts("labels"),
    attributes: members.list("attributes").map((attribute) => ({
      name: attribute.text("name"),
      type: attribute.number("type"),
      typmod: attribute.number("typmod"),
    })),
  };
}

function readRelation(members: Members): RelationFacts {
  return {
    oid: members.number("oid"),
    namespace: members.text("namespace"),
    name: members.text("name"),
    columns: members.list("columns").map((column) => ({
      name: column.text("name"),
      type: column.number("type"),
      typmod: column.number("typmod"),
      notNull: column.flag("not_null"),
      ...(column.all["default"] !== null && { default: column.text("default") }),
    })),
    primaryKey: members.texts("primary_key"),
    uniqueIndexes: members.list("unique_indexes").map((index) => ({
      name: index.text("name"),
      columns: index.texts("columns"),
      expression: index.flag("expression"),
    })),
  };
}

/** An object's members, each of the type it is to be. */
class Members {
  readonly all: Readonly<Record<string, unknown>>;

  constructor(value: unknown) {
    if (typeof value !== "object" || value === null) throw new TypeError("not an object");
    this.all = value as Record<string, unknown>;
  }

  number(name: string): number {
    const value = this.all[name];
    if (!Number.isInteger(value)) throw new TypeError(`${name} is not a number`);
    return value as number;
  }

  text(name: string): string {
    return asText(this.all[name]);
  }

  oneOf<Word extends string>(name: string, words: readonly Word[]): Word {
    const found = words.find((word) => word === this.all[name]);
    if (found === undefined) throw new TypeError(`${name} is not one of its words`);
    return found;
  }

  flag(name: string): boolean {
    const value = this.all[name];
    if (typeof value !== "boolean") throw new TypeError(`${name} is not a boolean`);
    return value;
  }

  list(name: string): Members[] {
    return asList(this.all[name]).map((item) => new Members(item));
  }

  texts(name: string): string[] {
    return asList(this.all[name]).map(asText);
  }

  /** An object whose members are strings. */
  strings(name: string): Record<string, string> {
    const { all } = new Members(this.all[name]);
    return Object.fromEntries(Object.entries(all).map(([key, value]) => [key, asText(value)]));
  }
}

function asText(value: unknown): string {
  if (typeof value !== "string") throw new TypeError("not a string");
  return value;
}

function asList(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new TypeError("not a list");
  return value;
}

/** Bytes that come in pieces, taken in others. */
class Input {
  /** How many were taken. */
  byte = 0;
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#chunks =
      Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  }

  /** The next bytes; fewer only where there are no more. Memory grows with what is there alone. */
  async take(bytes: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (let missing = bytes; missing > 0;) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done) break;
        this.#rest = next.value;
      }
      const part = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(part.length);
      missing -= part.length;
      parts.push(part);
    }
    const taken = concatenate(parts);
    this.byte += taken.length;
    return taken;
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}

const MAGIC = [0x50, 0x47, 0x52, 0x45, 0x43, 0x1a, 0x0d, 0x0a];
const FILE_HEAD_BYTES = 12;
const VERSION = 1;
const BLOCK_HEAD_BYTES = 24;
/** In a block's head; it is of all the bytes before it and of the content. */
const CRC_OFFSET = 20;
const CONTENT_BYTES_MAX = 1 << 30;
const ZSTD = 1;
const COPY_DATA = 0x64;
/** A frame's length with an empty message. It does not count its first byte. */
const FRAME_LENGTH_MIN = 29;
const KINDS: readonly (Content["kind"] | undefined)[] = [
  undefined,
  "head",
  "facts",
  "frames",
  "end",
];
const TYPE_KINDS: readonly TypeKind[] = [
  "base",
  "composite",
  "domain",
  "enumeration",
  "multirange",
  "pseudo",
  "range",
];
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
