/** The plugin's worker, as the page sees it. What it needs is loaded with the first plugin. */
import type { EventDetail } from "../protocol.ts";
import type { PluginReply, PluginRequest } from "./protocol.ts";

const LOAD_MS = 30_000;
const RUN_MS = 2_000;
type Ask = PluginRequest extends infer R
  ? R extends { id: number }
    ? Omit<R, "id">
    : never
  : never;

declare global {
  // Set by assets/plugins.js: the worker's code.
  var pluginWorker: string | undefined;
}

export class PluginHost {
  #worker: Worker | null = null;
  #loaded: { component: Uint8Array; config: string } | null = null;
  #next = 1;

  async load(component: Uint8Array, config: string) {
    this.close();
    const reply = await this.#ask({ kind: "load", component, config }, LOAD_MS);
    this.#loaded = { component, config };
    return reply as Extract<PluginReply, { kind: "loaded" }>;
  }

  async run(events: EventDetail[]) {
    // One that took too long was ended, and begins anew.
    if (!this.#worker && this.#loaded) await this.#ask({ kind: "load", ...this.#loaded }, LOAD_MS);
    const reply = await this.#ask({ kind: "run", events }, RUN_MS);
    return reply as Extract<PluginReply, { kind: "ran" }>;
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#loaded = null;
  }

  async #ask(request: Ask, limitMs: number): Promise<PluginReply> {
    const worker = (this.#worker ??= await startWorker());
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        worker.removeEventListener("message", listen);
        worker.removeEventListener("error", failed);
      };
      const listen = ({ data }: MessageEvent<PluginReply>) => {
        if (data.id !== id) return;
        done();
        if ("error" in data) reject(new Error(data.error));
        else resolve(data);
      };
      const failed = (event: ErrorEvent) => {
        done();
        reject(new Error(event.message));
      };
      const timer = setTimeout(() => {
        done();
        worker.terminate();
        if (this.#worker === worker) this.#worker = null;
        reject(new Error(`It took longer than ${String(limitMs / 1000)} s, and was ended.`));
      }, limitMs);
      worker.addEventListener("message", listen);
      worker.addEventListener("error", failed);
      worker.postMessage({ id, ...request });
    });
  }
}

async function startWorker(): Promise<Worker> {
  if (globalThis.pluginWorker === undefined) {
    await new Promise<void>((resolve, reject) => {
      const script = document.createElement("script");
      script.src = "./assets/plugins.js";
      script.onload = () => {
        resolve();
      };
      script.onerror = () => {
        reject(new Error("assets/plugins.js is missing."));
      };
      document.head.append(script);
    });
  }
  const code = new Blob([globalThis.pluginWorker ?? ""], { type: "text/javascript" });
  const url = URL.createObjectURL(code);
  return new Worker(url, { name: "plugin" });
}
