/** Rows of tables with named columns: the same numbers, refusals and warnings as `quickstudy.inputs.table` in Python. */
import { isSize, refuseReading } from "../checks.ts";
import { DataError } from "../errors.ts";
import { fixed, mean, quantile, short, spread } from "../numbers.ts";
import type { Numbers } from "../safetensors.ts";
import { range } from "../state.ts";
import { byCodePoint, quoted, shown } from "../words.ts";
import { type Cell, type Column, encoded, isColumn, type Lost, refuseInfinite, telling, widthOf } from "./columns.ts";
import type { InputSpec, Kind } from "./kind.ts";

/** Names what may be given as a row: its cells by the names of the columns, or in their order. */
export type TableRow = Readonly<Record<string, Cell>> | readonly Cell[];

/** Describes the tables that a network was made for; one without columns stands for any table. */
export interface TableSpec extends InputSpec {
  readonly kind: "table";
  readonly columns: readonly Column[];
  /** Numbers per row of any table; null or absent: as many as the columns need. */
  readonly width?: number | null;
  /** Whether numbers are scaled as in training, or by the examples of each task. */
  readonly scaling: "training" | "task";
  /** Each number of a task has its `location` subtracted and is divided by its `spread`. Both are empty before the task is known. */
  readonly location: readonly number[];
  readonly spread: readonly number[];
  /** Whether a network is given zeros for numbers that are left over. */
  readonly padded: boolean;
}

/** Collects what rows have that no row of training had: in each column by its name, and columns that are not known at all. */
export interface Strange {
  readonly columns: Map<string, Lost>;
  unknown: readonly string[];
}

/** Standard deviations beyond which numbers are cut off; see `BOUND` in Python for the others. */
const BOUND = { spreads: 10, unlike: 5, wider: 1.5, same: 1e-6 };
const WIDEST = 2 ** 20;

export const tableKind: Kind<TableSpec> = {
  axes(found) {
    const { columns, width, scaling, location, spread: spreads, padded } = found;
    if (!Array.isArray(columns) || !columns.every(isColumn) || !(width == null || isSize(width, WIDEST))) return null;
    const scaled = [location, spreads].every((row) => Array.isArray(row) && row.every(Number.isFinite));
    const whole = typeof padded === "boolean" && (scaling === "task" || (scaling === "training" && columns.length > 0));
    const numbers = features(found);
    if (!scaled || !whole || numbers < 1 || needed(columns) > numbers) return null;
    const fits = location.length === spreads.length && (location.length === 0 || location.length === numbers);
    return fits ? { table: [1, numbers] } : null;
  },

  checkReading: (reading) => refuseReading(reading, "rows of a table"),

  fitted(examples, spec) {
    const said: string[] = [];
    if (spec.scaling !== "task" || spec.location.length > 0) return { spec, said };
    const table = columnsOf(examples, spec.columns.map(({ name }) => name));
    const columns = spec.columns.length > 0 ? spec.columns : within(telling(table, said), spec.width!, said);
    const own = { ...spec, columns };
    const ignored = { columns: new Map(), unknown: [] };
    const rows = aligned(examples, own, ignored).map((row, index) => Float32Array.from(numbersOf(row, index, own, ignored)));
    const places = range(features(own)).map((place) => rows.map((row) => row[place]!));
    const location = places.map(mean);
    const spreads = places.map((values, place) => {
      const found = spread(values);
      return found > BOUND.same * Math.max(Math.abs(location[place]!), 1) ? found : 1;
    });
    return { spec: { ...own, location, spread: spreads }, said };
  },

  aligned: (examples, spec, { strange }) => aligned(examples, spec, strange),

  async read(example, index, spec, _reading, noticed) {
    const strange = noticed?.strange ?? { columns: new Map(), unknown: [] };
    const row = numbersOf(example as readonly Cell[], index, spec, strange);
    const { location, spread: spreads } = spec;
    const scaled = location.length > 0 ? row.map((value, place) => (value - location[place]!) / spreads[place]!) : row;
    const bounded = location.length > 0 || spec.scaling === "training"; // before the task is known, its rows may lie anywhere
    return { table: Float32Array.from(scaled, (value) => (bounded ? clipped(value) : value)) };
  },

  remark({ strange }, examples) {
    const said = [...strange.columns].flatMap(([name, { strange: texts, lacking }]) => {
      const different = [...new Set(texts)].sort(byCodePoint);
      const rows = (count: number) => `${count} of ${examples} rows have`;
      return [
        ...(texts.length > 0 ? [`${rows(texts.length)} a ${quoted(name)} that training had none of (${shown(different)})`] : []),
        ...(lacking > 0 ? [`${rows(lacking)} no ${quoted(name)}, which no row of training lacked`] : []),
      ];
    });
    const { unknown } = strange;
    const several = unknown.length > 1 ? `${unknown.length} columns` : "a column";
    if (unknown.length > 0)
      said.push(`${several} that the learner does not know ${unknown.length > 1 ? "are" : "is"} left out: ${shown(unknown)}`);
    return said.length > 0 ? `${said.join("; ")}.` : null;
  },

  used,

  unlike(inputs, _layout, spec, statistics) {
    const { shape, data } = inputs.get("table")!;
    const here = tableStatistics(data, shape[0]!);
    const { size, numbers } = statistics;
    if (spec.width != null && numbers !== undefined && here.numbers > BOUND.wider * numbers) {
      return (
        `the rows have ${fixed(here.numbers, 0)} numbers each, where those of training had ${fixed(numbers, 0)} at most, as a rule. So wide, ` +
        "they may be answered badly: give fewer columns, or compare with a model of scikit-learn."
      );
    }
    if (spec.scaling === "task" || size === undefined || here.size <= BOUND.unlike * size) return null;
    return (
      `the rows lie ${short(here.size, 3)} standard deviations from the mean of the training data, where its own lay ` +
      `${short(size, 3)}; give columns in the same units, or train with scaling='task'.`
    );
  },
};

