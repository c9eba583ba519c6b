/** The file that holds a learner, or a learner that has learned a task (docs/bundle.md). */
import { FileFormatError } from "./errors.ts";
import { type Axes, type Manifest, parseManifest, type ProgramName, PROGRAMS } from "./manifest.ts";
import { refuseExternalData, withWeights } from "./onnx.ts";
import { parse, parseFloats, serializeFloats, type Values } from "./safetensors.ts";
import { type Bytes, type Parts, unzip, zip } from "./zip.ts";

export type State = ReadonlyMap<string, Values>;

/** Examples as the network sees them: `x` `[example, ...]`, `y` one-hot `[example, way]`. */
export interface Examples {
  readonly x: Values;
  readonly y: Values;
}

/** What a task knows. */
export interface Learned {
  readonly state: State;
  /** The examples themselves, for a learner that would forget them when it goes on. */
  readonly support: Examples | null;
}

export interface Bundle {
  readonly manifest: Manifest;
  /** Every part but the manifest. */
  readonly parts: Parts;
  /** The ONNX models, with their weights. */
  readonly models: Readonly<Record<ProgramName, Bytes>>;
  /** In an adapted task only. */
  readonly learned: Learned | null;
}

const MANIFEST = "manifest.json";
const [WEIGHTS, STATE, SUPPORT] = ["weights.safetensors", "state.safetensors", "support.safetensors"];

/** The bundle in these bytes, or a FileFormatError; a ConfigError for a state that does not run here. */
export async function readBundle(archive: Bytes): Promise<Bundle> {
  const all = unzip(archive);
  const text = all.get(MANIFEST);
  if (text === undefined) {
    throw new FileFormatError(
      `the file holds ${[...all.keys()].join(", ") || "nothing"}; expected a bundle with a ${MANIFEST}.`,
    );
  }
  const manifest = parseManifest(text);
  const parts = new Map([...all].filter(([name]) => name !== MANIFEST));
  checkNames(manifest, parts);
  await checkHashes(manifest, parts);
  return {
    manifest,
    parts,
    models: models(manifest, parts),
    learned: manifest.kind === "task" ? learned(manifest, parts) : null,
  };
}

/** The file of a task that `bundle`'s learner has learned. */
export async function writeTask(bundle: Bundle, learned: Learned, facts: Partial<Manifest>): Promise<Bytes> {
  const parts = new Map([...bundle.parts].filter(([name]) => name !== STATE && name !== SUPPORT));
  parts.set(STATE, serializeFloats(learned.state));
  if (learned.support !== null) parts.set(SUPPORT, serializeFloats(new Map(Object.entries(learned.support))));
  const hashes: Record<string, string> = {};
  for (const [name, content] of parts) hashes[name] = await sha256(content);
  const manifest = { ...bundle.manifest, ...facts, kind: "task", parts: hashes };
  return zip(new Map([[MANIFEST, new TextEncoder().encode(JSON.stringify(manifest, null, 1))], ...parts]));
}

/** A FileFormatError where values do not have the shape that `axes` says, with sizes for its names. */
export function checkShape(name: string, values: Values | undefined, axes: Axes, sizes: Record<string, number>): void {
  const agrees = (axis: string | number, size: number) => {
    const expected = typeof axis === "number" ? axis : sizes[axis];
    return expected === undefined || expected === size;
  };
  const fits = values?.shape.length === axes.length && axes.every((axis, index) => agrees(axis, values.shape[index]!));
  if (!fits) throw new FileFormatError(`${name} has the shape [${values?.shape}]; expected [${axes}]. Save the task again.`);
}

function expectedParts(manifest: Manifest): string[] {
  const state = manifest.kind === "task" ? [STATE!, ...(manifest.continues ? [] : [SUPPORT!])] : [];
  return [...PROGRAMS.map((name) => `${name}.onnx`), WEIGHTS!, ...state];
}

function checkNames(manifest: Manifest, parts: Parts): void {
  const expected = expectedParts(manifest);
  const missing = expected.filter((name) => !parts.has(name) || !(name in manifest.parts));
  const extra = [...parts.keys(), ...Object.keys(manifest.parts)].filter((name) => !expected.includes(name));
  if (missing.length > 0)
    throw new FileFormatError(`the file lacks ${missing.join(", ")}; get it again, or export the learner again.`);
  if (extra.length > 0)
    throw new FileFormatError(
      `the file holds ${extra.join(", ")}, which is no part of a ${manifest.kind}. Export the learner again.`,
    );
}

async function checkHashes(manifest: Manifest, parts: Parts): Promise<void> {
  for (const [name, content] of parts) {
    const found = await sha256(content);
    if (found !== manifest.parts[name]) {
      throw new FileFormatError(
        `${name} is damaged: its SHA-256 is ${found}; expected ${manifest.parts[name]}. Get the file again.`,
      );
    }
  }
}

function models(manifest: Manifest, parts: Parts): Record<ProgramName, Bytes> {
  const weights = parse(WEIGHTS!, parts.get(WEIGHTS!)!);
  const model = (name: ProgramName): Bytes => {
    const graph = parts.get(`${name}.onnx`)!;
    refuseExternalData(`${name}.onnx`, graph);
    const needed = manifest.programs[name].weights.map((weight) => {
      const tensor = weights.get(weight);
      if (tensor === undefined)
        throw new FileFormatError(`${name}.onnx needs the weight ${weight}, which ${WEIGHTS} lacks. Export the learner again.`);
      return [weight, tensor] as const;
    });
    return withWeights(graph, new Map(needed));
  };
  return { adapt: model("adapt"), update: model("update"), predict: model("predict") };
}

function learned(manifest: Manifest, parts: Parts): Learned {
  const ways = { way: manifest.labels!.length };
  const state = parseFloats(STATE!, parts.get(STATE!)!);
  const extra = [...state.keys()].filter((name) => !(name in manifest.state));
  if (extra.length > 0)
    throw new FileFormatError(`${STATE} holds ${extra.join(", ")}, which is no part of this learner's state.`);
  for (const [name, { shape }] of Object.entries(manifest.state))
    checkShape(`${name} in ${STATE}`, state.get(name), shape, ways);
  for (const [name, { data }] of state) {
    if (!data.every(Number.isFinite)) throw new FileFormatError(`${name} in ${STATE} holds NaN or infinity. Adapt again.`);
  }
  if (manifest.continues) return { state, support: null };
  const support = parseFloats(SUPPORT!, parts.get(SUPPORT!)!);
  const { support_x: xAxes, support_y: yAxes } = manifest.programs.adapt.inputs;
  const sizes = { ...ways, example: support.get("y")?.shape[0] ?? 0 };
  checkShape(`x in ${SUPPORT}`, support.get("x"), xAxes!, sizes);
  checkShape(`y in ${SUPPORT}`, support.get("y"), yAxes!, sizes);
  return { state, support: { x: support.get("x")!, y: support.get("y")! } };
}

async function sha256(content: Bytes): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new FileFormatError(
      "this page may not check the file's SHA-256, as it is not served securely; use https or localhost.",
    );
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
