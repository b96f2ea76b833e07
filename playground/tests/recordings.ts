/** Recordings made for tests: docs/recordings.md. */
import { crc32 } from "../../hosts/node/src/crc32.ts";

const EPOCH_US = 946_684_800_000_000n;
const START_US = 1_750_000_000_000_000n;
export const OID = 16384;

export class Bytes {
  #parts: Buffer[] = [];

  text(text: string): this {
    this.#parts.push(Buffer.from(`${text}\0`));
    return this;
  }

  raw(text: string | Buffer): this {
    this.#parts.push(Buffer.from(text as string));
    return this;
  }

  int(bytes: 1 | 2 | 4 | 8, value: number | bigint): this {
    const part = Buffer.alloc(bytes);
    if (bytes === 8) part.writeBigInt64BE(BigInt(value));
    else part.writeIntBE(Number(value), 0, bytes);
    this.#parts.push(part);
    return this;
  }

  get buffer(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

export function frame(message: Buffer, lsn = 0n, clockUs = START_US): Buffer {
  const head = new Bytes()
    .raw("d")
    .int(4, 29 + message.length)
    .raw("w");
  head
    .int(8, lsn)
    .int(8, lsn)
    .int(8, clockUs - EPOCH_US);
  return Buffer.concat([head.buffer, message]);
}

export const begin = (lsn: bigint, xid: number, clockUs = START_US) =>
  new Bytes()
    .raw("B")
    .int(8, lsn)
    .int(8, clockUs - EPOCH_US)
    .int(4, xid).buffer;

export const commit = (lsn: bigint, clockUs = START_US) =>
  new Bytes()
    .raw("C")
    .int(1, 0)
    .int(8, lsn)
    .int(8, lsn + 8n)
    .int(8, clockUs - EPOCH_US).buffer;

export function relation(columns: [name: string, type: number, key: boolean][]): Buffer {
  const message = new Bytes().raw("R").int(4, OID).text("public").text("items").raw("d");
  message.int(2, columns.length);
  for (const [name, type, key] of columns) {
    message
      .int(1, key ? 1 : 0)
      .text(name)
      .int(4, type)
      .int(4, -1);
  }
  return message.buffer;
}

export function insert(values: string[]): Buffer {
  const message = new Bytes().raw("I").int(4, OID).raw("N").int(2, values.length);
  for (const value of values) message.raw("t").int(4, Buffer.byteLength(value)).raw(value);
  return message.buffer;
}

export const COLUMNS: [string, number, boolean][] = [
  ["id", 23, true],
  ["name", 25, false],
];

function block(kind: number, content: Buffer, timeUs = START_US): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt8(kind, 0);
  head.writeUInt32LE(content.length, 4);
  head.writeUInt32LE(content.length, 8);
  head.writeBigInt64LE(timeUs, 12);
  head.writeUInt32LE(crc32(content, crc32(head.subarray(0, 20), 0)), 20);
  return Buffer.concat([head, content]);
}

const FILE_HEAD = Buffer.from([0x50, 0x47, 0x52, 0x45, 0x43, 0x1a, 0x0d, 0x0a, 1, 0, 0, 0]);

export function head(options: Record<string, string> = {}): Buffer {
  const members = { recorder: "test", decoder: "", options, redacted: false, server: "18.1" };
  return Buffer.concat([FILE_HEAD, block(1, Buffer.from(JSON.stringify(members)))]);
}

export function framesBlock(frames: Buffer[]): Buffer {
  return block(3, Buffer.concat(frames));
}

export const end = block(4, Buffer.alloc(0));

/** Transactions of inserts into one table, until the file has so many bytes. */
export function large(bytes: number, changes = 20): Buffer {
  const parts = [head()];
  let size = 0;
  let frames: Buffer[] = [];
  let pending = 0;
  let lsn = 0x1_0000_0000n;
  let id = 0;
  let clock = START_US;
  const push = (message: Buffer, at: bigint) => {
    const its = frame(message, at, clock);
    if (pending + its.length > 65536) {
      const whole = framesBlock(frames);
      parts.push(whole);
      size += whole.length;
      frames = [];
      pending = 0;
    }
    frames.push(its);
    pending += its.length;
  };
  for (let xid = 700; size < bytes; xid++) {
    clock += 1500n;
    const committed = lsn + 4096n;
    push(begin(committed, xid, clock), lsn);
    if (xid === 700) push(relation(COLUMNS), 0n);
    for (let at = 0; at < changes + (xid % 7) * 5; at++) {
      lsn += 128n;
      clock += 3n;
      id++;
      push(insert([String(id), `item ${String(id)} ${"x".repeat(id % 90)}`]), lsn);
    }
    push(commit(committed, clock), committed);
    lsn = committed + 8n;
  }
  parts.push(framesBlock(frames), end);
  return Buffer.concat(parts);
}
