import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { type Topic, ChangeEvent, RecordError, readRecords } from "pgoutput-decoder-node/records";
import { packed, record } from "./writing.js";

const VALUE = '{"before":null,"after":{"id":1,"name":"é"},"source":{"db":"shop"}}';
const LSN = 0x16_b374_8000n;

const zero = packed(["u8", 0], ["u16", 0]);

function topic(id: number, name: string): Buffer {
  const texts = [name, "public", "orders", '{"constant":true}'];
  const lengths = texts.map((text) => packed(["u32", Buffer.byteLength(text)]));
  const fields = [zero, packed(["u32", id], ["u32", 16_384]), ...lengths, packed(["u32", 2])];
  const column = packed(["u32", 20], ["u32", -1], ["u8", 0], ["u8", 1], ["u16", 2], "id");
  const object = packed(["u32", 99], ["u32", 44], ["u8", 21], ["u8", 2], ["u16", 4], "name");
  const attributes = packed(["u16", 1], ["u8", 1], ["u8", 0], ["u16", 1], "n");
  return record(
    1,
    Buffer.concat([...fields, Buffer.from(texts.join("")), column, object, attributes]),
  );
}

function event(fields: { op?: string; key?: string; value?: string; headers?: string }): Buffer {
  const { op = "\0", key = "", value = "", headers = "" } = fields;
  const part = (text: string) => {
    const offset = Buffer.from(value).indexOf(text);
    return offset < 0
      ? packed(["u32", 0], ["u32", 0])
      : packed(["u32", offset], ["u32", Buffer.byteLength(text)]);
  };
  return record(
    4,
    Buffer.concat([
      packed(op, ["u8", headers ? 1 : 0], ["u8", 0], ["u64", LSN], ["u32", 4], ["u32", 1]),
      packed(["u64", 2n ** 64n - 1n], ["u64", -5n], ["u32", value ? 742 : 0], ["u32", 7]),
      ...[key, value, headers].map((text) => packed(["u32", Buffer.byteLength(text)])),
      packed(["u32", value ? 2 : 0]),
      part("null"),
      part('{"id":1,"name":"é"}'),
      part('{"db":"shop"}'),
      Buffer.from(key + value + headers),
      value ? packed(["u32", 3], ["u32", 9]) : Buffer.alloc(0),
    ]),
  );
}

const UPDATE = event({ op: "u", key: '{"id":1}', value: VALUE });

test("reads every field of an event", () => {
  const topics = new Map<number, Topic>();
  const tombstone = event({ key: '{"id":1}', headers: '{"h":1}' });
  const records = readRecords(
    Buffer.concat([topic(7, "shop.public.orders"), UPDATE, tombstone]),
    topics,
  );
  const [update, second] = records;
  assert.ok(update instanceof ChangeEvent && second instanceof ChangeEvent);
  assert.equal(update.op, "u");
  assert.deepEqual(update.position, { commitLsn: LSN, index: 4, sub: 1 });
  assert.deepEqual([update.lsn, update.commitTsUs, update.xid], [2n ** 64n - 1n, -5n, 742]);
  assert.deepEqual(update.unchanged, [3, 9]);
  const parts = ["key", "value", "headers", "before", "after", "source"] as const;
  assert.deepEqual(
    parts.map((part) => update.text(part)),
    ['{"id":1}', VALUE, '{"constant":true}', "null", '{"id":1,"name":"é"}', '{"db":"shop"}'],
  );
  assert.deepEqual(
    [second.op, second.xid, second.unchanged, ...parts.map((part) => second.text(part))],
    [null, null, [], '{"id":1}', null, '{"h":1}', null, null, null],
  );

  const { headers, ...rest } = update.topic;
  assert.equal(Buffer.from(headers).toString(), '{"constant":true}');
  const attributes = [{ name: "n", shape: 1, flags: 0, attributes: [] }];
  assert.deepEqual(rest, {
    id: 7,
    relationOid: 16_384,
    name: "shop.public.orders",
    schema: "public",
    table: "orders",
    columns: [
      { name: "id", typeOid: 20, typmod: -1, shape: 0, flags: 1, attributes: [] },
      { name: "name", typeOid: 99, typmod: 44, shape: 21, flags: 2, attributes },
    ],
  });
  assert.doesNotMatch(inspect(update, { depth: 9, showHidden: true }), /id":1|é/);
});

test("reads what is no event", () => {
  const transaction = packed(["u64", LSN], ["u64", -5n], ["u32", 742]);
  const records = [
    record(2, Buffer.concat([zero, transaction])),
    record(3, Buffer.concat([zero, transaction, packed(["u32", 2], ["u64", LSN + 48n])])),
    record(5, Buffer.concat([zero, packed(["u32", 7], ["u32", 8], ["u64", 100n], ["u64", 23n])])),
    record(6, Buffer.concat([zero, packed(["u32", 7], ["u32", 7])])),
    record(7, Buffer.concat([zero, packed(["u32", 7], ["u32", 0], ["u64", LSN])])),
  ];
  const begin = { commitLsn: LSN, commitTsUs: -5n, xid: 742 };
  assert.deepEqual(readRecords(Buffer.concat(records), new Map()), [
    { kind: "begin", ...begin },
    { kind: "commit", ...begin, events: 2, endLsn: LSN + 48n },
    { kind: "stash", xid: 7, subxid: 8, offset: 100, bytes: 23 },
    { kind: "discard", xid: 7, subxid: 7 },
    { kind: "prepared", xid: 7, prepareLsn: LSN },
  ]);
});

test("topics hold from one batch to the next, and unknown kinds are passed over", () => {
  const topics = new Map<number, Topic>();
  assert.deepEqual(readRecords(topic(7, "a"), topics), []);
  const unknown = [record(0, Buffer.alloc(0)), record(200, Buffer.alloc(40, 0xff))];
  const [first, ...others] = readRecords(Buffer.concat([...unknown, UPDATE]), topics);
  assert.ok(first instanceof ChangeEvent && others.length === 0);
  assert.equal(first.topic.name, "a");
});

test("a batch that is cut off, or damaged, is an error and nothing else", () => {
  const whole = Buffer.concat([topic(7, "a"), UPDATE]);
  for (let end = 1; end < whole.length; end++) {
    if (end === whole.length - UPDATE.length) continue;
    assert.throws(() => readRecords(whole.subarray(0, end), new Map()), RecordError, String(end));
  }
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at] = ~(damaged[at] ?? 0);
    try {
      for (const record of readRecords(damaged, new Map()))
        if (record.kind === "event") assert.ok((record.bytes("value")?.length ?? 0) < whole.length);
    } catch (error) {
      assert.ok(error instanceof RecordError, `${String(at)}: ${String(error)}`);
    }
  }
  assert.throws(() => readRecords(UPDATE, new Map()), RecordError, "an unknown topic");
});
