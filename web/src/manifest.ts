/** What a bundle says of itself (docs/bundle.md); it is checked once, when it is read. */
import { isObject, isSize } from "./checks.ts";
import { ConfigError, FileFormatError, reason } from "./errors.ts";
import { type InputSpec, KIND_NAMES, kindOf, type Reading, type Statistics } from "./inputs/kind.ts";
import { type Layout, networkShape, type TensorLayout } from "./layout.ts";
import { isScale, type ValueScale } from "./values.ts";
import type { Bytes } from "./zip.ts";

/** Version of the bundle format; bundles of other versions are refused by name. */
export const FORMAT = 3;

const MOST_BYTES = 2 ** 20;
const MOST_SIZE = 2 ** 24;

export type Label = string | number | boolean;
/** The size of each axis: a number, or the name of what is counted along it. */
export type Axes = readonly (number | string)[];

/** Shape and type of a tensor of a state; this module runs float32. */
export interface StateTensor {
  readonly shape: Axes;
  readonly dtype: "float32" | "int64";
}

/** The kind of answers, and their number if the learner's head fixes it. */
export interface Target {
  readonly kind: string;
  readonly outputs?: number | null;
  /** Most values that an example may have; null or absent: any number. */
  readonly most?: number | null;
  /** Scale at which the graphs see values; null or absent: as they are. */
  readonly scale?: ValueScale | null;
}

export interface ProgramFacts {
  readonly inputs: Readonly<Record<string, Axes>>;
  readonly outputs: Readonly<Record<string, Axes>>;
  readonly weights: readonly string[];
}

export type ProgramName = "adapt" | "update" | "predict";

export interface Manifest {
  readonly format: number;
  readonly kind: "learner" | "skill";
  readonly learner: { readonly name: string };
  readonly input: InputSpec;
  readonly layout: Layout;
  readonly target: Target;
  /** `update` is there only if the learner continues. */
  readonly programs: Readonly<Partial<Record<ProgramName, ProgramFacts>>>;
  readonly settings: Readonly<Record<string, number>>;
  readonly state: Readonly<Record<string, StateTensor>>;
  readonly continues: boolean;
  /** Probabilities are the softmax of logits / (temperature * ways ** temperature_power). */
  readonly temperature: number;
  readonly temperature_power: number;
  readonly statistics: Statistics;
  readonly unknown?: { readonly threshold: number } | null;
  readonly labels?: readonly Label[];
  readonly reading: Reading;
  readonly parts: Readonly<Record<string, string>>;
}

/** Return the manifest in these bytes: a sound one, of a learner that runs here.
 *
 * It throws a FileFormatError for one that is damaged or of another format, and a ConfigError for a learner that this module cannot run.
 */
export function parseManifest(content: Bytes): Manifest {
  const found = parseObject(content);
  checkFormat(found["format"]);
  refuseTorch(found);
  const manifest = { temperature: 1, temperature_power: 0, statistics: {}, reading: {}, settings: {}, ...found } as unknown as Manifest;
  for (const check of [keyFaults, partFaults]) {
    // what contradicts another key is looked for when every key alone is right
    for (const [key, valid] of Object.entries(check(manifest))) {
      if (!valid) throw damaged(key, manifest[key as keyof Manifest]);
    }
  }
  checkThatItRuns(manifest);
  return manifest;
}

/** Return the names of a learner's programs: `update` only if it goes on from a state without forgetting. */
export function programNames(continues: boolean): ProgramName[] {
  return continues ? ["adapt", "update", "predict"] : ["adapt", "predict"];
}

function damaged(key: string, value: unknown): FileFormatError {
  const text = JSON.stringify(value) ?? "missing";
  return new FileFormatError(
    `manifest.json has the ${key} ${text.slice(0, 200)}, which is not what docs/bundle.md says. Export the learner again.`,
  );
}

function parseObject(content: Bytes): Record<string, unknown> {
  if (content.length > MOST_BYTES)
    throw new FileFormatError(`manifest.json has ${content.length} bytes; expected at most ${MOST_BYTES}.`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content)) ?? {};
  } catch (thrown) {
    throw new FileFormatError(`manifest.json is no JSON (${reason(thrown)}). Get the file again.`);
  }
}

/** Throw a FileFormatError for a bundle of another version, which says what to do. */
function checkFormat(format: unknown): void {
  if (format === FORMAT) return;
  if (!Number.isInteger(format) || (format as number) < 1) {
    throw new FileFormatError(
      `manifest.json has the format ${JSON.stringify(format)}; expected ${FORMAT}. Export the learner again.`,
    );
  }
  const remedy =
    (format as number) > FORMAT
      ? "update quickstudy"
      : "export the learner again, and adapt it again to its examples";
  throw new FileFormatError(`the file has bundle format ${format}; this module reads format ${FORMAT}: ${remedy}.`);
}

/** Throw a ConfigError for a bundle that holds a learner for PyTorch in place of graphs. */
function refuseTorch({ parts }: Record<string, unknown>): void {
  if (!isObject(parts) || !("learner.safetensors" in parts)) return;
  throw new ConfigError(
    "the file holds a learner for PyTorch (learner.safetensors), which no browser runs. Export it first: quickstudy export.",
  );
}

