// Makes src/generated of the decoder component: its JavaScript and its modules, compressed, as text.
import { readFile, writeFile, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { $init, generate } from "@bytecodealliance/jco-transpile/component";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const path =
  process.env.PGOUTPUT_DECODER_WASM ?? join(root, "..", "target", "wasm", "decoder.wasm");
const folder = join(root, "src", "generated", "component");

await $init;
const { files } = generate(await readFile(path), {
  name: "decoder",
  instantiation: { tag: "sync" },
  noNodejsCompat: true,
  noNamespacedExports: true,
  base64Cutoff: 0,
});
await rm(join(folder, ".."), { recursive: true, force: true });
await mkdir(join(folder, "interfaces"), { recursive: true });
const modules = {};
for (const [name, bytes] of files) {
  if (name.endsWith(".wasm")) {
    modules[name] = gzipSync(bytes, { level: 9 }).toString("base64");
  } else {
    await writeFile(join(folder, name), bytes);
  }
}
await writeFile(
  join(folder, "..", "modules.ts"),
  `/** The component's core modules by name: base64 of gzip. */
export const MODULES: Readonly<Record<string, string>> = ${JSON.stringify(modules, null, 2)};
`,
);

// The example goes into the page, too: opened from a folder, it may not read another file.
const example =
  process.env.PGOUTPUT_PLAYGROUND_EXAMPLE ??
  join(root, "..", "examples", "recordings", "shop.pgrec");
await writeFile(
  join(folder, "..", "example.ts"),
  `/** A recording: base64. */
export const EXAMPLE =
  "${(await readFile(example)).toString("base64")}";
`,
);
