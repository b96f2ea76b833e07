/** The worker, as the page sees it. */
import DecoderWorker from "./worker/worker.ts?worker&inline";
import type { Notice, Reply, Requests } from "./protocol.ts";

export class Client {
  readonly #worker = new DecoderWorker({ name: "decoder" });
  readonly #waiting = new Map<
    number,
    { resolve: (answer: unknown) => void; reject: (error: Error) => void }
  >();
  #next = 1;

  constructor(notice: (notice: Notice) => void) {
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      if (data.id === null) {
        notice(data.notice);
        return;
      }
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if ("error" in data) waiting?.reject(new Error(data.error));
      else waiting?.resolve(data.answer);
    });
    this.#worker.addEventListener("error", (event) => {
      notice({ kind: "crashed", text: event.message || "The worker could not be started." });
    });
  }

  ask<K extends keyof Requests>(name: K, ask: Requests[K]["ask"]): Promise<Requests[K]["answer"]> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (answer: unknown) => void, reject });
      this.#worker.postMessage({ id, name, ask });
    });
  }
}
