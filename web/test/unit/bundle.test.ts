/** Files that are damaged, foreign, older, newer, or made to do harm. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { readBundle, writeSkill } from "../../src/bundle.ts";
import { parse, parseNumbers, serialize, type Tensor } from "../../src/safetensors.ts";
import { type Bytes, unzip, zip } from "../../src/zip.ts";

type Content = Record<string, Bytes>;

const text = (value: string) => new TextEncoder().encode(value) as Bytes;
const program = (weights: string[]) => ({
  inputs: { "support.rows": ["example", 2], "support.y": ["example", "way"] },
  outputs: {},
  weights,
});

const rows = { axes: [2], order: [0], dtype: "float32", scale: 1, offset: 0 };

/** Return the parts of a small bundle; its graphs are no graphs, which a reader does not look at. */
function contents(changes: object = {}, parts: Content = {}): Content {
  const weight = serialize(new Map([["weight.w", { shape: [2], data: Float32Array.of(1, 2) }]]));
  const all: Content = {
    "adapt.onnx": text("a"),
    "update.onnx": text("u"),
    "predict.onnx": text("p"),
    "weights.safetensors": weight,
    ...parts,
  };
  const manifest = {
    format: 3,
    kind: "learner",
    learner: { name: "protonet", args: {} },
    input: { kind: "rows", features: 2 },
    layout: { rows },
    target: { kind: "classes" },
    programs: { adapt: program(["weight.w"]), update: program(["weight.w"]), predict: program([]) },
    settings: {},
    state: { sums: { shape: ["way", 2], dtype: "float32" } },
    continues: true,
    protocol: "inductive",
    parts: hashes(all),
    ...changes,
  };
  return { "manifest.json": text(JSON.stringify(manifest)), ...all };
}

/** Return the SHA-256 of every part but the manifest. */
function hashes(parts: Record<string, Bytes | undefined>): Record<string, string> {
  const given = Object.entries(parts).filter(([name, bytes]) => name !== "manifest.json" && bytes !== undefined);
  return Object.fromEntries(given.map(([name, bytes]) => [name, createHash("sha256").update(bytes!).digest("hex")]));
}

function archive(files: Content): Bytes {
  return zipSync(files) as Bytes;
}

const state = (values: number[], shape = [2, 2]) => ({
  "state.safetensors": serialize(new Map([["sums", { shape, data: Float32Array.from(values) }]])),
});
const skill = { kind: "skill", labels: ["a", "b"] };

/** Return a part that holds examples of a skill. */
const examples = (inputs: [string, Tensor][], y: number[]) => {
  const given = { shape: [y.length / 2, 2], data: Float32Array.from(y) };
  return { "support.safetensors": serialize(new Map<string, Tensor>([...inputs, ["y", given]])) };
};
const bytes: Tensor = { shape: [2, 2], data: Uint8Array.of(1, 2, 3, 4) };
const twoRows: Tensor = { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };

/** Return a part with one tensor of 64-bit whole numbers, all 0. */
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
  expect([...bundle.models.get("predict")!]).toEqual([...text("p"), 0x3a, 0]); // field 7, of no bytes
  const tensor = [0x08, 2, 0x10, 1, 0x42, 8, ...text("weight.w"), 0x4a, 8, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40];
  expect([...bundle.models.get("adapt")!]).toEqual([...text("a"), 0x3a, tensor.length + 2, 0x2a, tensor.length, ...tensor]);
});

test("a skill is written as it is read", async () => {
  const bundle = await readBundle(archive(contents(skill, state([1, 2, 3, 4]))));
  const written = await writeSkill(bundle, { ...bundle.learned!, support: null }, { labels: ["a", "b"] });
  const again = await readBundle(written);
  expect([...again.learned!.state.get("sums")!.data]).toEqual([1, 2, 3, 4]);
  expect(await writeSkill(again, again.learned!, {})).toEqual(written); // equal content, equal file
});

