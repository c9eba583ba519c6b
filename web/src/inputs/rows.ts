/** Rows of numbers, such as measurements, features or embeddings: the same checks and warnings as `quickstudy.inputs.rows` in Python. */
import { DataError } from "../errors.ts";
import { isSize, refuseReading } from "../checks.ts";
import { short } from "../numbers.ts";
import type { InputSpec, Kind } from "./kind.ts";

export interface RowsSpec extends InputSpec {
  readonly kind: "rows";
  readonly features: number;
  readonly columns?: readonly string[] | null;
}

/** Spreads of the training rows (or the ratio of two spreads) beyond which examples are called far from them. */
const FAR = 5;
/** Numbers from which rows can be called too narrow: fewer lie close together by chance, and a single one has no spread at all. */
const FEWEST = 10;
/** The smallest normal float32, which is the smallest spread. */
const TINY = 2 ** -126;

export const rowsKind: Kind<RowsSpec> = {
  axes: (found) => (isSize(found.features, 2 ** 24) ? { rows: [found.features] } : null),

  checkReading: (reading) => refuseReading(reading, "rows of numbers"),

  async read(example, index, { features }) {
    const row = example as ArrayLike<number>;
    if (row?.length !== features)
      throw new DataError(`row ${index} has ${row?.length} values; expected ${features}, as in training.`);
    for (let at = 0; at < features; at++) {
      if (!Number.isFinite(Math.fround(row[at]!)))
        throw new DataError(`row ${index} holds ${row[at]} at ${at}; expected numbers. Leave this example out.`);
    }
    return { rows: Float32Array.from(row) };
  },

  unlike(inputs, _layout, _spec, statistics) {
    const [location, scale] = [statistics["location"], statistics["scale"]];
    if (location === undefined || scale === undefined) return null;
    const numbers = inputs.get("rows")!.data;
    const here = rowStatistics(numbers);
    const spread = Math.max(scale, TINY);
    const far = Math.abs(here.location - location) > FAR * spread;
    const narrow = here.scale < spread / FAR && numbers.length >= FEWEST;
    if (!far && !narrow && here.scale <= spread * FAR) return null;
    return (
      `the rows have mean ${short(here.location, 4)} and spread ${short(here.scale, 4)}, but this learner was trained on rows with ` +
      `mean ${short(location, 4)} and spread ${short(scale, 4)}; scale them as its training data was.`
    );
  },
};

/** Return location and scale of all numbers together. */
export function rowStatistics(numbers: ArrayLike<number>): { location: number; scale: number } {
  const all = Array.from(numbers);
  const location = all.reduce((sum, value) => sum + value, 0) / all.length;
  const scale = Math.sqrt(all.reduce((sum, value) => sum + (value - location) ** 2, 0) / all.length);
  return { location, scale };
}
