/** The module in a tab: it does what Python does, and asks nobody else. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { readBundle } from "../../src/bundle.ts";
import type * as Module from "../../src/index.ts";
import { python, type Served, serve } from "../python.ts";
import { type Browser, offer, openBrowser } from "./browser.ts";

interface Plain {
  width: number;
  height: number;
  data: number[];
}

interface Case {
  support: Plain[];
  labels: string[];
  more: Plain[];
  moreLabels: string[];
  query: Plain[];
  logits: number[][];
  logitsAfterMore: number[][];
  classes: string[];
}

interface Rows {
  support: Module.Example[];
  labels: number[][];
  more: Module.Example[];
  moreLabels: number[][];
  query: Module.Example[];
}

interface Requests {
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

interface Table extends Omit<Requests, "support" | "more" | "query"> {
  support: Module.TableRow[];
  more: Module.TableRow[];
  query: Module.TableRow[];
}

type Heard = { channels: string[]; rate: number }[];

interface Sounds extends Omit<Requests, "support" | "more" | "query"> {
  support: Heard;
  more: Heard;
  query: Heard;
  lost: string | null;
  unlike: string | null;
}

/** Expect the labels, the unknowns, the probabilities and the logits that Python's runtime predicts. */
function expectAnswers(
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

const HERE = fileURLToPath(new URL("..", import.meta.url));
const fixtures = inject("fixtures");
let served: Served;
let browser: Browser;

beforeAll(async () => {
  served = await serve(join(HERE, "serve.py"), join(fixtures, "prototypes.qs"));
  browser = await openBrowser();
  await offer(browser.context, fixtures);
  await browser.page.goto(served.url);
  await browser.page.evaluate("import('/quickstudy.js').then((module) => void Object.assign(window, module))");
  await browser.page.evaluate(() => {
    const image = ({ width, height, data }: Plain) => ({ width, height, data: Uint8Array.from(data) });
    const read = async (name: string) => (await (await fetch(`/fixtures/${name}.json`)).json()) as Case;
    Object.assign(window, { image, read });
  });
});

afterAll(async () => {
  await browser?.close();
  served?.stop();
});

declare const Learner: typeof Module.Learner;
declare const image: (plain: Plain) => Module.PixelArray;
declare const read: (name: string) => Promise<Case>;

function caseOf(name: string): Case {
  return JSON.parse(readFileSync(join(fixtures, `${name}.json`), "utf8"));
}

/** Return the largest difference, relative to the largest logit if that is above 1. */
function apart(found: readonly (readonly number[])[], expected: readonly (readonly number[])[]): number {
  expect(found.map((row) => row.length)).toEqual(expected.map((row) => row.length));
  const scale = Math.max(1, ...expected.flat().map(Math.abs));
  return Math.max(...expected.flatMap((row, query) => row.map((value, way) => Math.abs(value - found[query]![way]!)))) / scale;
}

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

test.each(["values", "glucose", "table_values"])("a learner of %s predicts, learns more and is saved as in Python", async (name) => {
  const found = await browser.page.evaluate(async (name) => {
    const rows = (await (await fetch(`/fixtures/${name}.json`)).json()) as Rows;
    const learner = await Learner.load(`/fixtures/${name}.qs`);
    const skill = await learner.adapt(rows.support, rows.labels);
    const first = await skill.values(rows.query);
    const saved = await skill.save();
    const again = (await Learner.load(saved)).skill!;
    await again.add(rows.more, rows.moreLabels);
    const refused = [
      skill.predict(rows.query),
      learner.adapt(rows.support, rows.labels.slice(1)),
      learner.adapt(rows.support, rows.labels.map(() => [1, 2, 3])),
      learner.adapt(rows.support, rows.labels.map(() => [Number.NaN, 2])),
      again.add(rows.more, rows.more.map(() => 1)),
    ];
    return {
      first,
      second: await again.values(rows.query),
      labels: again.labels,
      refused: await Promise.all(refused.map((attempt) => attempt.then(() => "taken", String))),
      file: [...new Uint8Array(await saved.arrayBuffer())],
    };
  }, name);
  const expected = caseOf(name);
  expect(apart(found.first, expected.logits)).toBeLessThan(1e-4);
  expect(apart(found.second, expected.logitsAfterMore)).toBeLessThan(1e-4);
  expect(found.labels).toEqual([]);
  expect(found.refused).toEqual([
    "ConfigError: the learner answers with values, not classes; call values().",
    "DataError: there are 8 examples but 7 values; expected one value, or row of values, per example.",
    {
      values: "TaskError: the task has 3 values per example, but this learner's head is fixed to 2. Give it examples of 2 values per example.",
      glucose: "DataError: y has 3 values per example; expected 2: glucose, insulin.",
      table_values: "taken",
    }[name],
    "DataError: the value of example 0 is NaN; expected a number.",
    `DataError: y has 1 values per example; expected 2${name === "glucose" ? ": glucose, insulin" : ", as earlier ones have"}.`,
  ]);
  const file = join(fixtures, `${name}.saved.qs`);
  writeFileSync(file, Uint8Array.from(found.file));
  const there = JSON.parse(python(join(HERE, "resume.py"), file, join(fixtures, `${name}.json`)));
  expect(apart(there.logits, expected.logits)).toBeLessThan(1e-4);
  expect(apart(there.logitsAfterMore, expected.logitsAfterMore)).toBeLessThan(1e-4);
});

test("calls at once wait for each other, of several tasks too", async () => {
  const found = await browser.page.evaluate(async () => {
    const rows = (await (await fetch("/fixtures/table_values.json")).json()) as Rows;
    const learner = await Learner.load("/fixtures/table_values.qs");
    const skill = await learner.adapt(rows.support, rows.labels);
    const fewer = rows.support.slice(1);
    const [other, ...values] = await Promise.all([
      learner.adapt(fewer, rows.labels.slice(1)),
      skill.values(rows.query),
      learner.adapt(rows.support, rows.labels).then((again) => again.values(rows.query)),
    ]);
    return { values, other: await other.values(rows.query), alone: await skill.values(rows.query) };
  });
  const { logits } = caseOf("table_values");
  for (const values of [...found.values, found.alone]) expect(apart(values, logits)).toBeLessThan(1e-4);
  expect(apart(found.other, logits)).toBeGreaterThan(1e-4);
});

test("the learner of requests that ships with the package answers in a tab as in Python", async () => {
  const found = await browser.page.evaluate(async () => {
    const requests = (await (await fetch("/fixtures/intents.json")).json()) as Requests;
    const learner = await Learner.load("/fixtures/intents.qs");
    const skill = await learner.adapt(requests.support, requests.labels);
    const before = skill.warning;
    const first = await skill.predict(requests.query);
    const saved = await skill.save();
    await skill.add(requests.more, requests.moreLabels);
    const second = (await skill.predict(requests.query)).map(({ logits }) => logits);
    const refused = await skill.predict([" "]).catch(String);
    const file = [...new Uint8Array(await saved.arrayBuffer())];
    return { first, second, classes: skill.labels, before, warning: skill.warning, refused, file };
  });
  const expected = caseOf("intents") as unknown as Requests;
  expectAnswers(found.first, expected);
  expect(apart(found.second, expected.logitsAfterMore)).toBeLessThan(1e-4);
  expect(found.classes).toEqual(expected.classes);
  expect(found.before).toBeNull();
  expect(found.warning).toBe("1 of 6 texts are longer than 128 bytes (the longest has 167); what follows is left out.");
  expect(found.refused).toBe("DataError: text 0 is empty; drop it, or write an empty answer as a word.");
  const file = join(fixtures, "intents.saved.qs");
  writeFileSync(file, Uint8Array.from(found.file));
  const there = JSON.parse(python(join(HERE, "resume.py"), file, join(fixtures, "intents.json")));
  expect(apart(there.logitsAfterMore, expected.logitsAfterMore)).toBeLessThan(1e-4);
});

test("the learner of sounds that ships with the package answers in a tab as in Python", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, labels, more, moreLabels, query } = (await (await fetch("/fixtures/sounds.json")).json()) as Sounds;
    const sound = ({ channels, rate }: Sounds["query"][number]) => {
      const decoded = (channel: string) => Uint8Array.from(atob(channel), (letter) => letter.charCodeAt(0));
      return { samples: channels.map((channel) => new Float32Array(decoded(channel).buffer)), rate };
    };
    const learner = await Learner.load("/fixtures/sounds.qs");
    const skill = await learner.adapt(support.map(sound), labels);
    const first = await skill.predict(query.map(sound));
    const { samples, rate } = sound(query[0]!);
    const context = new OfflineAudioContext(1, samples[0]!.length, rate);
    const buffer = context.createBuffer(1, samples[0]!.length, rate);
    buffer.copyToChannel(samples[0]!, 0);
    const [decoded] = await skill.predict([buffer]);
    await skill.add(more.map(sound), moreLabels);
    const second = (await skill.predict(query.map(sound))).map(({ logits }) => logits);
    const refused = await skill.predict([{ samples: new Float32Array(8000), rate }]).catch(String);
    return { first, decoded, second, classes: skill.labels, warning: skill.warning, refused };
  });
  const expected = caseOf("sounds") as unknown as Sounds;
  expectAnswers(found.first, expected);
  expect(apart([found.decoded!.logits], [found.first[0]!.logits])).toBeLessThan(1e-6);
  expect(apart(found.second, expected.logitsAfterMore)).toBeLessThan(1e-4);
  expect(found.classes).toEqual(expected.classes);
  expect(found.warning).toBe([expected.lost, expected.unlike].filter((said) => said !== null).join(" "));
  expect(found.refused).toBe("DataError: sound 0 is silent from beginning to end; record it again, or leave it out.");
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

