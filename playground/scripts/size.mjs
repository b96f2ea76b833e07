// What the page weighs, compressed as a server would: printed at the end of a build.
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const DECODER_BYTES_MAX = 150 * 1024;

const modules = await readFile(join(root, "src/generated/modules.ts"), "utf8");
const packed = [...modules.matchAll(/": "([A-Za-z0-9+/=]+)"/g)].map(([, text]) =>
  Buffer.from(text, "base64"),
);
const wasm = packed.reduce((sum, bytes) => sum + bytes.length, 0);

// The transpiled component alone.
const { output } = (
  await build({
    root,
    configFile: false,
    logLevel: "silent",
    build: {
      write: false,
      target: "es2023",
      lib: { entry: "src/generated/component/decoder.js", formats: ["es"], fileName: "decoder" },
    },
  })
)[0];
const glue = gzipSync(output[0].code, { level: 9 }).length;

let page = 0;
for (const name of [
  "index.html",
  ...(await readdir(join(root, "dist/assets"))).map((file) => `assets/${file}`),
]) {
  const bytes = await readFile(join(root, "dist", name));
  const size = gzipSync(bytes, { level: 9 }).length;
  if (!name.includes("plugin")) page += size;
  print(`dist/${name}`, size);
}
print("the page, without plugins", page);
print("decoder.wasm's modules", wasm);
print("its JavaScript", glue);
print("decoder and glue", wasm + glue);
if (wasm + glue > DECODER_BYTES_MAX) {
  console.log(`More than the ${String(DECODER_BYTES_MAX / 1024)} KiB it should be.`);
}

function print(what, bytes) {
  console.log(`${what.padEnd(28)} ${(bytes / 1024).toFixed(1).padStart(8)} KiB gzip`);
}
