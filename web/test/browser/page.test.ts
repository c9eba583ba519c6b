/** The page that `quickstudy demo --browser` serves, from the first stroke to a skill that Python goes on with. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { python, type Served, serve } from "../python.ts";
import { type Browser, openBrowser } from "./browser.ts";

type Point = readonly [number, number];

const RING: Point[] = Array.from({ length: 25 }, (_, step) => [
  0.5 + 0.3 * Math.cos(step / 3.8),
  0.5 + 0.3 * Math.sin(step / 3.8),
]);
const CROSS: Point[][] = [
  [
    [0.2, 0.2],
    [0.8, 0.8],
  ],
  [
    [0.8, 0.2],
    [0.2, 0.8],
  ],
];

let served: Served;
const opened: Browser[] = [];

beforeAll(async () => {
  served = await serve("-m", "quickstudy", "demo", "--browser");
});

afterAll(async () => {
  for (const browser of opened) await browser.close();
  served?.stop();
});

async function visit(options = {}): Promise<Browser> {
  const browser = await openBrowser(options);
  opened.push(browser);
  await browser.page.goto(served.url);
  await says(browser.page, "#verdict", /two classes/);
  return browser;
}

async function says(page: Page, selector: string, expected: RegExp): Promise<void> {
  await expect.poll(() => page.textContent(selector), { timeout: 30_000 }).toMatch(expected);
}

async function draw(page: Page, lines: readonly (readonly Point[])[], shift = 0): Promise<void> {
  const box = (await page.locator("#canvas").boundingBox())!;
  for (const line of lines) {
    for (const [index, [x, y]] of line.entries()) {
      await page.mouse.move(box.x + (x + shift) * box.width, box.y + (y + shift) * box.height, { steps: 2 });
      if (index === 0) await page.mouse.down();
    }
    await page.mouse.up();
  }
}

async function teach(page: Page, label: string, lines: readonly (readonly Point[])[]): Promise<void> {
  await draw(page, lines);
  await page.fill("#label", label);
  await page.press("#label", "Enter");
  await expect.poll(() => page.locator("#classes h3").allTextContents()).toContain(label);
}

test("drawn, labelled, learned at once, recognised, saved, and known in Python", async () => {
  const { page, context, requests, problems } = await visit();
  await teach(page, "ring", [RING]);
  await says(page, "#verdict", /One class so far/);
  await teach(page, "cross", CROSS);
  await says(page, "#status", /^Adapted in [\d.]+ ms\.$/);

  await draw(page, [RING], 0.03);
  await says(page, "#verdict", /^ring$/);
  await page.click("#clear");
  await draw(page, CROSS, 0.03);
  await says(page, "#verdict", /^cross$/);
  expect(await page.textContent("#warning")).toBe("");
  const shares = await page.locator("#bars span:last-child").allTextContents();
  expect(shares.map(Number.parseFloat).reduce((sum, share) => sum + share)).toBeCloseTo(100, 0);

  await page.click("[aria-label='Add the drawing to cross']");
  await expect.poll(() => page.locator("#classes .pictures canvas").count()).toBe(3);

  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  const file = join(inject("fixtures"), "page.qs");
  await download.saveAs(file);
  const code =
    "import sys; from quickstudy.runtime import Skill; t = Skill.load(sys.argv[1]); print(t.labels, t.state['counts'].tolist())";
  expect(python("-c", code, file).trim()).toBe("['cross', 'ring'] [2.0, 1.0]");

  const again = await context.newPage();
  await again.goto(served.url);
  await says(again, "#verdict", /two classes/);
  await again.setInputFiles("#open", file);
  await says(again, "#verdict", /Draw something/);
  await draw(again, [RING]);
  await says(again, "#verdict", /^ring$/);

  expect(requests.filter((url) => !url.startsWith(served.url) && !/^(blob|data):/.test(url))).toEqual([]);
  expect(problems).toEqual([]);
});

test("by keyboard alone", async () => {
  const { page, problems } = await visit();
  const lines: [string, string[]][] = [
    ["line", ["ArrowRight"]],
    ["pole", ["ArrowDown"]],
  ];
  for (const [label, keys] of lines) {
    await page.focus("#canvas");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Space");
    for (const key of keys) for (let step = 0; step < 12; step++) await page.keyboard.press(key);
    await page.keyboard.press("Space");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("label");
    await page.keyboard.press("Control+A");
    await page.keyboard.type(label);
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator("#classes h3").allTextContents()).toContain(label);
  }
  await says(page, "#status", /^Adapted in/);
  await page.focus("[aria-label='Forget pole']");
  await page.keyboard.press("Enter");
  await says(page, "#verdict", /One class so far/);
  expect(problems).toEqual([]);
});

test("with a finger, on a phone", async () => {
  const { page, problems } = await visit({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const client = await page.context().newCDPSession(page);
  const box = (await page.locator("#canvas").boundingBox())!;
  const points = RING.map(([x, y]) => [{ x: box.x + x * box.width, y: box.y + y * box.height }]);
  await client.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: points[0]! });
  for (const touchPoints of points) await client.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints });
  await client.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  const inked = () =>
    page.evaluate(() => {
      const canvas = document.querySelector("canvas")!;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return data.filter((value, index) => index % 4 === 0 && value < 128).length;
    });
  expect(await inked()).toBeGreaterThan(2000);
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  expect(problems).toEqual([]);
});

test("image files become examples, and what is no image is said", async () => {
  const { page } = await visit();
  const picture = async (lines: readonly (readonly Point[])[], name: string) => {
    await page.click("#clear");
    await draw(page, lines);
    const data = await page.evaluate(() => document.querySelector("canvas")!.toDataURL());
    await page.click("#clear");
    return { name, mimeType: "image/png", buffer: Buffer.from(data.split(",")[1]!, "base64") };
  };
  const [ring, cross] = [await picture([RING], "ring.png"), await picture(CROSS, "cross.png")];
  await page.fill("#label", "ring");
  await page.setInputFiles("#files", [ring, ring]);
  await expect.poll(() => page.locator("#classes .pictures canvas").count()).toBe(2);
  await page.fill("#label", "cross");
  await page.setInputFiles("#files", cross);
  await says(page, "#status", /^Adapted in/);
  await page.fill("#label", "");
  await page.setInputFiles("#files", ring);
  await says(page, "#verdict", /^ring$/);
  await page.fill("#label", "dropped");
  await page.evaluate((bytes) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([Uint8Array.from(bytes)], "cross.png", { type: "image/png" }));
    document.querySelector("#paper")!.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  }, [...cross.buffer]);
  await expect.poll(() => page.locator("#classes h3").allTextContents()).toEqual(["cross", "ring", "dropped"]);
  await page.setInputFiles("#files", { name: "broken.png", mimeType: "image/png", buffer: Buffer.from([1, 2, 3]) });
  await says(page, "#error", /broken.png cannot be read as an image/);
  await page.setInputFiles("#open", {
    name: "broken.qs",
    mimeType: "application/zip",
    buffer: readFileSync(new URL(import.meta.url)),
  });
  await says(page, "#error", /cut off or no zip archive/);
});

test("images unlike those that the learner was trained on are noted, once", async () => {
  const { page, problems } = await visit();
  const black = await page.evaluate(() => {
    const canvas = document.createElement("canvas");
    canvas.getContext("2d")!.fillRect(0, 0, canvas.width, canvas.height);
    return canvas.toDataURL().split(",")[1]!;
  });
  const file = { name: "black.png", mimeType: "image/png", buffer: Buffer.from(black, "base64") };
  await teach(page, "ring", [RING]);
  await page.fill("#label", "night");
  await page.setInputFiles("#files", [file, file, file]);
  await says(page, "#status", /^Adapted in/);
  await says(page, "#warning", /^Note: the brightness at the edges of the images is \d\.\d\d .*, but 0\.00 in those/);
  await page.setInputFiles("#files", file);
  await expect.poll(() => page.locator("#classes .pictures canvas").count()).toBe(5);
  expect(await page.textContent("#warning")).toBe("");
  expect(problems).toEqual([]);
});
