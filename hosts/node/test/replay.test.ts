import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  type ChangeEvent,
  DecodeError,
  type Decoding,
  NotStashedError,
  OptionError,
  RecordingError,
  Replay,
  type ReplaySettings,
  comparePositions,
  instantiateDecoding,
  openRecording,
} from "pgoutput-decoder-node";
import { type Block, readBlocks } from "pgoutput-decoder-node/recording";
import { END, FACTS, FRAMES, HEAD, block, frame, recording, sample } from "./writing.js";

const path = (name: string) => new URL(`../../test/recordings/${name}`, import.meta.url);
const decoding: Decoding = await instantiateDecoding();

const show = (event: ChangeEvent) => [event.topic.name, event.text("key"), event.text("value")];

async function replay(
  file: Uint8Array,
  settings?: ReplaySettings,
): Promise<[ReturnType<typeof show>[], unknown]> {
  const events = [];
  try {
    for await (const event of new Replay([file], () => decoding, settings))
      events.push(show(event));
    return [events, null];
  } catch (error) {
    return [events, error];
  }
}

async function blocksOf(file: Uint8Array): Promise<Block[]> {
  const blocks = [];
  for await (const block of readBlocks([file])) blocks.push(block);
  return blocks;
}

test("a recording's events", async () => {
  const events = [];
  for await (const event of openRecording(path("small.pgrec")))
    events.push([event.topic.name, event.op, event.text("key"), event.text("after")]);
  assert.equal(events.length, 6);
  assert.deepEqual(events[1], [
    "app.public.v",
    "c",
    '{"id":2}',
    '{"id":2,"v":null,"h":null,"s":null}',
  ]);
});

test("the reader's own options come before those of the recording", async () => {
  const [events] = await replay(sample("small.pgrec"), { options: { "topic.prefix": "own" } });
  assert.equal(events[0]?.[0], "own.public.v");
  const [none, error] = await replay(sample("small.pgrec"), { options: { "no.such": "option" } });
  assert.ok(none.length === 0 && error instanceof OptionError && error.option === "no.such");
});

test("what is sound of a damaged file is decoded", async () => {
  const file = sample("small.pgrec");
  const [whole] = await replay(file);
  for (let at = 0; at < file.length; at++) {
    const damaged = file.slice();
    damaged[at] = ~(damaged[at] ?? 0);
    for (const bytes of [damaged, file.subarray(0, at)]) {
      const [events, error] = await replay(bytes);
      if (bytes === damaged && (at === 10 || at === 11)) continue;
      assert.ok(error instanceof RecordingError, `byte ${String(at)}: ${String(error)}`);
      assert.deepEqual(events, whole.slice(0, events.length), `byte ${String(at)}`);
    }
  }
  const [events] = await replay(file.subarray(0, -1));
  assert.deepEqual(events, whole);
});

test("streamed transactions are stashed and replayed, however they are divided", async () => {
  const file = sample("streamed.pgrec");
  const kinds = new Map<string, number>();
  for await (const records of new Replay([file], () => decoding).batches())
    for (const { kind } of records) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  assert.deepEqual(Object.fromEntries(kinds), {
    stash: 8,
    discard: 2,
    begin: 1,
    event: 387,
    commit: 1,
  });

  // A frame a block.
  const blocks = [];
  for (const content of await blocksOf(file)) {
    if (content.kind === "head") blocks.push(block(HEAD, content.head.members));
    if (content.kind === "facts") blocks.push(factsBlock(content));
    if (content.kind === "frames")
      for (const one of split(content.frames)) blocks.push(block(FRAMES, one));
  }
  blocks.push(block(END, Buffer.alloc(0)));
  const now = (events: ReturnType<typeof show>[]) =>
    events.map((event) => event.map((text) => text?.replace(/"ts_[mun]s":\d+/g, "")));
  const [events, error] = await replay(recording(...blocks));
  assert.equal(error, null);
  assert.deepEqual(now(events), now((await replay(file))[0]));
});

test("a stream that was connected again gives no event twice", async () => {
  const file = sample("small.pgrec");
  const [events] = await replay(file);
  assert.deepEqual(await replay(Buffer.concat([file, file.subarray(12)])), [events, null]);

  // A transaction that was stashed is forgotten, and its commit is an error then.
  const streamed = sample("streamed.pgrec");
  const blocks = await blocksOf(streamed);
  const [head] = blocks;
  assert.ok(head?.kind === "head");
  const frames = blocks.flatMap((block) => (block.kind === "frames" ? split(block.frames) : []));
  const [commit] = frames.filter((frame) => frame[30] === "c".charCodeAt(0));
  assert.ok(commit);
  const again = [block(HEAD, head.head.members), block(FRAMES, commit)];
  const [all, error] = await replay(Buffer.concat([streamed, ...again]));
  assert.equal(all.length, 387);
  assert.ok(error instanceof NotStashedError, String(error));
});

