/** A tab that holds the module, and what Python answered to the same examples. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, inject } from "vitest";
import type * as Module from "../../src/index.ts";
import { type Served, serve } from "../python.ts";
import { type Browser, offer, openBrowser } from "./browser.ts";

export interface Plain {
  width: number;
  height: number;
  data: number[];
}

export interface Case {
  support: Plain[];
  labels: string[];
  more: Plain[];
  moreLabels: string[];
  query: Plain[];
  logits: number[][];
  logitsAfterMore: number[][];
  classes: string[];
}

export interface Rows {
  support: Module.Example[];
  labels: number[][];
  more: Module.Example[];
  moreLabels: number[][];
  query: Module.Example[];
}

export interface Requests {
  support: string[];
  labels: string[];
  more: string[];
  moreLabels: string[];
  query: string[];
  logits: number[][];
  logitsAfterMore: number[][];
  probabilities: number[][];
  predicted: string[];
  unknown: boolean[];
  classes: string[];
}

export interface Table extends Omit<Requests, "support" | "more" | "query"> {
  support: Module.TableRow[];
  more: Module.TableRow[];
  query: Module.TableRow[];
}

export type Heard = { channels: string[]; rate: number }[];

export interface Sounds extends Omit<Requests, "support" | "more" | "query"> {
  support: Heard;
  more: Heard;
  query: Heard;
  lost: string | null;
  unlike: string | null;
}

/** Folder of the tests. */
export const HERE = fileURLToPath(new URL("..", import.meta.url));
/** Folder of the files that Python wrote. */
export const fixtures = inject("fixtures");

export interface Tab {
  readonly served: Served;
  readonly browser: Browser;
  close(): Promise<void>;
}

/** Open a tab with the module in it, and with `image`, which makes a drawing, and `read`, which reads a case. */
export async function openTab(): Promise<Tab> {
  const served = await serve(join(HERE, "serve.py"), join(fixtures, "prototypes.qs"));
  const browser = await openBrowser();
  await offer(browser.context, fixtures);
  await browser.page.goto(served.url);
  await browser.page.evaluate("import('/quickstudy.js').then((module) => void Object.assign(window, module))");
  await browser.page.evaluate(() => {
    const image = ({ width, height, data }: Plain) => ({ width, height, data: Uint8Array.from(data) });
    const read = async (name: string) => (await fetch(`/fixtures/${name}.json`)).json();
    Object.assign(window, { image, read });
  });
  const close = async () => {
    await browser.close();
    served.stop();
  };
  return { served, browser, close };
}

/** Return the case of this name, as Python wrote it. */
export function caseOf<Kind = Case>(name: string): Kind {
  return JSON.parse(readFileSync(join(fixtures, `${name}.json`), "utf8"));
}

/** Return the largest difference, relative to the largest logit if that is above 1. */
export function apart(found: readonly (readonly number[])[], expected: readonly (readonly number[])[]): number {
  expect(found.map((row) => row.length)).toEqual(expected.map((row) => row.length));
  const scale = Math.max(1, ...expected.flat().map(Math.abs));
  return Math.max(...expected.flatMap((row, query) => row.map((value, way) => Math.abs(value - found[query]![way]!)))) / scale;
}

/** Expect the labels, the unknowns, the probabilities and the logits that Python's runtime predicts. */
export function expectAnswers(
  found: readonly Module.Prediction[],
  expected: Pick<Requests, "predicted" | "unknown" | "probabilities" | "logits">,
): void {
  expect(found.map(({ label }) => label)).toEqual(expected.predicted);
  expect(found.map(({ unknown }) => unknown)).toEqual(expected.unknown);
  const probabilities = found.map((prediction) => [...prediction.probabilities]);
  expect(apart(probabilities, expected.probabilities)).toBeLessThan(1e-4);
  const logits = found.map((prediction) => prediction.logits);
  expect(apart(logits, expected.logits)).toBeLessThan(1e-4);
}
