import assert from "node:assert/strict";
import { test } from "node:test";
import zlib from "node:zlib";
import {
  type Block,
  RecordingError,
  portableCodecs,
  readBlocks,
} from "pgoutput-decoder-node/recording";
import { END, FACTS, FILE_HEAD, FRAMES, HEAD, block, frame, recording, sample } from "./writing.js";

const head = block(HEAD, { recorder: "test", options: { "topic.prefix": "app" }, later: 1 });
const end = block(END, Buffer.alloc(0));

async function read(...chunks: Uint8Array[]): Promise<[Block[], RecordingError | null]> {
  const blocks: Block[] = [];
  try {
    for await (const block of readBlocks(chunks)) blocks.push(block);
    return [blocks, null];
  } catch (error) {
    assert.ok(error instanceof RecordingError, String(error));
    return [blocks, error];
  }
}

async function problemOf(file: Uint8Array): Promise<unknown[]> {
  const [blocks, error] = await read(file);
  return [blocks.length, error?.reason, error?.block, error?.byte];
}

test("reads every kind of block", async () => {
  const type = {
    oid: 1,
    namespace: "n",
    name: "t",
    kind: "domain",
    element: 0,
    delimiter: ",",
    base: 2,
    base_typmod: -1,
    subtype: 0,
    labels: ["l"],
    attributes: [{ name: "a", type: 3, typmod: 4 }],
  };
  const column = { name: "c", type: 23, typmod: -1, not_null: true, default: null };
  const relation = {
    oid: 5,
    namespace: "n",
    name: "r",
    columns: [column, { ...column, default: "1" }],
    primary_key: ["c"],
    unique_indexes: [{ name: "i", columns: ["c"], expression: false }],
  };
  const facts = block(FACTS, { relation: 5, types: [type], relations: [relation] });
  const frames = Uint8Array.from(frame(1n, Buffer.from("message")));
  const unknown = block(9, Buffer.from("?"), 7);
  const file = Uint8Array.from(recording(head, facts, unknown, block(FRAMES, frames), end));

  const [blocks, error] = await read(file);
  assert.equal(error, null);
  const { base_typmod: baseTypmod, ...sameType } = type;
  const { not_null: notNull, default: none, ...sameColumn } = column;
  const { primary_key: primaryKey, unique_indexes: uniqueIndexes, ...sameRelation } = relation;
  const columns = [
    { ...sameColumn, notNull },
    { ...sameColumn, notNull, default: "1" },
  ];
  assert.deepEqual(
    blocks.map(({ byte, receivedAtUs, ...rest }) => {
      assert.equal(receivedAtUs, 1_700_000_000_000_000n);
      return rest;
    }),
    [
      {
        block: 1,
        kind: "head",
        head: {
          options: { "topic.prefix": "app" },
          members: { recorder: "test", options: { "topic.prefix": "app" }, later: 1 },
        },
      },
      {
        block: 2,
        kind: "facts",
        relation: 5,
        facts: {
          types: [{ ...sameType, baseTypmod }],
          relations: [{ ...sameRelation, columns, primaryKey, uniqueIndexes }],
        },
      },
      { block: 4, kind: "frames", frames },
      { block: 5, kind: "end" },
    ],
  );

  const bytes = Array.from(file, (byte) => Uint8Array.of(byte));
  assert.deepEqual(await read(...bytes, new Uint8Array()), [blocks, null]);
});

test("a file that is cut off is sound up to there", async () => {
  const file = sample("small.pgrec");
  const [blocks] = await read(file);
  for (let length = 0; length < file.length; length++) {
    const whole = blocks.filter((_, index) => (blocks[index + 1]?.byte ?? file.length) <= length);
    const last = blocks[whole.length]?.byte === length || length === 12;
    const byte = length < 12 ? 0 : (blocks[whole.length]?.byte ?? 0);
    const reason = last && length >= 12 ? "unfinished" : "truncated";
    const number = length < 12 ? 0 : whole.length + 1;
    assert.deepEqual(
      await problemOf(file.subarray(0, length)),
      [whole.length, reason, number, byte],
      `cut at ${String(length)}`,
    );
  }
});

test("no flipped byte goes unnoticed, but for those that mean nothing", async () => {
  const file = sample("small.pgrec");
  const [blocks] = await read(file);
  for (let at = 0; at < file.length; at++)
    for (const bits of [0xff, 0x01, 0x80]) {
      const damaged = file.slice();
      damaged[at] = (damaged[at] ?? 0) ^ bits;
      const [read_, error] = await read(damaged);
      if (at === 10 || at === 11) assert.equal(error, null);
      else assert.ok(error && error.byte <= at, `byte ${String(at)}`);
      assert.deepEqual(read_, blocks.slice(0, read_.length));
    }
});

test("tells what is no recording, of a later version, or cannot be", async () => {
  const later = Buffer.from(recording(head, end));
  later.writeUInt16LE(2, 8);
  const lengths = Buffer.from(head);
  lengths.writeUInt32LE(0xffff_ffff, 4);
  const frames = block(FRAMES, frame(1n, Buffer.from("message")));
  const cut = block(FRAMES, frame(1n, Buffer.from("message")).subarray(0, -1));
  const unknown = block(9, Buffer.from("?"));
  const zstd = block(FRAMES, Buffer.from("no zstd"), 1);
  const at = (...before: Buffer[]) => recording(...before).length;
  for (const [file, ...problem] of [
    [Buffer.from("SQLite format 3\0"), 0, "foreign", 0, 0],
    [Buffer.from("PGREC\x1a\n"), 0, "foreign", 0, 0],
    [later, 0, "newer", 0, 0],
    [FILE_HEAD, 0, "unfinished", 1, 12],
    [recording(frames, end), 0, "damaged", 1, 12],
    [recording(head, frames), 2, "unfinished", 3, at(head, frames)],
    [recording(head, end, frames), 3, "unfinished", 4, at(head, end, frames)],
    [recording(unknown, head, end), 0, "damaged", 1, 12],
    [recording(head, end, unknown), 2, "unfinished", 4, at(head, end, unknown)],
    [recording(head, cut, end), 1, "damaged", 2, at(head)],
    [recording(lengths, end), 0, "damaged", 1, 12],
    [recording(head, zstd, end), 1, "damaged", 2, at(head)],
    [recording(head, block(FRAMES, Buffer.from("?"), 2)), 1, "damaged", 2, at(head)],
    [recording(head, block(FACTS, { relation: "1" })), 1, "damaged", 2, at(head)],
    [recording(block(HEAD, { options: { a: 1 } })), 0, "damaged", 1, 12],
    [recording(block(HEAD, Buffer.from('{"options":'))), 0, "damaged", 1, 12],
  ] as const)
    assert.deepEqual(await problemOf(file), problem);
});

test("what is portable equals zlib", () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, index) => (index * index) >> 3);
  for (const length of [0, 1, 7, 8, 9, 63, 1000]) {
    const some = bytes.subarray(1, length);
    const seed = portableCodecs.crc32(bytes, 0);
    assert.equal(portableCodecs.crc32(some, seed), zlib.crc32(some, zlib.crc32(bytes)));
  }
});