test("a frame that cannot be decoded ends it, or is passed over", async () => {
  const file = sample("small.pgrec");
  const { length } = block(END, Buffer.alloc(0));
  const bad = Buffer.concat([frame(7n, Buffer.from("?")), frame(8n, Buffer.from("?"))]);
  const blocks = await blocksOf(file);
  const rest = blocks.flatMap((block) => (block.kind === "frames" ? split(block.frames) : []));
  const parts = [file.subarray(0, -length), block(FRAMES, Buffer.concat([bad, ...rest]))];
  const damaged = Buffer.concat([...parts, block(END, Buffer.alloc(0))]);

  const [whole] = await replay(file);
  const [events, error] = await replay(damaged);
  assert.ok(error instanceof DecodeError);
  assert.deepEqual([error.kind, error.lsn, error.messageType], ["unsupported", 7n, 63]);
  assert.match(error.message, /^unsupported message at LSN 0\/7, message '\?', byte 0: /);
  assert.deepEqual(events, whole);

  const places: unknown[] = [];
  const onUndecodable = (error: DecodeError, { block }: { block: number }) =>
    places.push([error.lsn, block]);
  const [all, none] = await replay(damaged, { onUndecodable });
  assert.deepEqual([none, all.length], [null, 2 * whole.length]);
  assert.deepEqual(places, [
    [7n, blocks.length],
    [8n, blocks.length],
  ]);
});

test("a frame of a streamed transaction that cannot be decoded is passed over, too", async () => {
  const file = sample("streamed.pgrec");
  const [first, ...others] = await blocksOf(file);
  assert.ok(first?.kind === "head");
  let changed = 0;
  const blocks = others.map((content) => {
    if (content.kind === "facts") return factsBlock(content);
    if (content.kind === "end") return block(END, Buffer.alloc(0));
    assert.ok(content.kind === "frames");
    const frames = split(content.frames);
    // Its xid, its relation, and what comes next: `N`, a new tuple.
    const insert = frames.filter((frame) => frame[30] === "I".charCodeAt(0)).at(5);
    if (insert && changed++ === 0) insert[39] = "?".charCodeAt(0);
    return block(FRAMES, Buffer.concat(frames));
  });
  const errors: DecodeError[] = [];
  const [events, error] = await replay(recording(block(HEAD, first.head.members), ...blocks), {
    onUndecodable: (error) => errors.push(error),
  });
  assert.equal(error, null);
  assert.deepEqual(
    errors.map(({ kind, messageType }) => [kind, messageType]),
    [["unsupported", "I".charCodeAt(0)]],
  );
  const [whole] = await replay(file);
  assert.equal(events.length, whole.length - 1);
});

test("reading ends where the reader does", async () => {
  let closed = false;
  const chunks = {
    *[Symbol.iterator]() {
      try {
        yield sample("small.pgrec");
      } finally {
        closed = true;
      }
    },
  };
  for await (const event of new Replay(chunks, () => decoding)) {
    assert.equal(event.op, "c");
    break;
  }
  assert.ok(closed);
});

test("events that are asked for at once come in order", async () => {
  const events = new Replay([sample("small.pgrec")], () => decoding)[Symbol.asyncIterator]();
  const results = await Promise.all(Array.from({ length: 8 }, () => events.next()));
  const [whole] = await replay(sample("small.pgrec"));
  const got = results.flatMap((result) => (result.done ? [] : [show(result.value)]));
  assert.deepEqual(got, whole);
  assert.deepEqual(await events.next(), { done: true, value: undefined });
});

test("positions are ordered", () => {
  const positions = [
    [9n, 0, 0],
    [10n, 2, 0],
    [10n, 10, 0],
    [10n, 10, 1],
    [2n ** 64n - 1n, 0, 0],
  ].map(([commitLsn, index, sub]) => ({
    commitLsn: BigInt(commitLsn ?? 0),
    index: Number(index),
    sub: Number(sub),
  }));
  assert.deepEqual(positions.toReversed().sort(comparePositions), positions);
});

const folder = process.env["PGOUTPUT_DECODER_RECORDINGS"];

test(
  "every recording of a folder gives the lines that are expected",
  {
    skip: folder === undefined && "PGOUTPUT_DECODER_RECORDINGS names no folder",
  },
  async () => {
    assert.ok(folder !== undefined);
    type Expected = Record<string, { events: number; sha256: string; code: number }>;
    const expected = JSON.parse(await readFile(join(folder, "expected.json"), "utf8")) as Expected;
    const names = (await readdir(folder)).filter((name) => name.endsWith(".pgrec")).sort();
    const files = names.map((name) => join(folder, name));
    const main = fileURLToPath(new URL("../main.js", import.meta.url));
    const command = promisify(execFile)(process.execPath, [main, "--digest", ...files]);
    const { stdout } = await command.catch((error: unknown) => error as { stdout: string });
    const digests = stdout.split("\n").filter(Boolean);
    assert.equal(digests.length, names.length);
    for (const line of digests) {
      const { file, error, ...digest } = JSON.parse(line) as Record<string, unknown>;
      const name = basename(String(file), ".pgrec");
      const code = error === undefined ? 0 : 1;
      assert.deepEqual({ ...digest, code }, expected[name], `${name}: ${String(error)}`);
    }
  },
);

function factsBlock(content: Block & { kind: "facts" }): Buffer {
  const { relation, facts } = content;
  const types = facts.types.map(({ baseTypmod, ...type }) => ({
    ...type,
    base_typmod: baseTypmod,
  }));
  const relations = facts.relations.map(({ columns, primaryKey, uniqueIndexes, ...rest }) => ({
    ...rest,
    columns: columns.map(({ notNull, ...column }) => ({
      default: null,
      ...column,
      not_null: notNull,
    })),
    primary_key: primaryKey,
    unique_indexes: uniqueIndexes,
  }));
  return block(FACTS, { relation, types, relations });
}

function split(frames: Uint8Array): Uint8Array[] {
  const split = [];
  for (let rest = Buffer.from(frames); rest.length > 0;) {
    const bytes = rest.readUInt32BE(1) + 1;
    split.push(rest.subarray(0, bytes));
    rest = rest.subarray(bytes);
  }
  return split;
}
