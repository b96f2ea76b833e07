/** What is where in a recording: of each block a few numbers, of each message none. */
import {
  readBlocks,
  RecordingError,
  type Head,
  type RecordingErrorReason,
} from "../../../hosts/node/src/recording.ts";
import type { Problem, Row } from "../protocol.ts";
import type { Facts } from "./component.ts";
import { frameBytes } from "./frames.ts";
import { Inspection, type Message } from "./inspect.ts";
import { Relations } from "./relations.ts";
import { codecs, type Source } from "./source.ts";
import { Transactions } from "./transactions.ts";

/** A block of frames. */
export interface FramesBlock {
  timeUs: bigint;
  /** Number of its first message, and how many there are. */
  first: number;
  count: number;
  bytes: number;
  segment: number;
  /** How many announcements came before it. */
  announced: number;
  /** The Stream Start of the chunk that is open at its beginning. */
  chunk: Uint8Array | null;
  /** The transaction that is open at its beginning, and its Begin. */
  xid: number | null;
  begin: Uint8Array | null;
}

/** From a head to the next. */
export interface Segment {
  head: Head;
  /** Of the file, from 1; and the next message's number. */
  fileBlock: number;
  message: number;
  /** Index of its first block of frames. */
  block: number;
}

interface KeptFacts {
  facts: Facts;
  json: string;
  /** Index of the block of frames behind it. */
  block: number;
}

/** A Relation or Type message, as an inspector has to see it again: with its chunk around it. */
interface Announcement {
  message: number;
  /** `R16384`, `Y16385`. */
  of: string;
  frames: Uint8Array[];
}

/** How the list's rows are kept: those of the latest blocks looked at. */
const LOOKED_AT_MAX = 48;
const STREAM_STOP = (() => {
  const frame = new Uint8Array(31);
  frame.set([0x64, 0, 0, 0, 30, 0x77]);
  frame[30] = 0x45;
  return frame;
})();

export class Index {
  readonly blocks: FramesBlock[] = [];
  readonly segments: Segment[] = [];
  readonly transactions = new Transactions();
  readonly relations = new Relations();
  messages = 0;
  /** Blocks below this are no longer kept, and messages below that. */
  droppedBlocks = 0;
  read = 0;
  ended = false;
  done = false;
  problem: Problem | null = null;
  problemReason: RecordingErrorReason | null = null;
  readonly #source: Source;
  readonly #facts: Map<number, KeptFacts[]>[] = [];
  readonly #announcements: Announcement[] = [];
  readonly #announced = new Map<string, Uint8Array>();
  #inspection = new Inspection();
  /** The one that looks at Relation messages again, for what they are made of. */
  #announcing = new Inspection();
  #chunk: Uint8Array | null = null;
  #begin: Uint8Array | null = null;
  /** The inspection blocks are looked at with again, and what it has seen. */
  #again: { inspection: Inspection; announced: number } | null = null;
  readonly #lookedAt = new Map<number, Message[]>();

  constructor(source: Source) {
    this.#source = source;
  }

  get dropped(): number {
    return this.blocks[this.droppedBlocks]?.first ?? (this.droppedBlocks ? this.messages : 0);
  }

  /** Reads on, one block of the file a step. */
  async *run(): AsyncGenerator<void, void, undefined> {
    const counted = this.#counted(this.#source.chunks());
    try {
      for await (const block of readBlocks(counted, codecs)) {
        this.ended = block.kind === "end";
        if (block.kind === "head") this.#addHead(block.head, block.block);
        else if (block.kind === "facts") this.#addFacts(block.relation, block.facts);
        else if (block.kind === "frames") {
          this.#source.keep(this.blocks.length, block.frames, block.byte);
          this.#addFrames(block.frames, block.receivedAtUs);
        }
        yield;
      }
    } catch (error) {
      if (!(error instanceof RecordingError)) throw error;
      this.problemReason = error.reason;
      this.problem = { text: error.message, block: error.block, byte: error.byte };
    } finally {
      this.done = true;
    }
  }

