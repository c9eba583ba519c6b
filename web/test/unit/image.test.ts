/** Images as Python stores them and as its networks see them, and what Python warns of. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { asStored, imageKind, imageStatistics, type ImageSpec, type Ink, type PixelArray } from "../../src/inputs/image.ts";
import { rowsKind, type RowsSpec, rowStatistics } from "../../src/inputs/rows.ts";
import { type Layout, toNetwork } from "../../src/layout.ts";

interface PixelCase {
  image: { width: number; height: number; data: number[] };
  input: ImageSpec;
  layout: Layout;
  ink: Ink;
  stored: number[];
  seen: number[];
}

interface UnlikeCase {
  name: string;
  input: ImageSpec | RowsSpec;
  layout: Layout;
  shape: number[];
  stored: number[];
  statistics: Record<string, number>;
  trained: Record<string, number>;
  warning: string | null;
}

const read = (name: string) => JSON.parse(readFileSync(join(inject("fixtures"), name), "utf8"));
const cases: PixelCase[] = read("pixels.json");
const unlike: UnlikeCase[] = read("unlike.json");

describe.each(cases)(
  "$image.width x $image.height, $input.channels channels, $ink on $input.ink",
  ({ image, input, layout, ink, stored, seen }) => {
    test("every byte is Pillow's, and every number that the network sees is Python's", () => {
      const channels = image.data.length / image.width / image.height;
      const found = asStored({ ...image, channels, data: Uint8Array.from(image.data) }, input, ink);
      expect([...found.data]).toEqual(stored);
      const tensor = { shape: [1, input.height, input.width, input.channels], data: Uint8Array.from(found.data) };
      expect(toNetwork(tensor, layout["image"]!)).toEqual({
        shape: [1, input.channels, input.height, input.width],
        data: Float32Array.from(seen),
      });
    });
  },
);

test("the layout says which axis comes first, and what is multiplied and added", () => {
  const layout = { axes: [1, 2, 3], order: [2, 0, 1], dtype: "uint8", scale: 2, offset: -1 } as const;
  const seen = toNetwork({ shape: [2, 1, 2, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 6, 0, 0, 0, 7, 7, 7) }, layout);
  expect(seen).toEqual({ shape: [2, 3, 1, 2], data: Float32Array.of(1, 7, 3, 9, 5, 11, -1, 13, -1, 13, -1, 13) });
});

const grey = (width: number): ImageSpec => ({ kind: "image", height: 1, width, channels: 1, ink: "light" });
const bytesOf = async (data: PixelArray["data"]) =>
  (await imageKind.read({ height: 1, width: data.length, data }, 0, grey(data.length), {}))["image"];

test("floats are rounded to bytes, halves to the even one, as numpy does", async () => {
  expect(await bytesOf(Float64Array.of(0.5 / 255, 1.5 / 255, 1))).toEqual(Uint8Array.of(0, 2, 255));
});

test("floats may lie outside 0..1 by less than what changes a byte", async () => {
  expect(await bytesOf(Float64Array.of(-0.0009, 1.0009))).toEqual(Uint8Array.of(0, 255));
  await expect(bytesOf(Float64Array.of(0, 1.002))).rejects.toThrow(/holds 1.002 at 1; expected floats in 0..1/);
});

describe("examples unlike those of training", () => {
  test.each(unlike)("$name", ({ input, layout, shape, stored, statistics, trained, warning }) => {
    const rows = input.kind === "rows";
    const tensor = { shape, data: rows ? Float32Array.from(stored) : Uint8Array.from(stored) };
    const found = rows ? { ...rowStatistics(tensor.data) } : imageStatistics(toNetwork(tensor, layout["image"]!), input);
    expect(Object.keys(found)).toEqual(Object.keys(statistics));
    for (const [name, value] of Object.entries(statistics)) // sums in another order differ by rounding alone
      expect(Math.abs(found[name as keyof typeof found]! - value)).toBeLessThanOrEqual(1e-12 * Math.abs(value));
    const inputs = new Map([[input.kind, tensor]]);
    const said = rows ? rowsKind.unlike(inputs, layout, input, trained) : imageKind.unlike(inputs, layout, input, trained);
    expect(said).toBe(warning?.replace(/say so with ink='(\w+)'/, 'say that their ink is "$1"') ?? null);
  });

  test("say nothing if nothing is known of training", () => {
    for (const { input, layout, shape, stored } of unlike) {
      const inputs = new Map([[input.kind, { shape, data: Float32Array.from(stored) }]]);
      if (input.kind === "rows") expect(rowsKind.unlike(inputs, layout, input, {})).toBeNull();
      else expect(imageKind.unlike(inputs, layout, input, {})).toBeNull();
    }
  });

  test("warn of each cause at least once", () => {
    const said = unlike.map(({ warning }) => warning);
    expect(said.filter((warning) => warning === null).length).toBeGreaterThan(1);
    for (const cause of [/negatives/, /prepare them/, /scale them/])
      expect(said.filter((warning) => warning !== null && cause.test(warning)).length).toBeGreaterThan(0);
  });
});
