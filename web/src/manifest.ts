/** What a bundle says of itself (docs/bundle.md), checked once, where it enters. */
import { ConfigError, FileFormatError, reason } from "./errors.ts";
import type { Bytes } from "./zip.ts";

/** Newest version of the bundle that is understood here; older ones are read as if they were of this one. */
export const FORMAT = 2;

const MOST_BYTES = 2 ** 20;

export type Ink = "dark" | "light";
export type Label = string | number | boolean;
/** The size of each axis: a number, or the name of what is counted along it. */
export type Axes = readonly (number | string)[];

/** Shape and type of a tensor of a state; float32 is the type that this module runs. */
export interface TensorLayout {
  readonly shape: Axes;
  readonly dtype: "float32" | "int64";
}

export interface ImageInput {
  readonly kind: "image";
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly ink: Ink;
  /** The network sees `byte * scale + offset`. */
  readonly scale: number;
  readonly offset: number;
}

export interface RowsInput {
  readonly kind: "rows";
  readonly features: number;
}

export interface ProgramFacts {
  readonly inputs: Readonly<Record<string, Axes>>;
  readonly outputs: Readonly<Record<string, Axes>>;
  readonly weights: readonly string[];
}

export type ProgramName = "adapt" | "update" | "predict";

export interface Manifest {
  readonly format: number;
  readonly kind: "learner" | "task";
  readonly learner: { readonly name: string };
  readonly input: ImageInput | RowsInput;
  readonly objective: "classification" | "regression";
  readonly programs: Readonly<Record<ProgramName, ProgramFacts>>;
  readonly settings: Readonly<Record<string, number>>;
  readonly state: Readonly<Record<string, TensorLayout>>;
  readonly continues: boolean;
  readonly unknown?: { readonly threshold: number } | null;
  readonly labels?: readonly Label[];
  readonly ink?: Ink | null;
  readonly parts: Readonly<Record<string, string>>;
}

export const PROGRAMS: readonly ProgramName[] = ["adapt", "update", "predict"];

/** The manifest in these bytes, or a FileFormatError; a ConfigError where its state has a type that does not run here. */
export function parseManifest(content: Bytes): Manifest {
  if (content.length > MOST_BYTES)
    throw new FileFormatError(`manifest.json has ${content.length} bytes; expected at most ${MOST_BYTES}.`);
  let found: Record<string, unknown>;
  try {
    found = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch (thrown) {
    throw new FileFormatError(`manifest.json is no JSON (${reason(thrown)}). Get the file again.`);
  }
  const format = found?.["format"];
  if (!Number.isInteger(format) || (format as number) < 1) {
    throw new FileFormatError(
      `manifest.json has the format ${JSON.stringify(format)}; expected ${FORMAT}. Export the learner again.`,
    );
  }
  if ((format as number) > FORMAT) {
    throw new FileFormatError(`the file has format ${format}, and this module reads up to ${FORMAT}: update quickstudy.`);
  }
  const manifest = upgraded(found) as unknown as Manifest;
  for (const [key, valid] of Object.entries(checks(manifest))) {
    if (!valid) {
      const value = JSON.stringify(manifest[key as keyof Manifest]) ?? "missing";
      throw new FileFormatError(
        `manifest.json has the ${key} ${value.slice(0, 200)}, which is not what docs/bundle.md says. Export the learner again.`,
      );
    }
  }
  for (const [name, { dtype }] of Object.entries(manifest.state)) {
    if (dtype !== "float32")
      throw new ConfigError(`${name} in the learner's state is ${dtype}; this module runs float32. Use quickstudy.runtime.`);
  }
  return manifest;
}

/** A manifest of format 1, whose states were float32 without saying so, as one of the newest format. */
function upgraded(found: Record<string, unknown>): Record<string, unknown> {
  const state = found["state"];
  if (found["format"] !== 1 || !isObject(state)) return found;
  const layouts = Object.entries(state).map(([name, shape]) => [name, { shape, dtype: "float32" }]);
  return { ...found, format: FORMAT, state: Object.fromEntries(layouts) };
}

/** Whether each key is what it must be. */
function checks(found: Manifest): Record<string, boolean> {
  const { input, programs, unknown, labels } = found;
  return {
    kind: found.kind === "learner" || found.kind === "task",
    learner: typeof found.learner?.name === "string",
    input: input?.kind === "image" ? isImage(input) : input?.kind === "rows" && isSize(input.features),
    objective: found.objective === "classification" || found.objective === "regression",
    programs: isObject(programs) && PROGRAMS.every((name) => isProgram(programs[name])),
    settings: isObject(found.settings) && Object.values(found.settings).every(Number.isFinite),
    state: isObject(found.state) && Object.values(found.state).every(isLayout),
    continues: typeof found.continues === "boolean",
    unknown: unknown == null || Number.isFinite(unknown.threshold),
    labels: found.kind === "learner" || areLabels(labels),
    ink: found.ink == null || isInk(found.ink),
    parts: isObject(found.parts) && Object.values(found.parts).every((hash) => /^[0-9a-f]{64}$/.test(hash)),
  };
}

function isImage(input: ImageInput): boolean {
  const sizes = isSize(input.height) && isSize(input.width) && (input.channels === 1 || input.channels === 3);
  return sizes && isInk(input.ink) && Number.isFinite(input.scale) && Number.isFinite(input.offset);
}

function isProgram(program: ProgramFacts | undefined): boolean {
  const shapes = [program?.inputs, program?.outputs];
  return shapes.every((found) => isObject(found) && Object.values(found).every(isAxes)) && Array.isArray(program?.weights);
}

function areLabels(found: unknown): boolean {
  return Array.isArray(found) && found.length > 0 && found.every(isLabel) && new Set(found).size === found.length;
}

export function isLabel(value: unknown): value is Label {
  return typeof value === "string" || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value));
}

export function isInk(value: unknown): value is Ink {
  return value === "dark" || value === "light";
}

function isAxes(value: unknown): boolean {
  return Array.isArray(value) && value.every((axis) => typeof axis === "string" || (Number.isInteger(axis) && axis >= 0));
}

function isLayout(found: TensorLayout | null): boolean {
  return isAxes(found?.shape) && (found?.dtype === "float32" || found?.dtype === "int64");
}

function isSize(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 16384;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
