/** Messages pasted as text: in hexadecimal, as psql shows them, or as lines of JSON. */
import type { Pasted } from "../protocol.ts";
import { parseLsn } from "../text.ts";
import { frameBytes } from "./frames.ts";
import { Inspection } from "./inspect.ts";
import { writeRecording } from "./write.ts";

const COPY_DATA = 0x64;
const XLOG_DATA = 0x77;
const FRAME_HEAD_BYTES = 30;
const POSTGRES_EPOCH_US = 946_684_800_000_000n;
/** A row of `SELECT * FROM pg_logical_slot_peek_binary_changes(…)`. */
const PSQL_ROW = /^\s*([0-9A-F]+\/[0-9A-F]+)\s*\|\s*\d+\s*\|\s*\\x([0-9a-f]*)\s*$/i;
const PSQL_REST = /^\s*(lsn\s*\|.*|[-+\s]+|\(\d+ rows?\)\s*)$/i;

/** A pasted text that is wrong from `start` to `end`. */
class Wrong extends Error {
  readonly start: number;
  readonly end: number;

  constructor(text: string, start: number, end = start + 1) {
    super(text);
    this.start = start;
    this.end = end;
  }
}

interface Line {
  text: string;
  /** Where in the whole text. */
  at: number;
}

export function readPasted(text: string): Pasted {
  try {
    const frames = readFrames(text);
    if (frames.length === 0) throw new Wrong("There is nothing to decode.", 0, text.length);
    const file = writeRecording(frames, { options: {} });
    return { kind: "recording", file, messages: frames.length };
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    return { kind: "wrong", text: error.message, start: error.start, end: error.end };
  }
}

function readFrames(text: string): Uint8Array[] {
  const lines = splitLines(text);
  const filled = lines.filter((line) => line.text.trim() !== "");
  const [first] = filled;
  if (!first) return [];
  if (first.text.trimStart().startsWith("{")) return filled.map(readJson);
  if (filled.some((line) => PSQL_ROW.test(line.text))) {
    return filled.filter((line) => !PSQL_REST.test(line.text)).map(readPsql);
  }
  const whole = readHex({ text, at: 0 });
  if (whole[0] === COPY_DATA) return splitFrames(whole, text);
  // One message over several lines is one if it can be understood; so are lines between empty ones.
  const [alone] = toFrames(whole);
  if (alone && filled.length > 1 && understood(alone)) return [alone];
  const pieces = filled.length < lines.length - 1 ? paragraphs(lines) : filled;
  return pieces.flatMap((piece) => toFrames(readHex(piece)));
}

function splitLines(text: string): Line[] {
  let at = 0;
  return text.split("\n").map((line) => {
    const start = at;
    at += line.length + 1;
    return { text: line.replace(/\r$/, ""), at: start };
  });
}

function paragraphs(lines: readonly Line[]): Line[] {
  const found: Line[] = [];
  let open = false;
  for (const line of lines) {
    const empty = line.text.trim() === "";
    const last = found.at(-1);
    if (!empty && open && last) {
      const gap = line.at - last.at - last.text.length;
      last.text += " ".repeat(gap) + line.text;
    } else if (!empty) found.push({ ...line });
    open = !empty;
  }
  return found;
}

