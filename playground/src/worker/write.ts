/** Writes a recording of frames alone: docs/recordings.md. */
import { crc32 } from "../../../hosts/node/src/crc32.ts";

const FILE_HEAD = Uint8Array.of(0x50, 0x47, 0x52, 0x45, 0x43, 0x1a, 0x0d, 0x0a, 1, 0, 0, 0);
const KIND = { head: 1, frames: 3, end: 4 };
const BLOCK_BYTES = 65536;

export function writeRecording(frames: readonly Uint8Array[], members: object): Uint8Array {
  const parts = [FILE_HEAD, ...block(KIND.head, new TextEncoder().encode(JSON.stringify(members)))];
  let pending: Uint8Array[] = [];
  let bytes = 0;
  const flush = () => {
    if (bytes > 0) parts.push(...block(KIND.frames, concatenate(pending)));
    pending = [];
    bytes = 0;
  };
  for (const frame of frames) {
    if (bytes + frame.length > BLOCK_BYTES) flush();
    pending.push(frame);
    bytes += frame.length;
  }
  flush();
  return concatenate([...parts, ...block(KIND.end, new Uint8Array())]);
}

function block(kind: number, content: Uint8Array): Uint8Array[] {
  const head = new Uint8Array(24);
  const view = new DataView(head.buffer);
  view.setUint8(0, kind);
  view.setUint32(4, content.length, true);
  view.setUint32(8, content.length, true);
  view.setUint32(20, crc32(content, crc32(head.subarray(0, 20), 0)), true);
  return [head, content];
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
