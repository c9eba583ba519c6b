/** Pixels as Pillow makes them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { asStored, toInput } from "../../src/image.ts";
import type { ImageInput, Ink } from "../../src/manifest.ts";

interface PixelCase {
  image: { width: number; height: number; data: number[] };
  input: ImageInput;
  ink: Ink;
  stored: number[];
}

const cases: PixelCase[] = JSON.parse(readFileSync(join(inject("fixtures"), "pixels.json"), "utf8"));

describe.each(cases)(
  "$image.width x $image.height, $input.channels channels, $ink on $input.ink",
  ({ image, input, ink, stored }) => {
    test("every byte is Pillow's", () => {
      const channels = image.data.length / image.width / image.height;
      const found = asStored({ ...image, channels, data: Uint8Array.from(image.data) }, input, ink);
      expect([...found.data]).toEqual(stored);
    });
  },
);

test("the network sees byte * scale + offset, one channel after the other", async () => {
  const input: ImageInput = { kind: "image", height: 1, width: 2, channels: 3, ink: "light", scale: 2, offset: -1 };
  const seen = await toInput({ height: 1, width: 2, data: Uint8Array.of(1, 2, 3, 4, 5, 6) }, input, "light");
  expect([...seen]).toEqual([1, 7, 3, 9, 5, 11]);
});

test("floats are rounded to bytes, halves to the even one, as numpy does", async () => {
  const input: ImageInput = { kind: "image", height: 1, width: 3, channels: 1, ink: "light", scale: 1, offset: 0 };
  const seen = await toInput({ height: 1, width: 3, data: Float64Array.of(0.5 / 255, 1.5 / 255, 1) }, input, "light");
  expect([...seen]).toEqual([0, 2, 255]);
});