test("examples that a skill keeps are read and written as they are stored", async () => {
  const kept = examples([["rows", twoRows]], [1, 0, 0, 1]);
  const bundle = await readBundle(archive(contents(skill, { ...state([1, 2, 3, 4]), ...kept })));
  expect(bundle.learned!.support!.inputs).toEqual(new Map([["rows", twoRows]]));
  expect([...bundle.learned!.support!.y.data]).toEqual([1, 0, 0, 1]);
  const again = await readBundle(await writeSkill(bundle, bundle.learned!, {}));
  expect(again.learned).toEqual(bundle.learned);
});

test("a learner that would forget has no update", async () => {
  const files = contents({
    continues: false,
    programs: { adapt: program(["weight.w"]), predict: program([]) },
    parts: hashes({ ...contents(), "update.onnx": undefined }),
  });
  delete files["update.onnx"];
  expect([...(await readBundle(archive(files))).models.keys()]).toEqual(["adapt", "predict"]);
});

describe("refused in words", () => {
  const cases: [string, () => Bytes, RegExp][] = [
    ["cut off", () => archive(contents()).slice(0, 700), /cut off or no zip archive/],
    ["empty", () => new Uint8Array(0), /\(0 bytes\) is cut off/],
    ["foreign", () => archive({ "a.txt": text("a") }), /holds a.txt; expected a bundle with a manifest.json/],
    ["a newer format", () => archive(contents({ format: 4 })), /bundle format 4; .* reads format 3: update quickstudy/],
    ["format 1", () => archive(contents({ format: 1 })), /bundle format 1; .* format 3: export the learner again, and adapt/],
    ["format 2", () => archive(contents({ format: 2 })), /bundle format 2; .* format 3: export the learner again, and adapt/],
    ["no format", () => archive(contents({ format: "1" })), /the format "1"; expected 3/],
    ["no JSON", () => archive({ ...contents(), "manifest.json": text("{") }), /manifest.json is no JSON/],
    ["JSON that is no object", () => archive({ ...contents(), "manifest.json": text("null") }), /the format undefined/],
    [
      "a wrong size",
      () => archive(contents({ input: { kind: "image", height: -1 } })),
      /the input {"kind":"image","height":-1}/,
    ],
    ["a wrong threshold", () => archive(contents({ unknown: { threshold: "x" } })), /the unknown {"threshold":"x"}/],
    [
      "labels twice",
      () => archive(contents({ kind: "skill", labels: ["a", "a"] }, state([1, 2, 3, 4]))),
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
    ["an extra part", () => archive({ ...contents(), "run.sh": text("x") }), /holds run.sh, which is no part of such a learner/],
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
      () => archive(contents(skill, state([1, 2, 3], [3, 1]))),
      /sums in state.safetensors has the shape \[3,1\]; expected \[way,2\]/,
    ],
    [
      "a state of another type",
      () => archive(contents(skill, { "state.safetensors": wholeNumbers("sums", [2, 2]) })),
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
    ["a state of a shape alone", () => archive(contents({ state: { sums: ["way", 2] } })), /the state {"sums":\["way",2\]}/],
    ["a layout of another input", () => archive(contents({ layout: { rows: { ...rows, axes: [3] } } })), /the layout {"rows":/],
    ["an order of other axes", () => archive(contents({ layout: { rows: { ...rows, order: [1] } } })), /the layout {"rows":/],
    ["a temperature of 0", () => archive(contents({ temperature: 0 })), /the temperature 0,/],
    ["a power in words", () => archive(contents({ temperature_power: "one" })), /the temperature_power "?one"?,/],
    ["statistics that are texts", () => archive(contents({ statistics: { scale: "x" } })), /the statistics {"scale":"x"}/],
    ["a reading that is no text", () => archive(contents({ reading: { ink: 1 } })), /the reading {"ink":1}/],
    [
      "a scale of values without spreads",
      () => archive(contents({ target: { kind: "values", scale: { names: ["a"], location: [0], spread: [] } } })),
      /the target/,
    ],
    ["a head of another width", () => archive(contents({ target: { kind: "classes", outputs: 3 } })), /the programs /],
    [
      "examples of another type",
      () => archive(contents(skill, { ...state([1, 2, 3, 4]), ...examples([["rows", bytes]], [1, 0, 0, 1]) })),
      /rows in support.safetensors is uint8; expected float32/,
    ],
    [
      "fewer examples than answers",
      () => archive(contents(skill, { ...state([1, 2, 3, 4]), ...examples([["rows", twoRows]], [1, 0]) })),
      /rows in support.safetensors has the shape \[2,2\]; expected \[example,2\]/,
    ],
    [
      "examples of other parts",
      () => archive(contents(skill, { ...state([1, 2, 3, 4]), ...examples([["a", twoRows], ["rows", twoRows]], [1, 0, 0, 1]) })),
      /support.safetensors holds a, which is no part of the learner's input/,
    ],
    ["a state with fewer classes", () => archive(contents(skill, state([1, 2], [1, 2]))), /has the shape \[1,2\]/],
    [
      "a state that is no number",
      () => archive(contents(skill, state([1, 2, Number.NaN, 4]))),
      /sums in state.safetensors holds NaN/,
    ],
    [
      "a skill that would forget, without its examples",
      () => {
        const programs = { adapt: program(["weight.w"]), predict: program([]) };
        return archive(contents({ ...skill, continues: false, programs }, state([1, 2, 3, 4])));
      },
      /lacks support.safetensors/,
    ],
  ];
  test.each(cases)("%s", async (_, make, message) => {
    await expect(readBundle(make())).rejects.toThrow(message);
    await expect(readBundle(make())).rejects.toThrow(expect.objectContaining({ name: "FileFormatError" }));
  });
});

describe("a sound file that does not run here is refused by name, in words that say what runs it", () => {
  const cases: [string, Content, string][] = [
    [
      "a state of whole numbers",
      contents(
        { ...skill, state: { sums: { shape: ["way", 2], dtype: "int64" } } },
        { "state.safetensors": wholeNumbers("sums", [2, 2]) },
      ),
      "sums in the learner's state is int64; this module runs float32. Use quickstudy.runtime.",
    ],
    [
      "ranks",
      contents({ target: { kind: "ranks" } }),
      "the learner answers with ranks; this module runs classes and values. Use quickstudy.runtime.",
    ],
    [
      "another kind of input",
      contents({ input: { kind: "molecule", bits: 9 } }),
      "the learner's input is molecule; this module reads image, rows, sound, table and text. Use quickstudy.runtime.",
    ],
    [
      "a learner for PyTorch",
      contents({ programs: {}, state: {} }, { "learner.safetensors": text("x") }),
      "the file holds a learner for PyTorch (learner.safetensors), which no browser runs. Export it first: quickstudy export.",
    ],
  ];
  test.each(cases)("%s", async (_, files, message) => {
    await expect(readBundle(archive(files))).rejects.toThrow(expect.objectContaining({ name: "ConfigError", message }));
  });
});

test.each(["learner", "skill", "forgetful"])("the %s of 0.2.0 is read, and written with nothing lost", async (name) => {
  const file = readFileSync(new URL(`../../../tests/runtime/${name}-0.2.0.qs`, import.meta.url));
  const bundle = await readBundle(Uint8Array.from(file));
  expect(bundle.manifest.format).toBe(3);
  expect(bundle.learned === null).toBe(name === "learner");
  if (bundle.learned === null) return;
  expect(bundle.manifest.labels).toEqual(["a", "b", "c"]);
  expect([...bundle.learned.state.get("counts")!.data]).toEqual([3, 3, 3]);
  expect(bundle.learned.support?.inputs.get("rows")!.shape).toEqual(name === "forgetful" ? [9, 6] : undefined);
  const again = await readBundle(await writeSkill(bundle, bundle.learned, {}));
  expect(again.manifest).toEqual({ ...bundle.manifest, parts: again.manifest.parts });
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
    const tensors = new Map<string, Tensor>([
      ["c", { shape: [3], data: Uint8Array.of(1, 2, 255) }],
      ["b", { shape: [2, 1], data: Float32Array.of(1.5, -2) }],
      ["a", { shape: [], data: Float32Array.of(3) }],
    ]);
    expect(parseNumbers("x", serialize(tensors))).toEqual(tensors);
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
    const sound = serialize(new Map([["a", { shape: [2], data: Float32Array.of(1, 2) }]]));
    expect(() => parse("x.safetensors", change(sound))).toThrow(/x.safetensors is damaged/);
  });
});
