/** Files that are damaged, foreign, newer, or made to do harm. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { readBundle, writeTask } from "../../src/bundle.ts";
import { parse, parseFloats, serializeFloats } from "../../src/safetensors.ts";
import { type Bytes, unzip, zip } from "../../src/zip.ts";

type Content = Record<string, Bytes>;

const text = (value: string) => new TextEncoder().encode(value) as Bytes;
const program = (weights: string[]) => ({
  inputs: { support_x: ["example", 2], support_y: ["example", "way"] },
  outputs: {},
  weights,
});

/** A small bundle: the graphs are no graphs, which a reader does not look at. */
function contents(changes: object = {}, parts: Content = {}): Content {
  const weight = serializeFloats(new Map([["weight.w", { shape: [2], data: Float32Array.of(1, 2) }]]));
  const all: Content = {
    "adapt.onnx": text("a"),
    "update.onnx": text("u"),
    "predict.onnx": text("p"),
    "weights.safetensors": weight,
    ...parts,
  };
  const hash = (bytes: Bytes) => createHash("sha256").update(bytes).digest("hex");
  const manifest = {
    format: 2,
    kind: "learner",
    learner: { name: "protonet", args: {} },
    input: { kind: "rows", features: 2 },
    objective: "classification",
    programs: { adapt: program(["weight.w"]), update: program(["weight.w"]), predict: program([]) },
    settings: {},
    state: { sums: { shape: ["way", 2], dtype: "float32" } },
    continues: true,
    protocol: "inductive",
    parts: Object.fromEntries(Object.entries(all).map(([name, bytes]) => [name, hash(bytes)])),
    ...changes,
  };
  return { "manifest.json": text(JSON.stringify(manifest)), ...all };
}

function archive(files: Content): Bytes {
  return zipSync(files) as Bytes;
}

const state = (values: number[], shape = [2, 2]) => ({
  "state.safetensors": serializeFloats(new Map([["sums", { shape, data: Float32Array.from(values) }]])),
});
const task = { kind: "task", labels: ["a", "b"] };

/** A part with one tensor of 64-bit whole numbers, all 0. */
function wholeNumbers(name: string, shape: number[]): Bytes {
  const size = 8 * shape.reduce((product, axis) => product * axis, 1);
  const header = text(JSON.stringify({ [name]: { dtype: "I64", shape, data_offsets: [0, size] } }));
  const content = new Uint8Array(8 + header.length + size);
  content.set([header.length]);
  content.set(header, 8);
  return content;
}

test("a sound bundle is read, and its weights are appended to its graphs", async () => {
  const bundle = await readBundle(archive(contents()));
  expect(bundle.learned).toBeNull();
  expect([...bundle.models.predict]).toEqual([...text("p"), 0x3a, 0]); // field 7, of no bytes
  const tensor = [0x08, 2, 0x10, 1, 0x42, 8, ...text("weight.w"), 0x4a, 8, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40];
  expect([...bundle.models.adapt]).toEqual([...text("a"), 0x3a, tensor.length + 2, 0x2a, tensor.length, ...tensor]);
});

test("a task is written as it is read", async () => {
  const bundle = await readBundle(archive(contents(task, state([1, 2, 3, 4]))));
  const written = await writeTask(bundle, { ...bundle.learned!, support: null }, { labels: ["a", "b"] });
  const again = await readBundle(written);
  expect([...again.learned!.state.get("sums")!.data]).toEqual([1, 2, 3, 4]);
  expect(await writeTask(again, again.learned!, {})).toEqual(written); // equal content, equal file
});

describe("refused in words", () => {
  const cases: [string, () => Bytes, RegExp][] = [
    ["cut off", () => archive(contents()).slice(0, 700), /cut off or no zip archive/],
    ["empty", () => new Uint8Array(0), /\(0 bytes\) is cut off/],
    ["foreign", () => archive({ "a.txt": text("a") }), /holds a.txt; expected a bundle with a manifest.json/],
    ["a newer format", () => archive(contents({ format: 3 })), /format 3, .* reads up to 2: update/],
    ["no format", () => archive(contents({ format: "1" })), /the format "1"; expected 2/],
    ["no JSON", () => archive({ ...contents(), "manifest.json": text("{") }), /manifest.json is no JSON/],
    ["JSON that is no object", () => archive({ ...contents(), "manifest.json": text("null") }), /the format undefined/],
    [
      "a wrong input",
      () => archive(contents({ input: { kind: "image", height: -1 } })),
      /the input {"kind":"image","height":-1}/,
    ],
    ["a wrong threshold", () => archive(contents({ unknown: { threshold: "x" } })), /the unknown {"threshold":"x"}/],
    [
      "labels twice",
      () => archive(contents({ kind: "task", labels: ["a", "a"] }, state([1, 2, 3, 4]))),
      /the labels \["a","a"\]/,
    ],
    [
      "a missing part",
      () => {
        const files = contents();
        delete files["update.onnx"];
        return archive(files);
      },
      /lacks update.onnx/,
    ],
    ["an extra part", () => archive({ ...contents(), "run.sh": text("x") }), /holds run.sh, which is no part of a learner/],
    ["a part outside its folder", () => archive(contents({}, { "../x": text("x") })), /holds \.\.\/x/],
    ["a changed part", () => archive({ ...contents(), "adapt.onnx": text("b") }), /adapt.onnx is damaged: its SHA-256/],
    [
      "a graph that names files",
      () => archive(contents({}, { "adapt.onnx": text("..location..") })),
      /adapt.onnx names a file outside/,
    ],
    [
      "a missing weight",
      () => archive(contents({ programs: { adapt: program(["weight.v"]), update: program([]), predict: program([]) } })),
      /needs the weight weight.v/,
    ],
    [
      "a state of another shape",
      () => archive(contents(task, state([1, 2, 3], [3, 1]))),
      /sums in state.safetensors has the shape \[3,1\]; expected \[way,2\]/,
    ],
    [
      "a state of another type",
      () => archive(contents(task, { "state.safetensors": wholeNumbers("sums", [2, 2]) })),
      /sums in state.safetensors is I64; expected F32/,
    ],
    [
      "a state without a type",
      () => archive(contents({ state: { sums: { shape: ["way", 2] } } })),
      /the state {"sums":{"shape":\["way",2\]}}, which is not what docs/,
    ],
    [
      "a state of a type that nobody knows",
      () => archive(contents({ state: { sums: { shape: ["way", 2], dtype: "float8" } } })),
      /the state {"sums":.*"float8"}}, which is not what docs/,
    ],
    ["a state of format 1 in format 2", () => archive(contents({ state: { sums: ["way", 2] } })), /the state {"sums":\["way",2\]}/],
    ["a state with fewer classes", () => archive(contents(task, state([1, 2], [1, 2]))), /has the shape \[1,2\]/],
    [
      "a state that is no number",
      () => archive(contents(task, state([1, 2, Number.NaN, 4]))),
      /sums in state.safetensors holds NaN/,
    ],
    [
      "a task that would forget, without its examples",
      () => archive(contents({ ...task, continues: false }, state([1, 2, 3, 4]))),
      /lacks support.safetensors/,
    ],
  ];
  test.each(cases)("%s", async (_, make, message) => {
    await expect(readBundle(make())).rejects.toThrow(message);
    await expect(readBundle(make())).rejects.toThrow(expect.objectContaining({ name: "FileFormatError" }));
  });
});