test("a learner of any table adapts to columns of all types, predicts, learns more and comes back from a file", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, labels, more, moreLabels, query } = (await read("tables")) as unknown as Table;
    const learner = await Learner.load("/fixtures/tables.qs");
    const skill = await learner.adapt(support, labels);
    const [first, warning] = [await skill.predict(query), skill.warning];
    const file = await skill.save();
    const again = (await Learner.load(file)).skill!;
    await again.add(more, moreLabels);
    const bytes = Array.from(new Uint8Array(await file.arrayBuffer()));
    return { first, warning, second: await again.predict(query), classes: again.labels, bytes };
  });
  const expected = JSON.parse(readFileSync(join(fixtures, "tables.json"), "utf8")) as Table;
  expect(found.classes).toEqual(expected.classes);
  expect(found.warning).toContain("1 of 3 columns say nothing of a row, and are left out: 'same' (always 1.0).");
  expectAnswers(found.first, { ...expected, unknown: found.first.map(() => null as never) });
  const second = found.second.map(({ logits }) => logits);
  expect(apart(second, expected.logitsAfterMore)).toBeLessThan(1e-4);
  const file = join(fixtures, "tables_learned_here.qs");
  writeFileSync(file, Uint8Array.from(found.bytes));
  const there = JSON.parse(python(join(HERE, "resume.py"), file, join(fixtures, "tables.json")));
  expect(apart(there.logits, expected.logits)).toBeLessThan(1e-4);
  expect(apart(there.logitsAfterMore, expected.logitsAfterMore)).toBeLessThan(1e-4);
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
  expect(browser.requests.filter((url) => !url.startsWith(served.url) && !/^(blob|data):/.test(url))).toEqual([]);
});
