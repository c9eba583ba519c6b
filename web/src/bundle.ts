/** The file that holds a learner, or a skill: a learner that has learned a task (docs/bundle.md). */
import { FileFormatError } from "./errors.ts";
import type { Inputs } from "./layout.ts";
import { type Axes, type Manifest, parseManifest, type ProgramName, programNames } from "./manifest.ts";
import { refuseExternalData, withWeights } from "./onnx.ts";
import { isFloat, parse, parseNumbers, serialize, type Tensor, type Values } from "./safetensors.ts";
import { type Bytes, type Parts, unzip, zip } from "./zip.ts";

export type State = ReadonlyMap<string, Values>;

/** Examples: inputs as their kind stores them, and `y`: one-hot `[example, way]`, or values `[example, output]`. */
export interface Examples {
  readonly inputs: Inputs;
  readonly y: Values;
}

/** What a skill knows. */
export interface Learned {
  readonly state: State;
  /** The examples themselves, if the learner would forget them when it goes on, or if they were to be kept. */
  readonly support: Examples | null;
}

export interface Bundle {
  readonly manifest: Manifest;
  /** Every part but the manifest. */
  readonly parts: Parts;
  /** The ONNX models, with their weights. */
  readonly models: ReadonlyMap<ProgramName, Bytes>;
  /** What a skill knows; null for a learner. */
  readonly learned: Learned | null;
}

const MANIFEST = "manifest.json";
const WEIGHTS = "weights.safetensors";
const STATE = "state.safetensors";
const SUPPORT = "support.safetensors";

/** Return the bundle in these bytes; a FileFormatError says what is wrong, and a ConfigError that it does not run here. */
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
    learned: manifest.kind === "skill" ? learned(manifest, parts) : null,
  };
}

/** Return the file of a skill, with its learner. */
export async function writeSkill(bundle: Bundle, learned: Learned, facts: Partial<Manifest>): Promise<Bytes> {
  const parts = new Map([...bundle.parts].filter(([name]) => name !== STATE && name !== SUPPORT));
  parts.set(STATE, serialize(learned.state));
  const { support } = learned;
  if (support !== null) parts.set(SUPPORT, serialize(new Map<string, Tensor>([...support.inputs, ["y", support.y]])));
  const hashes: Record<string, string> = {};
  for (const [name, content] of parts) hashes[name] = await sha256(content);
  const manifest = { ...bundle.manifest, ...facts, kind: "skill", parts: hashes };
  return zip(new Map([[MANIFEST, new TextEncoder().encode(JSON.stringify(manifest, null, 1))], ...parts]));
}

/** Throw a FileFormatError unless a tensor has the shape that `axes` says, with sizes for its names, and the right type. */
function checkTensor(name: string, tensor: Tensor | undefined, axes: Axes, sizes: Record<string, number>, dtype = "float32"): void {
  const agrees = (axis: string | number, size: number) => {
    const expected = typeof axis === "number" ? axis : sizes[axis];
    return expected === undefined || expected === size;
  };
  const fits = tensor?.shape.length === axes.length && axes.every((axis, index) => agrees(axis, tensor.shape[index]!));
  if (!fits) throw new FileFormatError(`${name} has the shape [${tensor?.shape}]; expected [${axes}]. Adapt the learner again.`);
  const type = isFloat(tensor) ? "float32" : "uint8";
  if (type !== dtype) throw new FileFormatError(`${name} is ${type}; expected ${dtype}. Adapt the learner again.`);
  if (isFloat(tensor) && !tensor.data.every(Number.isFinite))
    throw new FileFormatError(`${name} holds NaN or infinity. Adapt the learner again.`);
}

function checkNames(manifest: Manifest, parts: Parts): void {
  const skill = manifest.kind === "skill";
  const needed = [
    ...programNames(manifest.continues).map((name) => `${name}.onnx`),
    WEIGHTS,
    ...(skill ? [STATE] : []),
    ...(skill && !manifest.continues ? [SUPPORT] : []),
  ];
  const allowed = skill ? [...needed, SUPPORT] : needed;
  const missing = needed.filter((name) => !parts.has(name) || !(name in manifest.parts));
  const extra = [...parts.keys(), ...Object.keys(manifest.parts)].filter((name) => !allowed.includes(name));
  if (missing.length > 0)
    throw new FileFormatError(`the file lacks ${missing.join(", ")}; get it again, or export the learner again.`);
  if (extra.length > 0)
    throw new FileFormatError(
      `the file holds ${extra.join(", ")}, which is no part of such a ${manifest.kind}. Export the learner again.`,
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

function models(manifest: Manifest, parts: Parts): Map<ProgramName, Bytes> {
  const weights = parse(WEIGHTS, parts.get(WEIGHTS)!);
  const model = (name: ProgramName): Bytes => {
    const graph = parts.get(`${name}.onnx`)!;
    refuseExternalData(`${name}.onnx`, graph);
    const needed = manifest.programs[name]!.weights.map((weight) => {
      const tensor = weights.get(weight);
      if (tensor === undefined)
        throw new FileFormatError(`${name}.onnx needs the weight ${weight}, which ${WEIGHTS} lacks. Export the learner again.`);
      return [weight, tensor] as const;
    });
    return withWeights(graph, new Map(needed));
  };
  return new Map(programNames(manifest.continues).map((name) => [name, model(name)]));
}

function learned(manifest: Manifest, parts: Parts): Learned {
  const found = parseNumbers(STATE, parts.get(STATE)!);
  const extra = [...found.keys()].filter((name) => !(name in manifest.state));
  if (extra.length > 0)
    throw new FileFormatError(`${STATE} holds ${extra.join(", ")}, which is no part of this learner's state.`);
  for (const [name, { shape }] of Object.entries(manifest.state))
    checkTensor(`${name} in ${STATE}`, found.get(name), shape, sizes(manifest));
  return { state: found as Map<string, Values>, support: parts.has(SUPPORT) ? support(manifest, parts.get(SUPPORT)!) : null };
}

function support(manifest: Manifest, content: Bytes): Examples {
  const inputs = parseNumbers(SUPPORT, content);
  const y = inputs.get("y");
  inputs.delete("y");
  checkTensor(`y in ${SUPPORT}`, y, ["example", manifest.target.outputs ?? "way"], sizes(manifest));
  const extra = [...inputs.keys()].filter((name) => !(name in manifest.layout));
  if (extra.length > 0) throw new FileFormatError(`${SUPPORT} holds ${extra.join(", ")}, which is no part of the learner's input.`);
  for (const [name, { axes, dtype }] of Object.entries(manifest.layout))
    checkTensor(`${name} in ${SUPPORT}`, inputs.get(name), ["example", ...axes], { example: y!.shape[0]! }, dtype);
  return { inputs, y: y as Values };
}

/** Return the sizes of the axes that the labels determine; values have no labels. */
function sizes({ target, labels }: Manifest): Record<string, number> {
  return target.kind === "classes" ? { way: labels!.length } : {};
}

async function sha256(content: Bytes): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new FileFormatError(
      "this page may not check the file's SHA-256, because it is not served securely; use https or localhost.",
    );
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
