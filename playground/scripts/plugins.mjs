// Makes dist/assets/plugins.js: the worker that runs plugins, with the transpiler, as text. It is
// loaded with the first plugin and not before.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const vendor = join(root, "node_modules/@bytecodealliance/jco-transpile/vendor");

/** A worker from a blob has no place that files could be fetched from: the modules go into it. */
const inlined = {
  name: "inlined-modules",
  async transform(code, id) {
    if (!id.includes("js-component-bindgen-component.js")) return null;
    const names = [...new Set(code.match(/js-component-bindgen-component\.core\d*\.wasm/g))];
    const packed = await Promise.all(
      names.map(async (name) => {
        const bytes = gzipSync(await readFile(join(vendor, name)), { level: 9 });
        return `${JSON.stringify(name)}: ${JSON.stringify(bytes.toString("base64"))}`;
      }),
    );
    const unpack = `const PACKED = { ${packed.join(",\n")} };
async function unpackModule(name) {
  const packed = Uint8Array.from(atob(PACKED[name]), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compile(await new Response(stream).arrayBuffer());
}
`;
    const changed = code.replace(
      /fetchCompile\(new URL\('\.\/([^']+)', import\.meta\.url\)\)/g,
      (_, name) => `unpackModule(${JSON.stringify(name)})`,
    );
    if (changed === code) throw new Error("the transpiler's modules are not where they were");
    return unpack + changed;
  },
};

const { output } = (
  await build({
    root,
    configFile: false,
    logLevel: "error",
    plugins: [inlined],
    build: {
      write: false,
      target: "es2023",
      lib: {
        entry: "src/plugin/worker.ts",
        formats: ["iife"],
        name: "plugins",
        fileName: "plugins",
      },
    },
  })
)[0];
await writeFile(
  join(root, "dist/assets/plugins.js"),
  `globalThis.pluginWorker = ${JSON.stringify(output[0].code)};\n`,
);
