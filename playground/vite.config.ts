import { defineConfig, type Plugin } from "vite";

/**
 * Module scripts are not loaded from file:, nor are workers and wasm: the page is one classic
 * script, with all of them in it.
 */
function classicScript(): Plugin {
  return {
    name: "classic-script",
    enforce: "post",
    transformIndexHtml: (html) =>
      html
        .replace(/<script type="module" crossorigin/g, "<script defer")
        .replace(/<link rel="stylesheet" crossorigin/g, '<link rel="stylesheet"'),
  };
}

export default defineConfig({
  base: "./",
  plugins: [classicScript()],
  resolve: {
    // hosts/node is used as source: its one dependency is the page's own.
    preserveSymlinks: true,
    alias: { fzstd: new URL("node_modules/fzstd/esm/index.mjs", import.meta.url).pathname },
  },
  worker: { format: "iife" },
  build: {
    target: "es2023",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2000,
    rollupOptions: {
      output: {
        format: "iife",
        entryFileNames: "assets/page.js",
        assetFileNames: "assets/page[extname]",
      },
    },
  },
  server: { fs: { allow: [".."] } },
});
