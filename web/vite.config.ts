import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { defineConfig, type Plugin } from "vite";

const runtime = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));

/** The WebAssembly runtime beside the module, so that nothing is fetched from elsewhere. */
function serveRuntime(): Plugin {
  return {
    name: "serve-runtime",
    writeBundle({ dir }) {
      mkdirSync(dir!, { recursive: true });
      for (const name of ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]) {
        copyFileSync(join(runtime, name), join(dir!, name));
      }
    },
  };
}

/** The page uses the module as others do: as one file beside it. */
function useModule(): Plugin {
  return {
    name: "use-module",
    apply: "build",
    enforce: "pre",
    resolveId(source, importer) {
      const module = source === "../src/index.ts" && importer?.includes("/page/");
      return module ? { id: "./quickstudy.js", external: "relative" } : undefined;
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [useModule(), serveRuntime()],
  // without it the 14 MB of WebAssembly would be inlined
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"] },
  build: {
    target: "es2023",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    license: { fileName: "LICENSES.md" },
    rolldownOptions: {
      input: { page: "index.html", quickstudy: "src/index.ts" },
      preserveEntrySignatures: "strict",
      output: { entryFileNames: "[name].js", chunkFileNames: "[name].js", assetFileNames: "[name][extname]" },
    },
  },
});
