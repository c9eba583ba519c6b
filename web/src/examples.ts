/** What callers give, as what a network sees: images or rows to one tensor, labels to ways. */
import { DataError } from "./errors.ts";
import { type ImageLike, toInput } from "./image.ts";
import { type Ink, isInk, isLabel, type Label, type Manifest } from "./manifest.ts";
import type { Values } from "./safetensors.ts";

/** One example: an image, or a row of numbers for a learner on rows. */
export type Example = ImageLike | ArrayLike<number>;

/** Examples as one tensor `[example, ...]`. */
export async function stack(examples: readonly Example[], input: Manifest["input"], ink: Ink | undefined): Promise<Values> {
  if (!Array.isArray(examples))
    throw new DataError(`the examples are ${typeof examples}; expected an array of images (or of rows).`);
  if (examples.length === 0) throw new DataError("no example was given; expected at least one.");
  if (ink !== undefined && !isInk(ink))
    throw new DataError(`ink is ${JSON.stringify(ink)}; expected "dark" (on light) or "light" (on dark, or photos).`);
  const rows: ArrayLike<number>[] = [];
  for (const [index, example] of examples.entries()) {
    rows.push(
      input.kind === "rows"
        ? checkedRow(example, index, input.features)
        : await toInput(example as ImageLike, input, ink ?? input.ink),
    );
  }
  const length = rows[0]!.length;
  const data = new Float32Array(rows.length * length);
  rows.forEach((row, index) => data.set(row, index * length));
  const shape = input.kind === "rows" ? [length] : [input.channels, input.height, input.width];
  return { shape: [rows.length, ...shape], data };
}

function checkedRow(example: Example, index: number, features: number): ArrayLike<number> {
  const row = example as ArrayLike<number>;
  if (row?.length !== features)
    throw new DataError(`row ${index} has ${row?.length} values; expected ${features}, as in training.`);
  for (let at = 0; at < features; at++) {
    if (!Number.isFinite(row[at]))
      throw new DataError(`row ${index} holds ${row[at]} at ${at}; expected numbers. Leave this example out.`);
  }
  return row;
}

/** A DataError unless there is one label for each example. */
export function checkLabels(labels: readonly Label[], count: number): void {
  if (!Array.isArray(labels))
    throw new DataError(`labels is ${JSON.stringify(labels)}; expected an array with one label per example.`);
  if (labels.length !== count)
    throw new DataError(`there are ${count} examples but ${labels.length} labels; expected one label per example.`);
  const strange = labels.find((label) => !isLabel(label));
  if (labels.some((label) => !isLabel(label))) {
    throw new DataError(
      `label ${String(strange)} is ${strange === null ? "null" : typeof strange}; expected a text, a number or a truth value.`,
    );
  }
}

/** `known` and, after them, the labels that are new: sorted, or as they come where they cannot be compared. */
export function withNew(known: readonly Label[], labels: readonly Label[]): Label[] {
  const fresh = [...new Set(labels)].filter((label) => !known.includes(label));
  const texts = fresh.filter((label) => typeof label === "string").length;
  if (texts === fresh.length) fresh.sort((a, b) => byCodePoint(a as string, b as string));
  else if (texts === 0) fresh.sort((a, b) => Number(a) - Number(b));
  return [...known, ...fresh];
}

/** As Python sorts texts; JavaScript's own order, by UTF-16 units, differs beyond the basic plane. */
function byCodePoint(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const difference = left[at]!.codePointAt(0)! - right[at]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** One-hot `[example, way]`. */
export function oneHot(labels: readonly Label[], ways: readonly Label[]): Values {
  const data = new Float32Array(labels.length * ways.length);
  labels.forEach((label, index) => (data[index * ways.length + ways.indexOf(label)] = 1));
  return { shape: [labels.length, ways.length], data };
}