test("a state of whole numbers is refused by name, in words that say what runs it", async () => {
  const state = { sums: { shape: ["way", 2], dtype: "int64" } };
  const file = archive(contents({ ...task, state }, { "state.safetensors": wholeNumbers("sums", [2, 2]) }));
  const words = "sums in the learner's state is int64; this module runs float32. Use quickstudy.runtime.";
  await expect(readBundle(file)).rejects.toThrow(expect.objectContaining({ name: "ConfigError", message: words }));
});

test("a file of format 1 is read, and written in the newest with nothing lost", async () => {
  const old = readFileSync(new URL("../../../tests/runtime/format1.qs", import.meta.url));
  const bundle = await readBundle(Uint8Array.from(old));
  expect(bundle.manifest.state).toEqual({
    sums: { shape: ["way", 4], dtype: "float32" },
    counts: { shape: ["way"], dtype: "float32" },
  });
  expect([...bundle.learned!.state.get("counts")!.data]).toEqual([3, 3, 3]);
  const again = await readBundle(await writeTask(bundle, bundle.learned!, {}));
  expect(again.manifest).toEqual({ ...bundle.manifest, parts: again.manifest.parts });
  expect(again.manifest.format).toBe(2);
  expect(again.learned).toEqual(bundle.learned);
});

test("an archive that would fill the memory is refused before it is unpacked", () => {
  const bomb = zipSync({ "weights.safetensors": new Uint8Array(1_000_000) }) as Bytes;
  expect(bomb.length).toBeLessThan(5000);
  expect(() => unzip(bomb, { parts: 16, bytes: 999_999 })).toThrow(/would unpack to 1000000 bytes; expected at most 999999/);
  const many = zipSync(Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`${index}`, new Uint8Array(1)]))) as Bytes;
  expect(() => unzip(many)).toThrow(/more than 16 parts/);
});

test("a size that lies is refused", () => {
  const honest = zip(new Map([["manifest.json", new Uint8Array(1000).fill(7)]]));
  const lying = honest.slice();
  const central = lying.lastIndexOf(0x02, lying.length - 22); // "PK 01 02"
  const view = new DataView(lying.buffer);
  const at = central - 3;
  expect(view.getUint32(at, true)).toBe(0x02014b50);
  view.setUint32(at + 24, 2000, true);
  expect(() => unzip(lying)).toThrow(/manifest.json is damaged|cut off/);
});

describe("safetensors", () => {
  test("are read as they are written", () => {
    const tensors = new Map([
      ["b", { shape: [2, 1], data: Float32Array.of(1.5, -2) }],
      ["a", { shape: [], data: Float32Array.of(3) }],
    ]);
    expect(parseFloats("x", serializeFloats(tensors))).toEqual(tensors);
  });

  const damaged: [string, (bytes: Bytes) => Bytes][] = [
    ["no header", () => text("short")],
    [
      "a header that is too long",
      (bytes) => {
        bytes[6] = 1;
        return bytes;
      },
    ],
    [
      "a header that is no JSON",
      (bytes) => {
        bytes[8] = 0x5b;
        return bytes;
      },
    ],
    ["values that are missing", (bytes) => bytes.slice(0, -4)],
    ["values that belong to nothing", (bytes) => Uint8Array.from([...bytes, 0, 0, 0, 0])],
  ];
  test.each(damaged)("%s is said", (_, change) => {
    const sound = serializeFloats(new Map([["a", { shape: [2], data: Float32Array.of(1, 2) }]]));
    expect(() => parse("x.safetensors", change(sound))).toThrow(/x.safetensors is damaged/);
  });
});
