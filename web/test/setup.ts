/** What comes before all tests: Python writes what it makes of the same examples, into a folder that is removed afterwards. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { python } from "./python.ts";

declare module "vitest" {
  interface ProvidedContext {
    fixtures: string;
  }
}

export default function setup({ provide }: TestProject): () => void {
  const ready = process.env["QUICKSTUDY_FIXTURES"]; // to try something again without waiting
  const folder = ready ?? mkdtempSync(join(tmpdir(), "quickstudy-web-"));
  if (ready === undefined) python(fileURLToPath(new URL("fixtures.py", import.meta.url)), folder);
  provide("fixtures", folder);
  return () => {
    if (ready === undefined) rmSync(folder, { recursive: true });
  };
}
