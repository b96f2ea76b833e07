/** Makes a component one that the browser can run, and runs it: in a worker of its own, to be ended. */
import { $init, generate } from "@bytecodealliance/jco-transpile/component";
import type { LogLine, PluginReply, PluginRequest } from "./protocol.ts";
import { runPlugin, type Transform } from "./rows.ts";

const COMPONENT = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
const MODULE = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const LOG_LINES_MAX = 100;

interface Transpiled {
  instantiate(
    module: (name: string) => WebAssembly.Module,
    imports: object,
  ): { transform?: Transform };
}

let transpiled: { code: Transpiled; modules: Map<string, WebAssembly.Module> } | null = null;
let config = "";
let log: LogLine[] = [];

/** A new instance: what it did before is not to be seen in what it does now. */
function instance(): Transform {
  if (!transpiled) throw new Error("no plugin is loaded");
  const { code, modules } = transpiled;
  const imports = {
    log: (level: string, text: string) => {
      if (log.length < LOG_LINES_MAX) log.push({ level, text });
    },
  };
  const { transform } = code.instantiate(
    (name) => {
      const module = modules.get(name);
      if (!module) throw new Error(`no module ${name}`);
      return module;
    },
    { "pgoutput:plugin/log": imports, "pgoutput:plugin/log@0.1.0": imports },
  );
  if (!transform) throw new Error("It exports no transform: it is no plugin.");
  return transform;
}

async function load(component: Uint8Array): Promise<void> {
  const begins = (bytes: number[]) => bytes.every((byte, at) => component[at] === byte);
  if (begins(MODULE)) {
    throw new Error("It is a module, not a component: wasm-tools component new makes one of it.");
  }
  if (!begins(COMPONENT)) throw new Error("It is no WebAssembly.");
  await $init;
  const { files, imports } = generate(component, {
    name: "plugin",
    instantiation: { tag: "sync" },
    noTypescript: true,
    noNodejsCompat: true,
    base64Cutoff: 0,
  });
  const others = imports.filter((name) => !name.startsWith("pgoutput:plugin/log"));
  if (others.length > 0) {
    throw new Error(
      `It imports ${others.join(", ")}. This page runs plugins that import nothing but their log; the command runs it.`,
    );
  }
  const modules = new Map<string, WebAssembly.Module>();
  let url = "";
  for (const [name, bytes] of files) {
    const own = new Uint8Array(bytes);
    if (name.endsWith(".wasm")) modules.set(name, await WebAssembly.compile(own));
    else if (name.endsWith(".js")) {
      url = URL.createObjectURL(new Blob([own], { type: "text/javascript" }));
    }
  }
  const code = (await import(/* @vite-ignore */ url)) as Transpiled;
  URL.revokeObjectURL(url);
  transpiled = { code, modules };
}

async function answer(request: PluginRequest): Promise<PluginReply> {
  const { id } = request;
  log = [];
  if (request.kind === "load") {
    await load(request.component);
    config = request.config;
    const transform = instance();
    const description = transform.describe();
    transform.init(config);
    return { id, kind: "loaded", description, log };
  }
  const transform = instance();
  transform.init(config);
  return { id, kind: "ran", outcomes: runPlugin(transform, request.events), log };
}

addEventListener("message", ({ data }: MessageEvent<PluginRequest>) => {
  answer(data).then(
    (reply) => {
      postMessage(reply);
    },
    (error: unknown) => {
      // A result's error has the text as its payload.
      const { payload } = error as { payload?: unknown };
      const text = typeof payload === "string" ? payload : null;
      const message = error instanceof Error ? error.message : String(error);
      postMessage({ id: data.id, error: text ?? message } satisfies PluginReply);
    },
  );
});
