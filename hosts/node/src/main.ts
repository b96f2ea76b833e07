#!/usr/bin/env node
/** The command: lines, digests or a measurement of recordings. */

import { createHash } from "node:crypto";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { openRecording } from "./index.js";
import { JsonLines } from "./lines.js";

const USAGE = `usage: node dist/main.js [--digest | --bench] FILE...

  FILE...            writes the recordings' events, a line of JSON each
  --digest FILE...   writes the number of a recording's events and the SHA-256 of their lines
  --bench FILE       decodes a recording several times: seconds of one pass, the median
`;

async function main(): Promise<number> {
  const { values, positionals } = parse();
  if (values.help) {
    await write(USAGE);
    return 0;
  }
  const run = values.bench ? bench : values.digest ? digest : print;
  let failed = false;
  for (const path of positionals) {
    try {
      failed = !(await run(path)) || failed;
    } catch (error) {
      process.stderr.write(`${path}: ${message(error)}\n`);
      failed = true;
    }
  }
  return failed ? 1 : 0;
}

function parse() {
  try {
    const parsed = parseArgs({
      allowPositionals: true,
      options: {
        digest: { type: "boolean" },
        bench: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (parsed.positionals.length > 0 || parsed.values.help) return parsed;
    throw new TypeError("a FILE is missing");
  } catch (error) {
    process.stderr.write(`${message(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

async function print(path: string): Promise<boolean> {
  for await (const { lines } of linesOf(path)) await write(lines);
  return true;
}

/** Whether all of it could be decoded. */
async function digest(path: string): Promise<boolean> {
  const hash = createHash("sha256");
  let events = 0;
  let error: string | undefined;
  try {
    for await (const batch of linesOf(path)) {
      events += batch.events;
      hash.update(batch.lines);
    }
  } catch (thrown) {
    error = message(thrown);
  }
  await report({ file: basename(path), events, sha256: hash.digest("hex"), error });
  return error === undefined;
}

async function bench(path: string): Promise<boolean> {
  const events = await pass(path);
  const seconds: number[] = [];
  for (let total = 0; seconds.length < 5 || total < BENCH_SECONDS; total += seconds.at(-1) ?? 0) {
    const start = performance.now();
    await pass(path);
    seconds.push((performance.now() - start) / 1000);
  }
  seconds.sort((left, right) => left - right);
  await report({ file: basename(path), events, seconds: seconds[seconds.length >> 1] });
  return true;
}

const BENCH_SECONDS = 3;

/** Has all that a user of the events would have of them. */
async function pass(path: string): Promise<number> {
  let events = 0;
  let bytes = 0;
  for await (const records of openRecording(path).batches())
    for (const record of records)
      if (record.kind === "event") {
        events++;
        bytes += record.topic.name.length;
        for (const part of ["key", "value", "headers"] as const)
          bytes += record.bytes(part)?.length ?? 0;
      }
  if (bytes === 0 && events > 0) throw new RangeError("events without bytes");
  return events;
}

async function* linesOf(path: string): AsyncGenerator<{ events: number; lines: Buffer }> {
  const lines = new JsonLines();
  for await (const records of openRecording(path).batches()) {
    let events = 0;
    for (const record of records)
      if (record.kind === "event") {
        lines.write(record);
        events++;
      }
    yield { events, lines: lines.take() };
  }
}

/** To the standard output, no faster than it is read. */
async function write(bytes: Uint8Array | string): Promise<void> {
  await new Promise<void>((resolve) => {
    process.stdout.write(bytes, () => {
      resolve();
    });
  });
}

const report = (members: object) => write(`${JSON.stringify(members)}\n`);

const message = (error: unknown) => (error instanceof Error ? error.message : String(error));

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Who reads has read enough.
  if (error.code !== "EPIPE") process.stderr.write(`standard output: ${error.message}\n`);
  process.exit(1);
});
process.exitCode = await main();
