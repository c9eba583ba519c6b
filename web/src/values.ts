/** Values: numbers to be predicted, one or several per example, as rows. */
import { DataError } from "./errors.ts";
import type { Values } from "./safetensors.ts";

/** What one example is to be answered with. */
export type Value = number | readonly number[];

/** Names of values, and the scale at which graphs see them: `(value - location) / spread`. */
export interface ValueScale {
  readonly names: readonly string[];
  readonly location: readonly number[];
  readonly spread: readonly number[];
}

/** Return whether something found in a manifest is a scale of values. */
export function isScale(found: ValueScale): boolean {
  const { names, location, spread } = found ?? {};
  const numbers = [location, spread].every((row) => Array.isArray(row) && row.every(Number.isFinite) && row.length === names?.length);
  return Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === "string") && numbers && spread.every((one) => one > 0);
}

/** Return one row of numbers per example, `[example, output]`, at the scale at which graphs see them. */
export function valueRows(values: readonly Value[], count: number, scale?: ValueScale | null): Values {
  if (!Array.isArray(values))
    throw new DataError(`y is ${JSON.stringify(values)}; expected an array with one value, or row of values, per example.`);
  if (values.length !== count)
    throw new DataError(`there are ${count} examples but ${values.length} values; expected one value, or row of values, per example.`);
  const rows: readonly unknown[][] = values.map((value: unknown) => (Array.isArray(value) ? value : [value]));
  const width = rows[0]!.length;
  rows.forEach((row, index) => {
    if (row.length !== width || width === 0)
      throw new DataError(`example ${index} has ${row.length} values; expected ${Math.max(1, width)}, as many for each example.`);
    const strange = row.findIndex((value) => typeof value !== "number" || !Number.isFinite(Math.fround(value)));
    if (strange >= 0) throw new DataError(`the value of example ${index} is ${String(row[strange])}; expected a number.`);
  });
  const numbers = rows.flat() as number[];
  if (scale == null) return { shape: [count, width], data: Float32Array.from(numbers) };
  if (width !== scale.names.length)
    throw new DataError(`y has ${width} values per example; expected ${scale.names.length}: ${scale.names.join(", ")}.`);
  const { location, spread } = scale;
  const scaled = numbers.map((value, at) => (value - location[at % width]!) / spread[at % width]!);
  return { shape: [count, width], data: Float32Array.from(scaled) };
}

/** Return predicted values in the unit of the answers. */
export function restored(rows: readonly (readonly number[])[], scale?: ValueScale | null): number[][] {
  return rows.map((row) => row.map((value, at) => (scale == null ? value : value * scale.spread[at]! + scale.location[at]!)));
}
