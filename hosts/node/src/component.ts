/** Instances of the component, from the files that `npm run build` made of it. */

import { readFile } from "node:fs/promises";
import { instantiate } from "../component/decoder.js";
import type { Decoding } from "./session.js";

const modules = new Map<string, Promise<WebAssembly.Module>>();

/** A new instance. It is compiled once. */
export async function instantiateDecoding(): Promise<Decoding> {
  // By its types it does not wait, because a WebAssembly.Module may be any object.
  const { decoding } = await Promise.resolve(instantiate(module, {}));
  return decoding;
}

function module(name: string): Promise<WebAssembly.Module> {
  let compiled = modules.get(name);
  if (!compiled) {
    const file = readFile(new URL(`../component/${name}`, import.meta.url));
    compiled = file.then((bytes) => WebAssembly.compile(bytes));
    modules.set(name, compiled);
  }
  return compiled;
}
