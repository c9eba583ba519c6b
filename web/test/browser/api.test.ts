/** The module in a tab, on drawings: it does what Python does, and asks nobody else. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readBundle } from "../../src/bundle.ts";
import type * as Module from "../../src/index.ts";
import { python } from "../python.ts";
import type { Browser } from "./browser.ts";
import { apart, type Case, caseOf, fixtures, HERE, openTab, type Plain, type Tab } from "./cases.ts";

let tab: Tab;
let browser: Browser;

beforeAll(async () => {
  tab = await openTab();
  browser = tab.browser;
});

afterAll(() => tab?.close());

declare const Learner: typeof Module.Learner;
declare const image: (plain: Plain) => Module.PixelArray;
declare const read: (name: string) => Promise<Case>;

test("in 8 bits it answers as in Python, near what 32 bits say", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, labels, query } = await read("int8");
    const learner = await Learner.load("/fixtures/int8.qs");
    const skill = await learner.adapt(support.map(image), labels, { ink: "light" });
    return await skill.predict(query.map(image));
  });
  const expected = caseOf("int8") as Case & { predicted: string[] };
  expect(found.map(({ label }) => label)).toEqual(expected.predicted);
  const distance = apart(
    found.map(({ logits }) => logits),
    expected.logits,
  );
  expect(distance).toBeLessThan(0.1);
  expect(distance).toBeGreaterThan(1e-4); // it is another graph
});

describe.each(["prototypes", "maml"])("%s", (name) => {
  test("adapts, predicts and learns more as Python does", async () => {
    const found = await browser.page.evaluate(async (name) => {
      const { support, labels, more, moreLabels, query } = await read(name);
      const learner = await Learner.load(`/fixtures/${name}.qs`);
      const skill = await learner.adapt(support.map(image), labels, { ink: "light" });
      const first = await skill.predict(query.map(image));
      await skill.add(more.map(image), moreLabels);
      return { first, second: await skill.predict(query.map(image)), classes: skill.labels };
    }, name);
    const expected = caseOf(name);
    expect(found.classes).toEqual(expected.classes);
    expect(
      apart(
        found.first.map(({ logits }) => logits),
        expected.logits,
      ),
    ).toBeLessThan(1e-4);
    expect(
      apart(
        found.second.map(({ logits }) => logits),
        expected.logitsAfterMore,
      ),
    ).toBeLessThan(1e-4);
    for (const { label, logits, probabilities } of found.second) {
      expect(label).toBe(expected.classes[logits.indexOf(Math.max(...logits))]);
      expect(probabilities.reduce((sum, value) => sum + value)).toBeCloseTo(1, 6);
    }
  });

  test("one example at a time is the same as all at once, where the learner continues or keeps its examples", async () => {
    const found = await browser.page.evaluate(async (name) => {
      const { support, labels, query } = await read(name);
      const learner = await Learner.load(`/fixtures/${name}.qs`);
      const skill = await learner.adapt(support.slice(0, 5).map(image), labels.slice(0, 5), { ink: "light" });
      await Promise.all(support.slice(5).map((picture, index) => skill.add([image(picture)], [labels[index + 5]!])));
      return (await skill.predict(query.map(image))).map(({ logits }) => logits);
    }, name);
    expect(apart(found, caseOf(name).logits)).toBeLessThan(1e-4);
  });

  test("forgetting a class is never having learned it", async () => {
    const found = await browser.page.evaluate(async (name) => {
      const { support, labels, query } = await read(name);
      const learner = await Learner.load(`/fixtures/${name}.qs`);
      const skill = await learner.adapt(support.map(image), labels, { ink: "light" });
      await skill.forget("class 1");
      const others = labels.flatMap((label, index) => (label === "class 1" ? [] : [index]));
      const without = await learner.adapt(
        others.map((index) => image(support[index]!)),
        others.map((index) => labels[index]!),
        { ink: "light" },
      );
      const logits = async (of: Module.Skill) => (await of.predict(query.map(image))).map((found) => found.logits);
      return { labels: skill.labels, forgot: await logits(skill), never: await logits(without) };
    }, name);
    expect(found.labels).toEqual(["class 0", "class 2", "class 3", "class 4"]);
    expect(apart(found.forgot, found.never)).toBeLessThan(1e-5);
  });

  test("a saved skill goes on here, and in Python", async () => {
    const found = await browser.page.evaluate(async (name) => {
      const { support, labels, more, moreLabels, query } = await read(name);
      const learner = await Learner.load(`/fixtures/${name}.qs`);
      const skill = await learner.adapt(support.map(image), labels, { ink: "light" });
      const saved = await skill.save();
      const again = (await Learner.load(saved)).skill!;
      const first = (await again.predict(query.map(image))).map(({ logits }) => logits);
      await again.add(more.map(image), moreLabels);
      const second = (await again.predict(query.map(image))).map(({ logits }) => logits);
      return { first, second, file: [...new Uint8Array(await saved.arrayBuffer())] };
    }, name);
    const expected = caseOf(name);
    expect(apart(found.first, expected.logits)).toBeLessThan(1e-4);
    expect(apart(found.second, expected.logitsAfterMore)).toBeLessThan(1e-4);
    const file = join(fixtures, `${name}.saved.qs`);
    writeFileSync(file, Uint8Array.from(found.file));
    const there = JSON.parse(python(join(HERE, "resume.py"), file, join(fixtures, `${name}.json`)));
    expect(there.labels).toEqual(expected.classes.slice(0, 5));
    expect(apart(there.logits, expected.logits)).toBeLessThan(1e-4);
    expect(apart(there.logitsAfterMore, expected.logitsAfterMore)).toBeLessThan(1e-4);
  });
});

test("fewer steps are another adaptation, and an unknown setting is refused by name", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, labels, query } = await read("maml");
    const learner = await Learner.load("/fixtures/maml.qs");
    const logits = async (steps: number) => {
      const skill = await learner.adapt(support.map(image), labels, { ink: "light", settings: { inner_steps: steps } });
      return (await skill.predict(query.map(image))).map((prediction) => prediction.logits);
    };
    const refused = await learner.adapt(support.map(image), labels, { settings: { steps: 3 } }).catch(String);
    return { none: await logits(0), all: await logits(learner.manifest.settings["inner_steps"]!), refused };
  });
  expect(apart(found.all, caseOf("maml").logits)).toBeLessThan(1e-4);
  expect(apart(found.none, caseOf("maml").logits)).toBeGreaterThan(1e-2);
  expect(found.refused).toMatch(/ConfigError: unknown setting "steps"; expected .*inner_steps/);
});

test("a query whose largest logit is below the calibrated threshold belongs to no class", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, labels, query } = await read("prototypes");
    const predict = async (name: string) => {
      const learner = await Learner.load(`/fixtures/${name}.qs`);
      const skill = await learner.adapt(support.map(image), labels, { ink: "light" });
      const unknown = (await skill.predict(query.map(image))).map((prediction) => prediction.unknown);
      return { unknown, threshold: learner.manifest.unknown?.threshold };
    };
    return { calibrated: await predict("unknown"), not: await predict("prototypes") };
  });
  const highest = caseOf("prototypes").logits.map((row) => Math.max(...row));
  expect(found.calibrated.unknown).toEqual(highest.map((logit) => logit < found.calibrated.threshold!));
  expect(new Set(found.calibrated.unknown).size).toBe(2);
  expect(new Set(found.not.unknown)).toEqual(new Set([null]));
});

test("probabilities are those of Python, at the learner's temperature, which follows the ways", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, labels, query } = await read("warm");
    const learner = await Learner.load("/fixtures/warm.qs");
    const skill = await learner.adapt(support.map(image), labels, { ink: "light" });
    const predictions = await skill.predict(query.map(image));
    const { temperature, temperature_power: power } = learner.manifest;
    return { predictions, temperature: temperature * skill.labels.length ** power };
  });
  const expected = caseOf("warm") as Case & { probabilities: number[][] };
  expect(found.temperature).toBeCloseTo(2.5);
  expect(
    apart(
      found.predictions.map(({ probabilities }) => probabilities),
      expected.probabilities,
    ),
  ).toBeLessThan(1e-5);
  expect(
    apart(
      found.predictions.map(({ logits }) => logits),
      expected.logits,
    ),
  ).toBeLessThan(1e-4);
});

test("a skill that keeps its examples, though its learner would not forget, goes on with them", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, more, moreLabels, query } = await read("kept");
    const { skill } = await Learner.load("/fixtures/kept.qs");
    await skill!.add(more.map(image), moreLabels);
    await skill!.forget("class 0");
    const logits = (await skill!.predict(query.map(image))).map((prediction) => prediction.logits);
    const bytes = [...new Uint8Array(await (await skill!.save()).arrayBuffer())];
    return { logits, bytes, examples: support.length + more.length };
  });
  const bundle = await readBundle(Uint8Array.from(found.bytes));
  const { inputs, y } = bundle.learned!.support!;
  expect(inputs.get("image")!.shape).toEqual([found.examples - 2, 28, 28, 1]); // without two of class 0
  expect(inputs.get("image")!.data).toBeInstanceOf(Uint8Array);
  expect(y.shape).toEqual([found.examples - 2, 5]);
  const expected = caseOf("kept").logitsAfterMore.map((row) => row.slice(1));
  expect(apart(found.logits, expected)).toBeLessThan(1e-4);
});

test("images unlike those of training are said once", async () => {
  const said: string[] = [];
  browser.page.on("console", (message) => void (message.type() === "warning" && said.push(message.text())));
  const found = await browser.page.evaluate(async () => {
    const { support, labels } = await read("prototypes");
    const images = support.map((plain) => ({ ...image(plain), data: new Uint8Array(plain.data.length).fill(250) }));
    const learner = await Learner.load("/fixtures/prototypes.qs");
    const skill = await learner.adapt(images, labels, { ink: "light" });
    const first = skill.warning;
    await skill.predict(images, { ink: "light" });
    return { first, second: skill.warning };
  });
  expect(found.first).toMatch(/^the brightness at the edges of the images is 0.98 \(from 0 to 1, as the network sees them\), but 0.00 in those/);
  expect(found.second).toBe(found.first);
  await expect.poll(() => said.filter((text) => text === found.first).length).toBe(1);
});

test("what cannot be is refused in words", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, labels } = await read("prototypes");
    const [first, second] = support.map(image);
    const learner = await Learner.load("/fixtures/prototypes.qs");
    const skill = await learner.adapt(support.map(image), labels);
    const nan = { width: 2, height: 2, data: Float32Array.of(0, 1, Number.NaN, 0.5) };
    const attempts: Record<string, Promise<unknown>> = {
      none: skill.predict([]),
      nan: skill.predict([nan]),
      shape: skill.predict([{ width: 9, height: 9, data: new Uint8Array(82) }]),
      single: learner.adapt([first!, second!], ["a", "a"]),
      count: learner.adapt([first!, second!], ["a"]),
      label: skill.forget("class 9"),
      ink: skill.predict([first!], { ink: "blue" as Module.Ink }),
      file: skill.predict([new File([Uint8Array.of(1, 2, 3)], "broken.png")]),
      absent: Learner.load("/absent.qs"),
      foreign: Learner.load(Uint8Array.of(1, 2, 3)),
    };
    return Object.fromEntries(
      await Promise.all(
        Object.entries(attempts).map(async ([key, attempt]) => [key, String(await attempt.catch((error) => error))]),
      ),
    );
  });
  expect(found["none"]).toMatch(/DataError: no example/);
  expect(found["nan"]).toMatch(/DataError: .*NaN at 2; expected floats in 0..1/);
  expect(found["shape"]).toMatch(/DataError: .*82 values for 9x9 pixels/);
  expect(found["single"]).toMatch(/TaskError: "a" would be the only class; expected two/);
  expect(found["count"]).toMatch(/DataError: there are 2 examples but 1 labels/);
  expect(found["label"]).toMatch(/DataError: label "class 9" was not learned; expected one of "class 0", /);
  expect(found["ink"]).toMatch(/DataError: ink is "blue"; expected "dark"/);
  expect(found["file"]).toMatch(/DataError: image "broken.png" cannot be read/);
  expect(found["absent"]).toMatch(/FileFormatError: .*404/);
  expect(found["foreign"]).toMatch(/FileFormatError: the file \(3 bytes\) is cut off or no zip archive/);
});

test("an image means the same as an array, a canvas, and a file", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, labels, query } = await read("prototypes");
    const learner = await Learner.load("/fixtures/prototypes.qs");
    const skill = await learner.adapt(support.map(image), labels, { ink: "light" });
    const plain = image(query[0]!);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [plain.width, plain.height];
    const pixels = new ImageData(plain.width, plain.height);
    for (let at = 0; at < plain.data.length; at++)
      pixels.data.set([plain.data[at]!, plain.data[at]!, plain.data[at]!, 255], 4 * at);
    canvas.getContext("2d")!.putImageData(pixels, 0, 0);
    const file = await new Promise<Blob>((resolve) => canvas.toBlob((blob) => resolve(blob!)));
    const element = new Image();
    element.src = canvas.toDataURL();
    await element.decode();
    return (await skill.predict([plain, pixels, canvas, file, element])).map(({ logits }) => logits);
  });
  for (const logits of found) expect(logits).toEqual(found[0]);
});

test("two threads run, and nothing was asked of anyone else", async () => {
  const isolated = await browser.page.evaluate(() => crossOriginIsolated);
  expect(isolated).toBe(true);
  expect(browser.requests.length).toBeGreaterThan(10);
  expect(browser.requests.filter((url) => !url.startsWith(tab.served.url) && !/^(blob|data):/.test(url))).toEqual([]);
});