/** Return the mean size of the numbers of rows, and how many of a row are not 0: more than in 99 of 100 rows are rare. */
export function tableStatistics(data: Numbers, rows: number): { size: number; numbers: number } {
  const width = data.length / rows;
  const there = range(rows).map((row) => data.subarray(row * width, (row + 1) * width).filter((value) => value !== 0).length);
  return { size: mean(Array.from(data, Math.abs)), numbers: quantile(there.sort((a, b) => a - b), 0.99) };
}

/** Return how many numbers a row becomes. */
function features(spec: TableSpec): number {
  return spec.width ?? needed(spec.columns);
}

/** Return how many of a row's numbers the network is given. */
function used(spec: TableSpec): number {
  return spec.padded || spec.columns.length === 0 ? features(spec) : needed(spec.columns);
}

/** Return how many numbers columns become. */
function needed(columns: readonly Column[]): number {
  return columns.reduce((sum, column) => sum + widthOf(column), 0);
}

/** Return whether a row is an array of cells, of numbers alone perhaps, and not cells by name. */
function isArray(row: unknown): boolean {
  return Array.isArray(row) || ArrayBuffer.isView(row);
}

function clipped(value: number): number {
  return Math.min(Math.max(value, -BOUND.spreads), BOUND.spreads);
}

/** Return the cells of each column by name: all names that a row has, or those given if rows are arrays. */
function columnsOf(examples: readonly unknown[], names: readonly string[]): Map<string, Cell[]> {
  const arrays = examples.filter(isArray).length;
  const strange = examples.findIndex((row) => typeof row !== "object" || row === null || row instanceof Map || row instanceof Date);
  if (strange >= 0)
    throw new DataError(`row ${strange} is ${String(examples[strange]).slice(0, 80)}; expected its cells by the names of columns.`);
  if (arrays > 0 && arrays < examples.length)
    throw new DataError(`${arrays} of ${examples.length} rows are arrays; give all rows by the names of columns, or none.`);
  if (arrays === 0) {
    const rows = examples as readonly Readonly<Record<string, Cell>>[];
    const cell = (row: Readonly<Record<string, Cell>>, name: string) => (Object.hasOwn(row, name) ? row[name] : undefined);
    return new Map([...new Set(rows.flatMap(Object.keys))].map((name) => [name, rows.map((row) => cell(row, name))]));
  }
  const rows = examples as readonly (readonly Cell[])[];
  const usual = range(rows[0]!.length).map((place) => `x${place}`);
  const known = names.length > 0 && names.length === usual.length ? names : usual;
  const partly = names.every((name) => known.includes(name));
  const ragged = rows.findIndex((row) => row.length !== known.length);
  if (ragged >= 0 || !partly) {
    const found = rows[Math.max(ragged, 0)]!.length;
    const wanted = partly ? `${known.length}, as the first row has` : `${names.length}, for the columns ${shown(names, 8)}`;
    throw new DataError(`row ${Math.max(ragged, 0)} has ${found} cells; expected ${wanted}.`);
  }
  return new Map(known.map((name, place) => [name, rows.map((row) => row[place])]));
}

/** Return rows as arrays of the cells of the spec's columns, and note the columns that it does not know. */
function aligned(examples: readonly unknown[], { columns }: TableSpec, strange: Strange): (readonly Cell[])[] {
  const names = columns.map(({ name }) => name);
  if (names.length === 0)
    throw new DataError("the columns of the table are not known, as it was learned from stored rows; adapt the learner to rows with names.");
  const table = columnsOf(examples, names);
  const lacking = names.filter((name) => !table.has(name));
  if (lacking.length > 0) {
    throw new DataError(
      `the table has no column ${shown(lacking)}; it has ${shown([...table.keys()], 8)}. Expected the columns ${shown(names, 8)}.`,
    );
  }
  const arrays = isArray(examples[0]);
  strange.unknown = arrays ? [] : [...table.keys()].filter((name) => !names.includes(name));
  for (const { name, type } of columns) {
    if (type === "number") refuseInfinite(name, table.get(name)!.map((cell) => (typeof cell === "number" && !Number.isNaN(cell) ? cell : null)));
  }
  return examples.map((_, index) => names.map((name) => table.get(name)![index]));
}

/** Return the numbers of a row, before they are scaled by its task; zeros fill what is left over. */
function numbersOf(row: readonly Cell[], index: number, spec: TableSpec, strange: Strange): number[] {
  const numbers = spec.columns.flatMap((column, place) => {
    const lost = strange.columns.get(column.name) ?? { strange: [], lacking: 0 };
    strange.columns.set(column.name, lost);
    return encoded(column, row[place], index, lost);
  });
  return [...numbers, ...Array<number>(features(spec) - numbers.length).fill(0)];
}

/** Return the columns that fit into the width one after the other, and say that others do not. */
function within(columns: readonly Column[], width: number, said: string[]): Column[] {
  let taken = 0;
  const kept = columns.filter((column) => {
    const fits = taken + widthOf(column) <= width;
    if (fits) taken += widthOf(column);
    return fits;
  });
  if (kept.length === 0) {
    const [first] = columns as [Column];
    throw new DataError(`${quoted(first.name)} needs ${widthOf(first)} numbers, but the learner takes ${width} per row.`);
  }
  if (kept.length < columns.length)
    said.push(
      `${columns.length - kept.length} of ${columns.length} columns are left out, as the learner takes ${width} numbers per row; ` +
        "give the most telling columns first.",
    );
  return kept;
}
