/** Values: numbers to be predicted, one or several per example, as rows. */
import { DataError } from "./errors.ts";
import type { Values } from "./safetensors.ts";

/** What one example is to be answered with. */
export type Value = number | readonly number[];

/** Return one row of numbers per example, `[example, output]`. */
export function valueRows(values: readonly Value[], count: number): Values {
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
  return { shape: [count, width], data: Float32Array.from(rows.flat() as number[]) };
}