  /** Index of the block with a message. */
  blockOf(message: number): number {
    let low = 0;
    let high = this.blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.blocks[middle] as FramesBlock).first <= message) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  content(block: number): Promise<Uint8Array> {
    return this.#source.content(block);
  }

  timeUs(block: number): bigint {
    return this.blocks[block]?.timeUs ?? 0n;
  }

  facts(segment: number, relation: number, before: number): readonly Facts[] {
    return this.#kept(segment, relation)
      .filter((kept) => kept.block <= before)
      .map(({ facts }) => facts);
  }

  factsJson(segment: number, relation: number, which: number): string | null {
    return this.#kept(segment, relation)[which]?.json ?? null;
  }

  /** What the messages of a block are. */
  async look(block: number): Promise<Message[]> {
    const known = this.#lookedAt.get(block);
    if (known) return known;
    const content = await this.content(block);
    const messages = this.#inspectionAt(block).messages(content);
    if (this.#again) this.#again.announced = this.#announcedAfter(block);
    this.#remember(block, messages);
    return messages;
  }

  /** An inspection that has seen what comes before a message of a block. */
  async before(block: number, offset: number): Promise<Inspection> {
    const content = await this.content(block);
    const inspection = this.#inspectionAt(block);
    inspection.messages(content.subarray(0, offset));
    this.#again = null;
    return inspection;
  }

  async rows(from: number, to: number): Promise<Row[]> {
    const rows: Row[] = [];
    for (let block = this.blockOf(from); block < this.blocks.length; block++) {
      const { first, count, xid } = this.blocks[block] as FramesBlock;
      if (first >= to) break;
      const messages = await this.look(block);
      let open = xid;
      for (let at = 0; at < count && first + at < to; at++) {
        const message = messages[at] as Message;
        open = openAfter(open, message);
        if (first + at < from) continue;
        rows.push(row(message, first + at, message.xid ?? open));
        if (message.type === "Commit" || message.type === "Prepare") open = null;
      }
    }
    return rows;
  }

  /**
   * What a decoder that begins at a block has to be passed first: the relations, as messages of no
   * chunk, and the beginning of the transaction that is open.
   */
  prelude(block: number): Uint8Array[] {
    const { announced, begin } = this.blocks[block] as FramesBlock;
    const latest = new Map<string, Uint8Array>();
    for (const { of, frames } of this.#announcements.slice(0, announced)) {
      const [first, inside] = frames;
      if (of.startsWith("R") && first) latest.set(of, inside ? withoutXid(inside) : first);
    }
    return begin ? [...latest.values(), begin] : [...latest.values()];
  }

  drop(below: number): void {
    this.droppedBlocks = Math.max(this.droppedBlocks, below);
    this.#source.drop(below);
  }

  async *#counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      this.read += chunk.length;
      yield chunk;
    }
  }

  #addHead(head: Head, fileBlock: number): void {
    this.segments.push({ head, fileBlock, message: this.messages, block: this.blocks.length });
    this.#facts.push(new Map());
    this.transactions.reconnected();
    this.#inspection = new Inspection();
    this.#announcing = new Inspection();
    this.#chunk = null;
  }

  #addFacts(relation: number, facts: Facts): void {
    const kept = this.#kept(this.segments.length - 1, relation);
    const json = JSON.stringify({ relation, ...facts });
    kept.push({ facts, json, block: this.blocks.length });
    this.#facts.at(-1)?.set(relation, kept);
  }

  #addFrames(content: Uint8Array, timeUs: bigint): void {
    const messages = this.#inspection.messages(content);
    const block = {
      timeUs,
      first: this.messages,
      count: messages.length,
      bytes: content.length,
      segment: this.segments.length - 1,
      announced: this.#announcements.length,
      chunk: this.#chunk,
      xid: this.transactions.openXid,
      begin: this.transactions.openXid === null ? null : this.#begin,
    };
    messages.forEach((message, at) => {
      this.#add(message, block.first + at, content);
    });
    this.messages += messages.length;
    this.blocks.push(block);
    this.#remember(this.blocks.length - 1, messages);
  }

  #add(message: Message, number: number, content: Uint8Array): void {
    this.transactions.add(message, number);
    const { offset, bytes, type, relation } = message;
    const frame = () => content.slice(offset, offset + bytes);
    if (type === "Begin" || type === "Begin Prepare") this.#begin = frame();
    else if (type === "Stream Start") this.#chunk = frame();
    else if (type === "Stream Stop") this.#chunk = null;
    else if (type === "Relation" && relation !== null) {
      this.#announcing.messages(this.#chunk ?? STREAM_STOP);
      const said = this.#announcing.relation(frame());
      if (said) this.relations.add(said, number);
      this.#announce(`R${String(relation)}`, frame(), number);
    } else if (type === "Type") {
      this.#announcing.messages(this.#chunk ?? STREAM_STOP);
      this.#announcing.messages(frame());
      this.#announce(`Y${message.subject}`, frame(), number);
    }
  }

  #announce(of: string, frame: Uint8Array, message: number): void {
    const said = frame.subarray(30);
    const known = this.#announced.get(of);
    if (known && same(known, said)) return;
    this.#announced.set(of, said);
    const frames = this.#chunk ? [this.#chunk, frame, STREAM_STOP] : [frame];
    this.#announcements.push({ message, of, frames });
  }

  #kept(segment: number, relation: number): KeptFacts[] {
    return this.#facts[segment]?.get(relation) ?? [];
  }

  #announcedAfter(block: number): number {
    return this.blocks[block + 1]?.announced ?? this.#announcements.length;
  }

  #inspectionAt(block: number): Inspection {
    const { announced, chunk } = this.blocks[block] as FramesBlock;
    if (this.#again?.announced !== announced) {
      const latest = new Map<string, Uint8Array[]>();
      for (const { of, frames } of this.#announcements.slice(0, announced)) {
        latest.delete(of);
        latest.set(of, frames);
      }
      const inspection = new Inspection();
      for (const frames of latest.values()) for (const frame of frames) inspection.messages(frame);
      this.#again = { inspection, announced };
    }
    this.#again.inspection.messages(chunk ?? STREAM_STOP);
    return this.#again.inspection;
  }

  #remember(block: number, messages: Message[]): void {
    this.#lookedAt.set(block, messages);
    for (const oldest of this.#lookedAt.keys()) {
      if (this.#lookedAt.size <= LOOKED_AT_MAX) break;
      this.#lookedAt.delete(oldest);
    }
  }
}

/** The transaction that is open once a message has come. */
function openAfter(open: number | null, { type, xid }: Message): number | null {
  if (type === "Begin" || type === "Begin Prepare" || type === "Stream Start") return xid;
  if (type === "Stream Stop") return null;
  return open;
}

function row(message: Message, number: number, xid: number | null): Row {
  const { type, lsn, clockUs, subject, bytes, problem } = message;
  return { number, type, lsn, clockUs, xid, subject, bytes, problem };
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** A Relation message of a chunk as it is outside of one. */
function withoutXid(frame: Uint8Array): Uint8Array {
  const [type, rest] = [31, 35];
  const shorter = new Uint8Array(frame.length - (rest - type));
  shorter.set(frame.subarray(0, type));
  shorter.set(frame.subarray(rest), type);
  new DataView(shorter.buffer).setUint32(1, shorter.length - 1);
  return shorter;
}

/** Where message `number` of a block begins and ends, by walking its frames. */
export function walk(content: Uint8Array, number: number): { start: number; end: number } {
  let start = 0;
  for (let at = 0; at < number; at++) start += frameBytes(content, start);
  return { start, end: start + frameBytes(content, start) };
}
