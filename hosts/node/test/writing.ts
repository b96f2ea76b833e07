/** Recordings and records as tests want them. */

import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";

export const HEAD = 1;
export const FACTS = 2;
export const FRAMES = 3;
export const END = 4;

export const FILE_HEAD = Buffer.from("PGREC\x1a\r\n\x01\0\0\0", "latin1");

/** One of those beside the tests. */
export function sample(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../../test/recordings/${name}`, import.meta.url)));
}

export function block(kind: number, content: Uint8Array | object, codec = 0): Buffer {
  const stored = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
  const head = Buffer.alloc(24);
  head.writeUInt8(kind, 0);
  head.writeUInt8(codec, 1);
  head.writeUInt32LE(stored.length, 4);
  head.writeUInt32LE(stored.length, 8);
  head.writeBigInt64LE(1_700_000_000_000_000n, 12);
  head.writeUInt32LE(crc32(stored, crc32(head.subarray(0, 20))), 20);
  return Buffer.concat([head, stored]);
}

export function recording(...blocks: Buffer[]): Buffer {
  return Buffer.concat([FILE_HEAD, ...blocks]);
}

/** A frame with XLogData. */
export function frame(lsn: bigint, message: Uint8Array): Buffer {
  const head = Buffer.alloc(30);
  head.write("d");
  head.writeUInt32BE(29 + message.length, 1);
  head.write("w", 5);
  head.writeBigUInt64BE(lsn, 6);
  return Buffer.concat([head, message]);
}

type Field = ["u8" | "u16" | "u32", number] | ["u64", bigint] | string;

/** Little-endian numbers by their size, and texts. */
export function packed(...fields: Field[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      if (typeof field === "string") return Buffer.from(field);
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(field[1])));
      return bytes.subarray(0, Number(field[0].slice(1)) / 8);
    }),
  );
}

export function record(kind: number, rest: Uint8Array): Buffer {
  return Buffer.concat([packed(["u32", rest.length + 5], ["u8", kind]), rest]);
}
