/** Labels in Python's order, rows of numbers, and rows of states. */
import { expect, test } from "vitest";
import { type InputSpec, readAll } from "../../src/inputs/kind.ts";
import { checkLabels, oneHot, withNew } from "../../src/labels.ts";
import type { Label } from "../../src/manifest.ts";
import { concatenate, NOTHING, take, takeWays } from "../../src/state.ts";
import { valueRows } from "../../src/values.ts";

test("labels are sorted as Python sorts them, and come after those that are known", () => {
  expect(withNew([], ["b", "a", "b"])).toEqual(["a", "b"]);
  expect(withNew(["z"], ["b", "z", "a"])).toEqual(["z", "a", "b"]);
  expect(withNew([], [10, 9, 1.5, -1])).toEqual([-1, 1.5, 9, 10]);
  expect(withNew([], ["b", 1, "a"])).toEqual(["b", 1, "a"]); // no order: as they come
  expect(withNew([], ["\u{1F600}", "\uFF5E", "ab", "a"])).toEqual(["a", "ab", "\uFF5E", "\u{1F600}"]); // by code point, not by UTF-16 unit
});

test("one row of ones and zeros for each label", () => {
  expect(oneHot(["b", "a"], ["a", "b", "c"])).toEqual({ shape: [2, 3], data: Float32Array.of(0, 1, 0, 1, 0, 0) });
});

test("labels that are none are refused", () => {
  for (const wrong of [null, undefined, Number.NaN, {}])
    expect(() => checkLabels([wrong as Label], 1)).toThrow(/label .*; expected a text/);
  expect(() => checkLabels("ab" as never, 2)).toThrow(/expected an array/);
});

test("rows are checked", async () => {
  const input: InputSpec & { features: number } = { kind: "rows", features: 2 };
  const layout = { rows: { axes: [2], order: [0], dtype: "float32", scale: 1, offset: 0 } } as const;
  expect((await readAll([[1, 2], Float32Array.of(3, 4)], input, layout, {})).inputs).toEqual(
    new Map([["rows", { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }]]),
  );
  await expect(readAll([[1, 2, 3]], input, layout, {})).rejects.toThrow(/row 0 has 3 values; expected 2/);
  await expect(readAll([[1, Number.NaN]], input, layout, {})).rejects.toThrow(/row 0 holds NaN at 1/);
  await expect(readAll([[1, 1e39]], input, layout, {})).rejects.toThrow(/row 0 holds 1e\+39 at 1/); // float32 cannot hold it
  await expect(readAll([[1, 2]], input, layout, { ink: "dark" })).rejects.toThrow(/ink was given, but rows .* leave it out/);
});

test("ways are padded with zeros and taken out, along whichever axis", () => {
  const values = { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
  expect(take(values, 0, [0, 1, NOTHING])).toEqual({ shape: [3, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6, 0, 0, 0) });
  expect(take(values, 1, [2, 0])).toEqual({ shape: [2, 2], data: Float32Array.of(3, 1, 6, 4) });
  const state = new Map([
    ["counts", { shape: [3], data: Float32Array.of(7, 8, 9) }],
    ["y", values],
    ["net", values],
  ]);
  const dtype = "float32" as const;
  const layout = {
    counts: { shape: ["way"], dtype },
    y: { shape: ["earlier", "way"], dtype },
    net: { shape: [2, 3], dtype },
  };
  expect(takeWays(state, layout, [0, 2])).toEqual(
    new Map([
      ["counts", { shape: [2], data: Float32Array.of(7, 9) }],
      ["y", { shape: [2, 2], data: Float32Array.of(1, 3, 4, 6) }],
      ["net", values],
    ]),
  );
  expect(concatenate(take(values, 0, [1]), values).shape).toEqual([3, 3]);
  const bytes = { shape: [3], data: Uint8Array.of(1, 2, 255) };
  expect(take(bytes, 0, [2, NOTHING])).toEqual({ shape: [2], data: Uint8Array.of(255, 0) });
});

test("values become rows, and what is no number is named", () => {
  expect(valueRows([1, 2.5], 2)).toEqual({ shape: [2, 1], data: Float32Array.of(1, 2.5) });
  expect(valueRows([[1, 2]], 1)).toEqual({ shape: [1, 2], data: Float32Array.of(1, 2) });
  expect(() => valueRows([1], 2)).toThrow("there are 2 examples but 1 values");
  expect(() => valueRows([1, [2, 3]], 2)).toThrow("example 1 has 2 values; expected 1");
  expect(() => valueRows(["1" as unknown as number], 1)).toThrow("the value of example 0 is 1; expected a number.");
});
