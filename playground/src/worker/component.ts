/** Instances of the decoder component, each with a memory of its own that can be put back. */
import { instantiate, type Root } from "../generated/component/decoder.js";
import { MODULES } from "../generated/modules.ts";

export type {
  Decoder,
  Decoded,
  Stop,
} from "../generated/component/interfaces/pgoutput-decoder-decoding.js";
export type {
  Field as RawField,
  Inspector,
  Message as RawMessage,
} from "../generated/component/interfaces/pgoutput-decoder-inspection.js";
export type { Facts } from "../generated/component/interfaces/pgoutput-decoder-catalog.js";

const PAGE_BYTES = 65536;
let compiled: ReadonlyMap<string, WebAssembly.Module> | null = null;
let compiling: Promise<void> | null = null;

/** Unpacks and compiles, before the first instance. */
export function compile(): Promise<void> {
  return (compiling ??= unpack());
}

async function unpack(): Promise<void> {
  const modules = await Promise.all(
    Object.entries(MODULES).map(async ([name, text]) => {
      const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const bytes = await new Response(stream).arrayBuffer();
      return [name, await WebAssembly.compile(bytes)] as const;
    }),
  );
  compiled = new Map(modules);
}

/**
 * An instance of the component. It is a function of its memory and of what it is called with, so
 * its memory, kept and put back, takes it to where it was.
 */
export class Instance {
  readonly exports: Root;
  #memory: WebAssembly.Memory | null = null;

  constructor() {
    this.exports = instantiate(
      (name) => {
        const module = compiled?.get(name);
        if (!module) throw new Error(`no module ${name}`);
        return module;
      },
      {},
      (module, imports) => {
        const instance = new WebAssembly.Instance(module, imports);
        const { memory } = instance.exports;
        if (memory instanceof WebAssembly.Memory) this.#memory = memory;
        return instance;
      },
    );
  }

  snapshot(): Uint8Array {
    return new Uint8Array(this.#use().buffer).slice();
  }

  /** Takes back what `snapshot` of an instance returned that was made and called alike. */
  restore(snapshot: Uint8Array): void {
    const memory = this.#use();
    const missing = snapshot.length - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
    const bytes = new Uint8Array(memory.buffer);
    bytes.set(snapshot);
    bytes.fill(0, snapshot.length);
  }

  #use(): WebAssembly.Memory {
    if (!this.#memory) throw new Error("the component has no memory");
    return this.#memory;
  }
}
