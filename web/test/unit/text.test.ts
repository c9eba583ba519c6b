/** Texts as Python stores them, what it refuses, and what it warns of. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { type Example, readAll } from "../../src/inputs/kind.ts";
import { textKind, type TextSpec, textStatistics } from "../../src/inputs/text.ts";
import { fixed, roundHalfEven } from "../../src/numbers.ts";

interface Texts {
  stored: { given: (string | number[])[]; length: number; stored: number[][]; said: string | null }[];
  refused: { given: string; said: string }[];
  unlike: {
    stored: number[][];
    statistics: { length: number; beyond_ascii: number };
    trained: Record<string, number>;
    said: string | null;
  }[];
}

const cases: Texts = JSON.parse(readFileSync(join(inject("fixtures"), "texts.json"), "utf8"));
const spec = (length: number): TextSpec => ({ kind: "text", length });
const layout = (length: number) => ({ text: { axes: [length], order: [0], dtype: "uint8", scale: 1, offset: 0 } as const });
const readTexts = (given: readonly Example[], length: number) => readAll(given, spec(length), layout(length), {});

describe.each(cases.stored)("texts of up to $length bytes: $given.0", ({ given, length, stored, said }) => {
  test("every byte is Python's, and so is the warning of what is lost", async () => {
    const texts = given.map((text) => (typeof text === "string" ? text : Uint8Array.from(text)));
    const { inputs, remark } = await readTexts(texts, length);
    expect(inputs.get("text")).toEqual({ shape: [given.length, length], data: Uint8Array.from(stored.flat()) });
    expect(remark).toBe(said);
  });
});

test("a file is read as its bytes", async () => {
  const { inputs } = await readTexts([new Blob(["Grüße!"])], 7);
  expect([...inputs.get("text")!.data]).toEqual([71, 114, 195, 188, 195, 159, 101]);
});

test.each(cases.refused)("a text without a word is refused as in Python: $given", async ({ given, said }) => {
  await expect(readTexts(["sound", given], 8)).rejects.toThrow(said);
});

test("what is no text, and what is no option, are refused by name", async () => {
  await expect(readTexts([[1, 2]], 8)).rejects.toThrow("text 0 is 1,2 (array); expected a text. Drop it, or write");
  await expect(readTexts(["a", null as never], 8)).rejects.toThrow("text 1 is null (null); expected a text.");
  await expect(readTexts("a text" as never, 8)).rejects.toThrow("the examples are string; expected an array of examples.");
  await expect(readAll(["a"], spec(8), layout(8), { ink: "dark" })).rejects.toThrow(
    "ink was given, but texts have no such option; leave it out.",
  );
});

test("a length that no texts have is not what a manifest says", () => {
  expect(textKind.axes(spec(128))).toEqual({ text: [128] });
  for (const length of [0, 1.5, 2 ** 16 + 1, Number.NaN]) expect(textKind.axes(spec(length))).toBeNull();
});

describe("texts unlike those of training", () => {
  test.each(cases.unlike)("$said", ({ stored, statistics, trained, said }) => {
    const data = Uint8Array.from(stored.flat());
    expect(textStatistics(data, stored.length)).toEqual(statistics);
    const inputs = new Map([["text", { shape: [stored.length, 128], data }]]);
    expect(textKind.unlike(inputs, layout(128), spec(128), trained)).toBe(said);
    expect(textKind.unlike(inputs, layout(128), spec(128), {})).toBeNull();
  });
});

test("numbers are rounded as in Python, halves to the even one", () => {
  expect([0.5, 1.5, 2.5, -0.5, -1.5, 0.49].map(roundHalfEven)).toEqual([0, 2, 2, -0, -2, 0]);
  expect([0.125, 0.375, 0.015, 2.5, 1].map((value) => fixed(value, 2))).toEqual(["0.12", "0.38", "0.01", "2.50", "1.00"]);
  expect([50.5, 51.5, 12].map((value) => fixed(value, 0))).toEqual(["50", "52", "12"]);
});