/** Hexadecimal digits in pairs; between pairs spaces, colons and commas, in front `\x` or `0x`. */
function readHex({ text, at }: Line): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1);
  let count = 0;
  let high = -1;
  let highAt = 0;
  for (let index = 0; index < text.length; index++) {
    const letter = text[index] as string;
    const prefix = (letter === "\\" || letter === "0") && /^x$/i.test(text[index + 1] ?? "");
    if (high < 0 && prefix) {
      index++;
      continue;
    }
    if (/[\s:,;'"]/.test(letter)) continue;
    const digit = Number.parseInt(letter, 16);
    if (Number.isNaN(digit)) {
      throw new Wrong(
        `“${letter}” is no hexadecimal digit (${place(text, index, at)}).`,
        at + index,
      );
    }
    if (high < 0) {
      high = digit;
      highAt = index;
    } else {
      bytes[count++] = high * 16 + digit;
      high = -1;
    }
  }
  if (high >= 0) {
    const where = place(text, highAt, at);
    throw new Wrong(`A digit is left over: bytes have two (${where}).`, at + highAt);
  }
  return bytes.subarray(0, count);
}

function place(text: string, index: number, at: number): string {
  const before = text.slice(0, index);
  const line = before.split("\n").length;
  const column = index - before.lastIndexOf("\n");
  return at === 0 && line > 1
    ? `line ${String(line)}, column ${String(column)}`
    : `character ${String(at + index + 1)}`;
}

/** CopyData messages, each as long as it says. */
function splitFrames(bytes: Uint8Array, text: string): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = frameBytes(bytes, at);
    if (bytes[at] !== COPY_DATA || length === 0) {
      const why = bytes[at] === COPY_DATA ? "ends early" : "does not begin with 64 (CopyData)";
      throw new Wrong(
        `Message ${String(frames.length + 1)}, at byte ${String(at)}, ${why}.`,
        ...digitsOf(text, at),
      );
    }
    // A keepalive and the like are of no message.
    if (bytes[at + 5] === XLOG_DATA) frames.push(bytes.subarray(at, at + length));
    at += length;
  }
  return frames;
}

/** Where in the text the digits of a byte stand, and where the text ends. */
function digitsOf(text: string, byte: number): [number, number] {
  let digits = 0;
  for (let at = 0; at < text.length; at++) {
    if (!/[0-9a-f]/i.test(text[at] as string)) continue;
    if (digits++ === byte * 2) return [at, text.length];
  }
  return [0, text.length];
}

/** One message with whatever header it has. */
function toFrames(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length === 0) return [];
  if (bytes[0] === COPY_DATA && frameBytes(bytes, 0) === bytes.length) return [bytes];
  // XLogData: a `w` and 24 bytes. No message begins with that letter.
  if (bytes[0] === XLOG_DATA) return [frame(bytes.subarray(25), bytes.subarray(1, 25))];
  return [frame(bytes, new Uint8Array(24))];
}

function frame(message: Uint8Array, head: Uint8Array): Uint8Array {
  const whole = new Uint8Array(FRAME_HEAD_BYTES + message.length);
  whole[0] = COPY_DATA;
  new DataView(whole.buffer).setUint32(1, whole.length - 1);
  whole[5] = XLOG_DATA;
  whole.set(head, 6);
  whole.set(message, FRAME_HEAD_BYTES);
  return whole;
}

function header(lsn: bigint, end: bigint, clockUs: bigint): Uint8Array {
  const head = new Uint8Array(24);
  const view = new DataView(head.buffer);
  view.setBigUint64(0, lsn);
  view.setBigUint64(8, end);
  view.setBigInt64(16, clockUs === 0n ? 0n : clockUs - POSTGRES_EPOCH_US);
  return head;
}

/** `{"lsn": "0/16B3748", "end_lsn": …, "server_ts_us": …, "hex": "49…"}` */
function readJson(line: Line): Uint8Array {
  let members: Record<string, unknown>;
  try {
    members = JSON.parse(line.text) as Record<string, unknown>;
  } catch {
    throw new Wrong("This line is no JSON.", line.at, line.at + line.text.length);
  }
  const { hex, lsn, end_lsn: end, server_ts_us: clock } = members;
  if (typeof hex !== "string") {
    throw new Wrong("This line has no member “hex”.", line.at, line.at + line.text.length);
  }
  const number = (text: unknown) => (typeof text === "string" ? parseLsn(text) : 0n);
  const at = line.at + line.text.indexOf(hex);
  const clockUs = typeof clock === "number" ? BigInt(Math.trunc(clock)) : 0n;
  return frame(readHex({ text: hex, at }), header(number(lsn), number(end), clockUs));
}

function readPsql(line: Line): Uint8Array {
  const [, lsn = "0/0", hex = ""] = PSQL_ROW.exec(line.text) ?? [];
  if (hex === "") {
    throw new Wrong("This line is no row “lsn | xid | \\x…”.", line.at, line.at + line.text.length);
  }
  const at = line.at + line.text.lastIndexOf(hex);
  return frame(readHex({ text: hex, at }), header(parseLsn(lsn), parseLsn(lsn), 0n));
}

function understood(frame: Uint8Array): boolean {
  return new Inspection().messages(frame).every((message) => message.problem === null);
}
