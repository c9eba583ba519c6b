/** How long a tab takes to load a learner, adapt it and predict; written to benchmarks/results/edge_browser.json by `make bench-web`. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { inject, test } from "vitest";
import type * as Module from "../src/index.ts";
import { type Browser, offer, openBrowser } from "../test/browser/browser.ts";
import { serve } from "../test/python.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BUILT = join(ROOT, "src/quickstudy/serve/built");
const RESULTS = join(ROOT, "benchmarks/results/edge_browser.json");
const GOALS = { adapt_5way_1shot_ms: 150, predict_1_ms: 1.5 };
const ADAPTS = 30;
const PREDICTS = 300;
const WARM_UP = 5;

interface Timed {
  median: number;
  least: number;
  /** Processor time of the tab for each call, which work beside it on the machine hardly changes. */
  cpu: number;
}

declare const quickstudy: typeof Module;
declare const run: Record<"adapt" | "predict", () => Promise<unknown>>;

/** Return wall times of calls in the tab, without the first ones, which warm it up. */
async function timed({ page, context }: Browser, name: "adapt" | "predict", count: number): Promise<Timed> {
  const calls = (times: number) =>
    page.evaluate(
      async ({ name, times }) => {
        const taken: number[] = [];
        for (let call = 0; call < times; call++) {
          const start = performance.now();
          await run[name]();
          taken.push(performance.now() - start);
        }
        return taken.sort((a, b) => a - b);
      },
      { name, times },
    );
  const session = await context.browser()!.newBrowserCDPSession();
  const seconds = async () => {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    return processInfo.filter(({ type }) => type === "renderer").reduce((sum, { cpuTime }) => sum + cpuTime, 0);
  };
  await calls(WARM_UP);
  const before = await seconds();
  const taken = await calls(count);
  const cpu = (1000 * ((await seconds()) - before)) / count;
  return { median: round(taken[Math.floor(count / 2)]!), least: round(taken[0]!), cpu: round(cpu) };
}

/** Return times in a fresh Chromium: of the first load and adaptation, then of warm ones. */
async function measure(url: string, name: string, threads: number) {
  const browser = await openBrowser();
  try {
    await offer(browser.context, inject("fixtures"));
    const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
    await browser.context.route("**/blank.html", (route) =>
      route.fulfill({ contentType: "text/html", headers: isolated, body: "<!doctype html>" }),
    );
    await browser.page.goto(`${url}blank.html`);
    await browser.page.evaluate("import('/quickstudy.js').then((quickstudy) => void Object.assign(window, { quickstudy }))");
    const first = await browser.page.evaluate(
      async ({ name, threads }) => {
        const noise = () => ({ width: 28, height: 28, data: crypto.getRandomValues(new Uint8Array(784)) });
        const [images, one, labels] = [Array.from({ length: 5 }, noise), [noise()], ["a", "b", "c", "d", "e"]];
        quickstudy.configure({ threads });
        const start = performance.now();
        const learner = await quickstudy.Learner.load(`/fixtures/${name}.qs`);
        const loaded = performance.now();
        const skill = await learner.adapt(images, labels);
        const adapted = performance.now();
        Object.assign(window, { run: { adapt: () => learner.adapt(images, labels), predict: () => skill.predict(one) } });
        return { load: loaded - start, adapt: adapted - loaded, bytes: (await skill.save()).size };
      },
      { name, threads },
    );
    return {
      learner: name === "maml" ? "MAML, 5 steps" : "prototypes",
      threads: await browser.page.evaluate(() => quickstudy.threads()),
      first_load_ms: round(first.load),
      first_adapt_ms: round(first.adapt),
      adapt_5way_1shot_ms: await timed(browser, "adapt", ADAPTS),
      predict_1_ms: await timed(browser, "predict", PREDICTS),
      saved_skill_bytes: first.bytes,
    };
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
  return Object.fromEntries(
    [...files, ...bundles].map(([name, content]) => [name, { bytes: content.length, gzip_bytes: gzipSync(content).length }]),
  );
}

test("measured", async () => {
  const served = await serve(join(ROOT, "web/test/serve.py"), join(inject("fixtures"), "prototypes.qs"));
  const before = loadavg().map(round);
  const rows = [];
  for (const learner of ["maml", "prototypes"]) {
    for (const threads of [1, 2]) rows.push(await measure(served.url, learner, threads));
  }
  served.stop();
  const record = {
    command: "make bench-web",
    what: "Conv4-64 on 28x28 grey images; images to logits, decoding included; Chromium on loopback, a fresh profile for each row",
    chromium: execFileSync(process.env["CHROMIUM"] ?? "/usr/bin/chromium", ["--version"], { encoding: "utf8" }).trim(),
    onnxruntime_web: "1.30.0",
    processor: cpus()[0]?.model.trim(),
    cores: cpus().length,
    load_average_before: before,
    load_average_after: loadavg().map(round),
    runs: { adapt: ADAPTS, predict: PREDICTS, warm_up: WARM_UP },
    goals: GOALS,
    rows,
    payload: sizes(),
  };
  writeFileSync(RESULTS, `${JSON.stringify(record, null, 1)}\n`);
  console.log(JSON.stringify(record, null, 1));
}, 600_000);
