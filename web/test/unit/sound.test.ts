/** Sounds as Python's pictures, what it refuses, and what it warns of. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { type Example, readAll } from "../../src/inputs/kind.ts";
import { checked, levels, samplesOf, soundKind, type SoundSpec, soundStatistics } from "../../src/inputs/sound.ts";
import { ratioOf, trimmed } from "../../src/inputs/waves.ts";
import type { Layout } from "../../src/layout.ts";

interface Plain {
  channels: string[];
  rate: number;
}

interface Sounds {
  stored: (Plain & {
    name: string;
    input: SoundSpec;
    layout: Layout;
    samples: number;
    levels: number[];
    stored: number[];
    said: string | null;
  })[];
  refused: (Plain & { said: string })[];
  unlike: {
    stored: number[];
    shape: number[];
    statistics: Record<string, number>;
    trained: Record<string, number>;
    said: string | null;
  }[];
}

const cases: Sounds = JSON.parse(readFileSync(join(inject("fixtures"), "sounds.unit.json"), "utf8"));
const { input: usual, layout } = cases.stored[0]!;

/** Return a sound of one channel as its samples, and one of several as a list of them. */
function sound({ channels, rate }: Plain): { samples: Float32Array | Float32Array[]; rate: number } {
  const samples = channels.map((channel) => new Float32Array(Uint8Array.from(Buffer.from(channel, "base64")).buffer));
  return { samples: samples.length > 1 ? samples : samples[0]!, rate };
}

describe.each(cases.stored)("$name", ({ input, layout, samples, levels: expected, stored, said, ...plain }) => {
  test("the picture is Python's: in decibels to 1e-4, and every byte", async () => {
    const given = sound(plain);
    const { wave, rate } = checked(samplesOf(given, "a sound"), "a sound");
    const heard = input.trim ? trimmed(wave, rate) : wave;
    expect(heard.length).toBe(samples);
    const found = levels(heard, rate, input);
    expect(found.length).toBe(expected.length);
    expect(Math.max(...expected.map((level, at) => Math.abs(level - found[at]!)))).toBeLessThan(1e-4);
    const { inputs, remark } = await readAll([given], input, layout, {});
    expect([...inputs.get("sound")!.data]).toEqual(stored);
    expect(remark).toBe(said);
  });
});

test("what a browser decodes, and whole numbers, mean the same as samples", async () => {
  const several = sound(cases.stored.find(({ channels }) => channels.length > 1)!);
  const channels = several.samples as Float32Array[];
  const buffer = {
    numberOfChannels: channels.length,
    sampleRate: several.rate,
    getChannelData: (channel: number) => channels[channel]!,
  } as AudioBuffer;
  const whole = Int16Array.from(channels[0]!, (sample) => sample * 10_000);
  const given = [several, buffer, { samples: whole, rate: 8000 }, { samples: [...whole], rate: 8000 }];
  const { data } = (await readAll(given, usual, layout, {})).inputs.get("sound")!;
  const size = data.length / 4;
  expect(data.subarray(size, 2 * size)).toEqual(data.subarray(0, size));
  expect(data.subarray(3 * size)).toEqual(data.subarray(2 * size, 3 * size));
});

test.each(cases.refused)("refused as in Python: $said", async ({ said, ...plain }) => {
  const fine = sound(cases.stored[0]!);
  await expect(readAll([fine, sound(plain)], usual, layout, {})).rejects.toThrow(said);
});

test("what is no sound is refused by name, in words that say what is one", async () => {
  const read = (given: unknown) => readAll([given as Example], usual, layout, {});
  const one = Float32Array.of(1, 2);
  await expect(read(one)).rejects.toThrow("sound 0 is Float32Array; expected {samples, rate} with a Float32Array");
  await expect(read(null)).rejects.toThrow("sound 0 is null; expected {samples, rate}");
  await expect(read({ samples: "abc", rate: 8000 })).rejects.toThrow("sound 0 is Object whose samples are string; expected");
  await expect(read({ samples: one })).rejects.toThrow("sound 0 has the rate undefined; expected a whole number");
  await expect(read({ samples: [one, one.subarray(1)], rate: 8000 })).rejects.toThrow("channels of 2 and 1 samples");
  await expect(read({ samples: [one, 3], rate: 8000 })).rejects.toThrow("sound 0 has a channel that is number; expected");
  await expect(read({ samples: Array(257).fill(one), rate: 8000 })).rejects.toThrow("sound 0 has 257 channels, which is more than 256");
  await expect(readAll([], usual, layout, {})).rejects.toThrow("no example was given");
  await expect(readAll([sound(cases.stored[0]!)], usual, layout, { ink: "dark" })).rejects.toThrow("sounds have no such option");
});

test("what no sounds have is not what a manifest says", () => {
  expect(soundKind.axes(usual)).toEqual({ sound: [1, 40, 40] });
  const changes = [{ rate: 1000 }, { rate: 8000.5 }, { seconds: 0 }, { seconds: 0.02 }, { seconds: 61 }, { mels: 3 }, { mels: 512 }];
  for (const change of [...changes, { window: 0.5 }, { hop: Number.NaN }, { trim: "yes" as never }])
    expect(soundKind.axes({ ...usual, ...change })).toBeNull();
});

test("ratios of rates have small denominators, as Python's fractions do", () => {
  expect(ratioOf(8000, 44100)).toEqual([80, 441]);
  expect(ratioOf(16000, 8000)).toEqual([2, 1]);
  expect(ratioOf(8000, 12345)).toEqual([429, 662]); // 8000/12345 is 1600/2469
  expect(ratioOf(8000, 44101)).toEqual([119, 656]);
});

describe("sounds unlike those of training", () => {
  test.each(cases.unlike)("$said", ({ stored, shape, statistics, trained, said }) => {
    const tensor = { shape, data: Uint8Array.from(stored) };
    const found = soundStatistics(tensor);
    expect(Object.keys(found)).toEqual(Object.keys(statistics));
    for (const [name, value] of Object.entries(statistics)) expect(found[name]).toBeCloseTo(value, 12);
    const inputs = new Map([["sound", tensor]]);
    expect(soundKind.unlike(inputs, layout, usual, trained)).toBe(said);
    expect(soundKind.unlike(inputs, layout, usual, {})).toBeNull();
  });
});
