/** Chromium with a profile of its own; every request is written down. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export interface Browser {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Addresses of all requests so far. */
  readonly requests: readonly string[];
  /** What pages said in errors so far. */
  readonly problems: readonly string[];
  close(): Promise<void>;
}

export async function openBrowser(options: BrowserContextOptions = {}, flags: readonly string[] = []): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), "quickstudy-chromium-"));
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: [...FLAGS, ...flags], ...options });
  const requests: string[] = [];
  const problems: string[] = [];
  context.on("request", (request) => requests.push(request.url()));
  context.on("weberror", (found) => problems.push(String(found.error())));
  context.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, page: context.pages()[0] ?? (await context.newPage()), requests, problems, close };
}

/** Let pages of `context` read the files of a folder under `/fixtures/`. */
export async function offer(context: BrowserContext, folder: string): Promise<void> {
  await context.route("**/fixtures/*", (route) =>
    route.fulfill({ path: join(folder, new URL(route.request().url()).pathname.split("/").at(-1)!) }),
  );
}
