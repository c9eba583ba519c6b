/** Labels: checked, in Python's order, and as rows of ones and zeros. */
import { DataError } from "./errors.ts";
import { isLabel, type Label } from "./manifest.ts";
import type { Values } from "./safetensors.ts";
import { byCodePoint } from "./words.ts";

/** Throw a DataError unless there is one label for each example. */
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

/** Return `known` and, after them, the labels that are new: sorted if they can be compared, or else in their own order. */
export function withNew(known: readonly Label[], labels: readonly Label[]): Label[] {
  const fresh = [...new Set(labels)].filter((label) => !known.includes(label));
  const texts = fresh.filter((label) => typeof label === "string").length;
  if (texts === fresh.length) fresh.sort((a, b) => byCodePoint(a as string, b as string));
  else if (texts === 0) fresh.sort((a, b) => Number(a) - Number(b));
  return [...known, ...fresh];
}

/** Return one row per label, `[example, way]`, with a one at the label's way. */
export function oneHot(labels: readonly Label[], ways: readonly Label[]): Values {
  const data = new Float32Array(labels.length * ways.length);
  labels.forEach((label, index) => (data[index * ways.length + ways.indexOf(label)] = 1));
  return { shape: [labels.length, ways.length], data };
}
