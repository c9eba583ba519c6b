/** How long a tab takes to load a learner, adapt it and predict; written to benchmarks/results/edge_browser.json by `make bench-web`. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { expect, inject, test } from "vitest";
import type * as Module from "../src/index.ts";
import { offer, openBrowser } from "../test/browser/browser.ts";
import { serve } from "../test/python.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BUILT = join(ROOT, "src/quickstudy/serve/built");
const RESULTS = join(ROOT, "benchmarks/results/edge_browser.json");
const GOALS = { adapt_5way_1shot_ms: 150, predict_1_ms: 1.5 };
const ADAPTS = 30;
const PREDICTS = 300;

interface Timed {
  median: number;
  least: number;
}

declare const quickstudy: typeof Module;

/** In a fresh Chromium: the first load, then the same learner warm. */
async function measure(url: string, learner: string, threads: number) {
  const browser = await openBrowser();
  try {
    await offer(browser.context, inject("fixtures"));
    const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
    await browser.context.route("**/blank.html", (route) => route.fulfill({ contentType: "text/html", headers: isolated, body: "<!doctype html>" }));
    await browser.page.goto(`${url}blank.html`);
    await browser.page.evaluate("import('/quickstudy.js').then((quickstudy) => void Object.assign(window, { quickstudy }))");
    const found = await browser.page.evaluate(
      async ({ learner, threads, adapts, predicts }) => {
        const noise = () => ({ width: 28, height: 28, data: crypto.getRandomValues(new Uint8Array(784)) });
        const times = async (count: number, work: () => Promise<unknown>): Promise<Timed> => {
          const taken: number[] = [];
          for (let run = 0; run < count + 3; run++) {
            const start = performance.now();
            await work();
            if (run >= 3) taken.push(performance.now() - start); // the first ones are for warming up
          }
          taken.sort((a, b) => a - b);
          return { median: taken[Math.floor(count / 2)]!, least: taken[0]! };
        };
        quickstudy.configure({ threads });
        const start = performance.now();
        const loaded = await quickstudy.Learner.load(`/fixtures/${learner}.qs`);
        const load = performance.now() - start;
        const images = Array.from({ length: 5 }, noise);
        const labels = ["a", "b", "c", "d", "e"];
        const first = performance.now();
        const task = await loaded.adapt(images, labels);
        const firstAdapt = performance.now() - first;
        const one = [noise()];
        return {
          load,
          firstAdapt,
          adapt: await times(adapts, () => loaded.adapt(images, labels)),
          predict: await times(predicts, () => task.predict(one)),
          bytes: (await task.save()).size,
          threads: quickstudy.threads(),
        };
      },
      { learner, threads, adapts: ADAPTS, predicts: PREDICTS },
    );
    expect(found.threads).toBe(threads);
    return { ...found, version: browser.context.browser()?.version() };
  } finally {
    await browser.close();
  }
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}

function sizes(): Record<string, { bytes: number; gzip_bytes: number }> {
  const read = (folder: string, name: string) => readFileSync(join(folder, name));
  const files = readdirSync(BUILT).map((name) => [name, read(BUILT, name)] as const);
  const bundles = ["prototypes.qs", "maml.qs"].map((name) => [name, read(inject("fixtures"), name)] as const);
  return Object.fromEntries([...files, ...bundles].map(([name, content]) => [name, { bytes: content.length, gzip_bytes: gzipSync(content).length }]));
}

test("measured", async () => {
  const served = await serve(join(ROOT, "web/test/serve.py"), join(inject("fixtures"), "prototypes.qs"));
  const before = loadavg().map(round);
  const rows = [];
  let version: string | undefined;
  for (const learner of ["maml", "prototypes"]) {
    for (const threads of [1, 2]) {
      const found = await measure(served.url, learner, threads);
      version = found.version;
      rows.push({
        learner: learner === "maml" ? "MAML, 5 steps" : "prototypes",
        threads,
        first_load_ms: round(found.load),
        first_adapt_ms: round(found.firstAdapt),
        adapt_5way_1shot_ms: { median: round(found.adapt.median), least: round(found.adapt.least) },
        predict_1_ms: { median: round(found.predict.median), least: round(found.predict.least) },
        saved_task_bytes: found.bytes,
      });
    }
  }
  served.stop();
  const record = {
    command: "make bench-web",
    what: "Conv4-64 on 28x28 grey images; images to logits, decoding included; Chromium on loopback, a fresh profile for each row",
    chromium: version ?? "unknown",
    onnxruntime_web: "1.30.0",
    processor: cpus()[0]?.model.trim(),
    cores: cpus().length,
    load_average_before: before,
    load_average_after: loadavg().map(round),
    runs: { adapt: ADAPTS, predict: PREDICTS },
    goals: GOALS,
    rows,
    payload: sizes(),
  };
  writeFileSync(RESULTS, `${JSON.stringify(record, null, 1)}\n`);
  console.log(JSON.stringify(record, null, 1));
}, 600_000);
