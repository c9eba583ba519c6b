/** Kinds of input: one file per kind says how users' examples are read, and which are unlike those of training. */
import { DataError } from "../errors.ts";
import type { Inputs, Layout } from "../layout.ts";
import type { Numbers } from "../safetensors.ts";
import { count } from "../safetensors.ts";
import { imageKind, type ImageLike } from "./image.ts";
import { rowsKind } from "./rows.ts";
import { soundKind, type SoundLike } from "./sound.ts";
import { type Strange, tableKind, type TableRow } from "./table.ts";
import { textKind, type TextLike } from "./text.ts";

/** One example of the learner's kind of input: an image, a row of numbers, a sound, a row of a table, or a text. */
export type Example = ImageLike | ArrayLike<number> | SoundLike | TableRow | TextLike;

/** What a manifest says of its input; the kind knows its other keys. */
export interface InputSpec {
  readonly kind: string;
}

/** What a caller says of how examples are to be read, such as `{ ink: "dark" }`. */
export type Reading = Readonly<Record<string, string>>;

/** Collects what was lost while examples were read one by one, so that a single warning can speak of all of them. */
export interface Noticed {
  /** How long the examples are that are longer than the learner takes, in the kind's own unit. */
  readonly tooLong: number[];
  /** How many examples held what could not be read, and was replaced. */
  mended: number;
  /** Collects what rows of tables have that no row of training had. */
  readonly strange: Strange;
}

/** What every kind of input can do. */
export interface Kind<Spec extends InputSpec> {
  /** Return the axes of each stored part of an example, by name; null if `found` is no spec of this kind. */
  axes(found: Spec): Readonly<Record<string, readonly number[]>> | null;
  /** Throw a DataError if something was said that does not apply to this kind. */
  checkReading(reading: Reading): void;
  /** Return the spec with what only a task's first examples tell, and what has to be said of it. Most kinds have no such function. */
  fitted?(examples: readonly Example[], spec: Spec): { readonly spec: InputSpec; readonly said: readonly string[] };
  /** Return examples, of which one may tell how another is read, as `read` takes them. Most kinds have no such function. */
  aligned?(examples: readonly Example[], spec: Spec, noticed: Noticed): readonly Example[];
  /** Return the stored parts of one example, by name, and add to `noticed` what was lost. */
  read(
    example: Example,
    index: number,
    spec: Spec,
    reading: Reading,
    noticed?: Noticed,
  ): Promise<Readonly<Record<string, Numbers>>>;
  /** Return a warning of what was lost when so many examples were read; null if nothing was. Kinds that lose nothing have no such function. */
  remark?(noticed: Noticed, examples: number, spec: Spec): string | null;
  /** Return how many numbers of an axis that is open the network is given. Kinds without such an axis have no such function. */
  used?(spec: Spec): number;
  /** Return a warning if examples are far from those that `statistics` describes: what is far, and the remedy. */
  unlike(inputs: Inputs, layout: Layout, spec: Spec, statistics: Statistics, reading?: Reading): string | null;
}

/** Statistics of the training inputs, as the kind's `statistics` in Python gives them; empty if they are not known. */
export type Statistics = Readonly<Record<string, number>>;

const KINDS: Readonly<Record<string, Kind<never>>> = {
  image: imageKind,
  rows: rowsKind,
  sound: soundKind,
  table: tableKind,
  text: textKind,
};

/** Names of the kinds of input that this module reads. */
export const KIND_NAMES: readonly string[] = Object.keys(KINDS);

/** Return the kind of a spec, which was checked when the manifest was read. */
export function kindOf(spec: InputSpec): Kind<InputSpec> {
  return KINDS[spec.kind] as Kind<InputSpec>;
}

/** Return the spec of a task whose first examples these are, and what has to be said of it. */
export function fittedTo(examples: readonly Example[], spec: InputSpec): { spec: InputSpec; said: readonly string[] } {
  checkSeveral(examples);
  return kindOf(spec).fitted?.(examples, spec) ?? { spec, said: [] };
}

/** Return examples as their kind stores them, `[example, ...]` by name, and a warning if something of them was lost. */
export async function readAll(
  examples: readonly Example[],
  spec: InputSpec,
  layout: Layout,
  reading: Reading,
): Promise<{ inputs: Inputs; remark: string | null }> {
  checkSeveral(examples);
  const kind = kindOf(spec);
  kind.checkReading(reading);
  const found = new Map(
    Object.entries(layout).map(([name, { axes, dtype }]) => {
      const length = examples.length * count(axes);
      return [
        name,
        { shape: [examples.length, ...axes], data: dtype === "uint8" ? new Uint8Array(length) : new Float32Array(length) },
      ];
    }),
  );
  const noticed: Noticed = { tooLong: [], mended: 0, strange: { columns: new Map(), unknown: [] } };
  const given = kind.aligned?.(examples, spec, noticed) ?? examples;
  for (const [index, example] of given.entries()) {
    const parts = await kind.read(example, index, spec, reading, noticed);
    for (const [name, { axes }] of Object.entries(layout)) found.get(name)!.data.set(parts[name]!, index * count(axes));
  }
  return { inputs: found, remark: kind.remark?.(noticed, examples.length, spec) ?? null };
}

function checkSeveral(examples: readonly Example[]): void {
  if (!Array.isArray(examples))
    throw new DataError(`the examples are ${typeof examples}; expected an array of examples.`);
  if (examples.length === 0) throw new DataError("no example was given; expected at least one.");
}
