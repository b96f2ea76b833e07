/**
 * Change events of PostgreSQL's replication stream, decoded by a WebAssembly component.
 *
 * ```ts
 * import { openRecording } from "pgoutput-decoder-node";
 *
 * for await (const event of openRecording("shop.pgrec"))
 *   console.log(event.topic.name, event.op, event.text("after"));
 * ```
 */

import { createReadStream } from "node:fs";
import * as zlib from "node:zlib";
import { instantiateDecoding } from "./component.js";
import { type Codecs, portableCodecs } from "./recording.js";
import { Replay, type ReplaySettings } from "./replay.js";
import { Decoder, type Options, type Settings } from "./session.js";

export { instantiateDecoding } from "./component.js";
export { lsnText } from "./lsn.js";
export {
  type Attribute,
  type Begin,
  ChangeEvent,
  type Column,
  type Commit,
  type Discard,
  type PackedRecord,
  type Part,
  type Position,
  type Prepared,
  RecordError,
  type Stash,
  type Topic,
} from "./records.js";
export { type Place, RecordingError, type RecordingErrorReason } from "./recording.js";
export { Replay, type ReplaySettings, comparePositions } from "./replay.js";
export {
  DecodeError,
  type DecodeErrorKind,
  type Decoded,
  Decoder,
  type Decoding,
  EngineError,
  type Facts,
  NotStashedError,
  OptionError,
  type Options,
  type Question,
  RestoreError,
  type RestoreErrorReason,
  type Settings,
  StashFullError,
  type Stop,
} from "./session.js";

/** The events of a recording. The file is read as they are taken, a block at a time. */
export function openRecording(path: string | URL, settings: ReplaySettings = {}): Replay {
  const file = {
    [Symbol.asyncIterator]: () => createReadStream(path, READ)[Symbol.asyncIterator](),
  };
  return new Replay(file, instantiateDecoding, { codecs, ...settings });
}

/**
 * A decoder for frames of your own.
 *
 * @throws {OptionError}
 */
export async function openDecoder(options: Options = {}, settings?: Settings): Promise<Decoder> {
  return Decoder.open(await instantiateDecoding(), options, settings);
}

const READ = { highWaterMark: 1024 * 1024 };

const codecs: Codecs = { ...portableCodecs, crc32: zlib.crc32 };
// Since 22.15.
if ("zstdDecompressSync" in zlib) {
  const expand = zlib.zstdDecompressSync as (bytes: Uint8Array, options: object) => Uint8Array;
  codecs.decompress = (stored, maxOutputLength) => expand(stored, { maxOutputLength });
}