/** Throw a ConfigError for a sound learner that this module cannot run. */
function checkThatItRuns({ target, layout, state }: Manifest): void {
  if (target.kind !== "classes" && target.kind !== "values")
    throw new ConfigError(`the learner answers with ${target.kind}; this module runs classes and values. Use quickstudy.runtime.`);
  for (const [name, { dtype }] of [...Object.entries(layout), ...Object.entries(state)]) {
    if (dtype === "int64") {
      const where = name in layout ? "input" : "state";
      throw new ConfigError(`${name} in the learner's ${where} is int64; this module runs float32. Use quickstudy.runtime.`);
    }
  }
}

/** Return whether each key is what it must be. */
function keyFaults(found: Manifest): Record<string, boolean> {
  const { target, programs, unknown } = found;
  return {
    kind: found.kind === "learner" || found.kind === "skill",
    learner: typeof found.learner?.name === "string",
    input: typeof found.input?.kind === "string",
    layout: isObject(found.layout) && Object.values(found.layout).every(isLayout),
    target: isTarget(target),
    programs: isObject(programs) && Object.values(programs).every(isProgram),
    settings: isNumbers(found.settings),
    state: isObject(found.state) && Object.values(found.state).every(isStateTensor),
    continues: typeof found.continues === "boolean",
    temperature: Number.isFinite(found.temperature) && found.temperature > 0,
    temperature_power: Number.isFinite(found.temperature_power),
    statistics: isNumbers(found.statistics),
    unknown: unknown == null || Number.isFinite(unknown.threshold),
    labels: found.kind === "learner" || target?.kind !== "classes" || areLabels(found.labels),
    reading: isObject(found.reading) && Object.values(found.reading).every((value) => typeof value === "string"),
    parts: isObject(found.parts) && Object.values(found.parts).every((hash) => /^[0-9a-f]{64}$/.test(hash)),
  };
}

/** Return whether each key agrees with the others; a ConfigError says that no file of `inputs/` reads the kind of input. */
function partFaults(found: Manifest): Record<string, boolean> {
  const { input, layout, target, programs, labels } = found;
  if (!KIND_NAMES.includes(input.kind)) {
    throw new ConfigError(
      `the learner's input is ${input.kind}; this module reads ${KIND_NAMES.slice(0, -1).join(", ")} and ${KIND_NAMES.at(-1)}. Use quickstudy.runtime.`,
    );
  }
  const expected = kindOf(input).axes(input);
  const names = programNames(found.continues);
  const classes = target.kind !== "classes" || found.kind === "learner" || target.outputs == null;
  return {
    input: expected !== null,
    layout: expected !== null && isLayoutOf(layout, expected),
    programs: sameNames(programs, names) && takesExamples(programs.adapt!, layout, target.outputs ?? "way"),
    labels: classes || labels!.length === target.outputs,
  };
}

function isLayoutOf(layout: Layout, expected: Readonly<Record<string, readonly number[]>>): boolean {
  const fits = ([name, axes]: [string, readonly number[]]) => isEqual(layout[name]!.axes, axes);
  return sameNames(layout, Object.keys(expected)) && Object.entries(expected).every(fits);
}

function takesExamples({ inputs }: ProgramFacts, layout: Layout, ways: number | string): boolean {
  const fits = ([name, part]: [string, TensorLayout]) =>
    isEqual(inputs[`support.${name}`], ["example", ...networkShape(part)]);
  return isEqual(inputs["support.y"], ["example", ways]) && Object.entries(layout).every(fits);
}

function sameNames(found: object, expected: readonly string[]): boolean {
  return isEqual(Object.keys(found).sort(), [...expected].sort());
}

function isEqual(found: Axes | undefined, expected: Axes): boolean {
  return found?.length === expected.length && expected.every((axis, at) => axis === found[at]);
}

function isLayout(found: TensorLayout | null): boolean {
  const { axes, order, dtype, scale, offset, open } = found ?? ({} as Partial<TensorLayout>);
  const sizes = Array.isArray(axes) && axes.every((size) => isSize(size, MOST_SIZE));
  const ordered = sizes && Array.isArray(order) && isEqual([...order].sort(), [...axes.keys()]);
  return ordered && ["uint8", "float32", "int64"].includes(dtype!) && isNumbers({ scale, offset }) && typeof (open ?? false) === "boolean";
}

function isTarget(target: Target | null | undefined): boolean {
  const sized = [target?.outputs, target?.most].every((size) => size == null || isSize(size, MOST_SIZE));
  return typeof target?.kind === "string" && sized && (target.scale == null || isScale(target.scale));
}

function isProgram(program: ProgramFacts | undefined): boolean {
  const shapes = [program?.inputs, program?.outputs];
  return shapes.every((found) => isObject(found) && Object.values(found).every(isAxes)) && Array.isArray(program?.weights);
}

function isStateTensor(found: StateTensor | null): boolean {
  return isAxes(found?.shape) && (found?.dtype === "float32" || found?.dtype === "int64");
}

function isAxes(value: unknown): boolean {
  return Array.isArray(value) && value.every((axis) => typeof axis === "string" || (Number.isInteger(axis) && axis >= 0));
}

function isNumbers(found: unknown): boolean {
  return isObject(found) && Object.values(found).every(Number.isFinite);
}

function areLabels(found: unknown): boolean {
  return Array.isArray(found) && found.length > 0 && found.every(isLabel) && new Set(found).size === found.length;
}

/** Return whether a value can be a label. */
export function isLabel(value: unknown): value is Label {
  return typeof value === "string" || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value));
}
