import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Decoded,
  type Decoder,
  EngineError,
  type Facts,
  NotStashedError,
  OptionError,
  RestoreError,
  StashFullError,
  lsnText,
  openDecoder,
} from "pgoutput-decoder-node";
import { type Block, readBlocks } from "pgoutput-decoder-node/recording";
import { Decoder as SessionDecoder } from "pgoutput-decoder-node/session";
import { frame, sample } from "./writing.js";

async function open(name: string, settings?: { stashBytesMax: number }) {
  const blocks: Block[] = [];
  for await (const block of readBlocks([sample(name)])) blocks.push(block);
  const options = blocks.flatMap((block) => (block.kind === "head" ? [block.head.options] : []));
  const facts = blocks.flatMap((block) => (block.kind === "facts" ? [block.facts] : []));
  const frames = blocks.flatMap((block) => (block.kind === "frames" ? [block.frames] : []));
  const decoder = await openDecoder(options[0], settings);
  return { decoder, facts, frames: new Uint8Array(Buffer.concat(frames)), options: options[0] };
}

/** Keys of all events. */
function decodeAll(decoder: Decoder, frames: Uint8Array, facts: readonly Facts[]): string[] {
  const keys = [];
  const answers = facts.values();
  for (let rest = frames; rest.length > 0;) {
    const { records, consumed, stop }: Decoded = decoder.decode(rest, 5n);
    for (const record of records) if (record.kind === "event") keys.push(record.text("key") ?? "");
    rest = rest.subarray(consumed);
    if (stop?.kind === "unknown") {
      const answer = answers.next().value;
      assert.ok(answer);
      assert.ok(answer.relations.some(({ oid }) => oid === stop.question.relation));
      decoder.learn(answer);
    } else assert.equal(stop, null);
  }
  return keys;
}

test("decodes frames of one's own, asks, and goes on in a successor", async () => {
  const { decoder, frames, facts, options } = await open("small.pgrec");
  const keys = decodeAll(decoder, frames, facts);
  assert.deepEqual(
    keys,
    [1, 2, 1, 2, 1, 1].map((id) => `{"id":${String(id)}}`),
  );
  const successor = await openDecoder(options);
  successor.restore(decoder.save());
  assert.deepEqual(decodeAll(successor, frames, facts), keys);
});

test("tells what is wrong with options and with what was saved", async () => {
  await assert.rejects(openDecoder({ "decimal.handling.mode": "no" }), (error) => {
    assert.ok(error instanceof OptionError);
    assert.equal(error.option, "decimal.handling.mode");
    return true;
  });
  const decoder = await openDecoder({ "topic.prefix": "app", "max.batch.size": "7" });
  assert.deepEqual(decoder.ignoredOptions, ["max.batch.size"]);
  assert.throws(() => {
    decoder.restore(Uint8Array.of(1, 2, 3));
  }, RestoreError);
  assert.deepEqual(decoder.decode(new Uint8Array(), 0n).records, []);
});

test("says again that a frame cannot be decoded, until it is skipped", async () => {
  const decoder = await openDecoder({ "topic.prefix": "app" });
  const bad = frame(0x16_b374_8000n, Buffer.from("?"));
  const frames = Buffer.concat([bad, bad]);
  for (let time = 0; time < 3; time++) {
    const { stop, consumed } = decoder.decode(frames, 0n);
    assert.ok(stop?.kind === "failed" && consumed === 0);
    assert.match(stop.error.message, /at LSN 16\/B3748000, message '\?'/);
  }
  assert.equal(decoder.skip(), bad.length);
  assert.equal(decoder.skip(), 0);
  const garbage = decoder.decode(Buffer.from("garbage"), 0n);
  assert.ok(garbage.stop?.kind === "failed" && garbage.stop.error.kind === "frame");
  assert.equal(decoder.skip(), 7);
});

test("a stash has a bound", async () => {
  const { decoder, frames, facts } = await open("streamed.pgrec", { stashBytesMax: 1000 });
  assert.throws(() => decodeAll(decoder, Buffer.concat([frames, frames]), facts), StashFullError);
  assert.throws(() => decoder.save(), StashFullError, "it stays so");
});

test("a transaction of which nothing came cannot be committed", async () => {
  const decoder = await openDecoder({ "topic.prefix": "app" });
  const commit = Buffer.alloc(30);
  commit.write("c");
  commit.writeUInt32BE(7, 1);
  const frames = frame(8n, commit);
  assert.deepEqual(decoder.decode(frames, 0n), { records: [], consumed: 0, stop: null });
  assert.throws(() => decoder.decode(frames, 0n), NotStashedError);
});

test("a decoder that breaks is of no further use", () => {
  const guest = {
    decode: () => ({ records: Uint8Array.of(1), consumed: 1 }),
    skip: () => {
      throw new WebAssembly.RuntimeError("unreachable");
    },
  };
  const open = () => guest as unknown as ReturnType<typeof SessionDecoder.open>;
  const decoding = { Decoder: { open } } as unknown as Parameters<typeof SessionDecoder.open>[0];
  const frames = Uint8Array.of(1);
  const closed = {
    Decoder: {
      open: () => {
        throw new WebAssembly.RuntimeError("unreachable");
      },
    },
  };
  assert.throws(() => SessionDecoder.open(closed), EngineError);
  const trapped = SessionDecoder.open(decoding);
  assert.throws(() => trapped.skip(), EngineError);
  assert.throws(() => trapped.decode(frames, 0n), /unreachable/);
  assert.throws(() => SessionDecoder.open(decoding).decode(frames, 0n), EngineError);
});

test("LSNs are written as PostgreSQL writes them", () => {
  assert.deepEqual([0n, 0x16_b374_8000n, 2n ** 64n - 1n].map(lsnText), [
    "0/0",
    "16/B3748000",
    "FFFFFFFF/FFFFFFFF",
  ]);
});
