/** The module in a tab, on tables, texts, sounds and values: it does what Python does. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type * as Module from "../../src/index.ts";
import { python } from "../python.ts";
import type { Browser } from "./browser.ts";
import { apart, caseOf, expectAnswers, fixtures, HERE, openTab, type Requests, type Rows, type Sounds, type Tab, type Table } from "./cases.ts";

let tab: Tab;
let browser: Browser;

beforeAll(async () => {
  tab = await openTab();
  browser = tab.browser;
});

afterAll(() => tab?.close());

declare const Learner: typeof Module.Learner;
declare const read: (name: string) => Promise<any>;

test.each(["values", "glucose", "table_values"])("a learner of %s predicts, learns more and is saved as in Python", async (name) => {
  const found = await browser.page.evaluate(async (name) => {
    const rows = (await read(name)) as Rows;
    const learner = await Learner.load(`/fixtures/${name}.qs`);
    const skill = await learner.adapt(rows.support, rows.labels);
    const first = await skill.values(rows.query);
    const saved = await skill.save();
    const again = (await Learner.load(saved)).skill!;
    await again.add(rows.more, rows.moreLabels);
    const refused = [
      skill.predict(rows.query),
      learner.adapt(rows.support, rows.labels.slice(1)),
      learner.adapt(rows.support, rows.labels.map(() => Array(name === "table_values" ? 11 : 3).fill(1))),
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
      table_values: "TaskError: the task has 11 values per example, but this learner takes 10 at most. Ask for fewer values.",
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
    const rows = (await read("table_values")) as Rows;
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
    const requests = (await read("intents")) as Requests;
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
  const expected = caseOf<Requests>("intents");
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
    const { support, labels, more, moreLabels, query } = (await read("sounds")) as Sounds;
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
  const expected = caseOf<Sounds>("sounds");
  expectAnswers(found.first, expected);
  expect(apart([found.decoded!.logits], [found.first[0]!.logits])).toBeLessThan(1e-6);
  expect(apart(found.second, expected.logitsAfterMore)).toBeLessThan(1e-4);
  expect(found.classes).toEqual(expected.classes);
  expect(found.warning).toBe([expected.lost, expected.unlike].filter((said) => said !== null).join(" "));
  expect(found.refused).toBe("DataError: sound 0 is silent from beginning to end; record it again, or leave it out.");
});

test("a learner of any table adapts to columns of all types, predicts, learns more and comes back from a file", async () => {
  const found = await browser.page.evaluate(async () => {
    const { support, labels, more, moreLabels, query } = (await read("tables")) as Table;
    const learner = await Learner.load("/fixtures/tables.qs");
    const skill = await learner.adapt(support, labels);
    const [first, warning] = [await skill.predict(query), skill.warning];
    const file = await skill.save();
    const again = (await Learner.load(file)).skill!;
    await again.add(more, moreLabels);
    const bytes = Array.from(new Uint8Array(await file.arrayBuffer()));
    return { first, warning, second: await again.predict(query), classes: again.labels, bytes };
  });
  const expected = caseOf<Table>("tables");
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
