// Makes component/ of decoder.wasm: JavaScript, its types, and the core modules it loads.

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { transpile } from "@bytecodealliance/jco";

const component = new URL("../component/", import.meta.url);
const wasm =
  process.env.PGOUTPUT_DECODER_WASM ??
  new URL("../../../target/wasm/decoder.wasm", import.meta.url);

const { files } = await transpile(await readFile(wasm), {
  name: "decoder",
  // Who loads the core modules is not jco's to say: a page fetches them, Node reads them.
  instantiation: "async",
});
await rm(component, { recursive: true, force: true });
for (const [name, content] of Object.entries(files)) {
  const file = new URL(name, component);
  await mkdir(new URL(".", file), { recursive: true });
  await writeFile(file, content);
}
