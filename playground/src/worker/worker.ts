/** Everything that takes time: the page only asks and shows. */
import type { Notice, Request, Requests, Source as Opened } from "../protocol.ts";
import { compile } from "./component.ts";
import { Engine } from "./engine.ts";
import { readLive, RefusedError } from "./live.ts";
import { readPasted } from "./pasted.ts";
import { FileSource, StreamSource } from "./source.ts";
import type { OptionSet } from "../protocol.ts";

type Answers = {
  [K in keyof Requests]: (ask: Requests[K]["ask"]) => Promise<Requests[K]["answer"]>;
};

const RECONNECT_MS = [500, 1000, 2000, 5000, 10_000] as const;

let engine: Engine | null = null;
let connection: AbortController | null = null;
let options: OptionSet = { pairs: [], recorded: true };

function notify(notice: Notice): void {
  postMessage({ id: null, notice });
}

function close(): void {
  engine?.close();
  connection?.abort();
  engine = null;
  connection = null;
}

async function run(opened: Engine): Promise<void> {
  try {
    await opened.run();
  } catch (error) {
    if (engine === opened && !connection?.signal.aborted) throw error;
  }
}

function start(source: FileSource | StreamSource, live: boolean): Engine {
  const opened: Engine = new Engine(source, options, live, (notice) => {
    if (engine !== opened) return;
    if (notice.kind === "progress") notice.progress.total = source.total;
    notify(notice);
  });
  engine = opened;
  return opened;
}

/** Connects, and again when the connection is lost: a recording anew each time. */
async function follow(url: string, { signal }: AbortController): Promise<void> {
  const aborted = () => signal.aborted;
  for (let attempt = 0; !aborted(); attempt++) {
    let text = "The server ended the stream.";
    try {
      notify({ kind: "live", state: "connecting", text: "" });
      const chunks = readLive(url, signal, () => {
        attempt = 0;
        notify({ kind: "live", state: "connected", text: "" });
      });
      // What there was stays in view until there is something else.
      const first = await chunks.next();
      if (!first.done) {
        engine?.close();
        notify({ kind: "restarted" });
        await run(start(new StreamSource(chain(first.value, chunks)), true));
      }
    } catch (error) {
      if (aborted()) return;
      text = error instanceof Error ? error.message : String(error);
      if (error instanceof RefusedError) {
        notify({ kind: "live", state: "refused", text });
        return;
      }
    }
    if (aborted()) return;
    notify({ kind: "live", state: "lost", text });
    const wait = RECONNECT_MS[Math.min(attempt, RECONNECT_MS.length - 1)];
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

async function* chain(
  first: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield first;
  yield* rest;
}

async function open(source: Opened): Promise<void> {
  close();
  await compile();
  if (source.kind === "file") {
    background(run(start(new FileSource(source.file), false)));
  } else {
    connection = new AbortController();
    background(follow(source.url, connection));
  }
}

function background(work: Promise<void>): void {
  work.catch((error: unknown) => {
    notify({ kind: "crashed", text: error instanceof Error ? error.message : String(error) });
  });
}

const answers: Answers = {
  open: async (ask) => {
    options = ask.options;
    await open(ask.source);
    return null;
  },
  close: () => {
    close();
    return Promise.resolve(null);
  },
  options: (ask) => {
    options = ask;
    engine?.setOptions(ask);
    return Promise.resolve(null);
  },
  rows: async ({ from, to }) => (await engine?.index.rows(from, to)) ?? [],
  filter: ({ text }) => {
    engine?.setFilter(text);
    return Promise.resolve(null);
  },
  detail: async ({ message }) => (await engine?.detail(message)) ?? null,
  transaction: ({ index }) => Promise.resolve(engine?.index.transactions.get(index) ?? null),
  pasted: async ({ text }) => {
    await compile();
    return readPasted(text);
  },
};

// Before anything is opened: it is needed for sure.
background(compile());

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  const { id, name, ask } = data;
  const answer = answers[name] as (ask: Request["ask"]) => Promise<unknown>;
  answer(ask).then(
    (answer) => {
      postMessage({ id, answer });
    },
    (error: unknown) => {
      postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    },
  );
});
