/** Tells what each column of a table holds (numbers, truths, dates or categories), and turns its cells into numbers, as Python does. */
import { DataError } from "../errors.ts";
import { mean, spread, written } from "../numbers.ts";
import { byCodePoint, quoted, stripped } from "../words.ts";
import { DATE_FORMS, daysOf } from "./dates.ts";

/** Names what a cell may hold. It is missing if it is null, undefined, NaN, or a text such as "NA". */
export type Cell = string | number | boolean | Date | null | undefined;
/** Names what a cell is understood as: null if it is missing, and a text without blanks at its ends. */
type Plain = string | number | boolean | Date | null;

/** Describes one column, as a manifest does: what is not said is as usual. */
export interface Column {
  readonly name: string;
  readonly type: "number" | "boolean" | "date" | "category";
  /** Texts of a column of categories, sorted. */
  readonly categories?: readonly string[];
  /** How dates are written, such as `ISO` or `DD.MM.YYYY`. */
  readonly form?: string;
  /** Mean and standard deviation of the training's numbers. */
  readonly mean?: number;
  readonly scale?: number;
  /** Whether cells were missing in training. */
  readonly missing?: boolean;
}

/** Texts that stand for a missing value: those of pandas, letter by letter. */
const MISSING = new Set([
  ...["", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "n/a"],
  ...["NaN", "nan", "-NaN", "-nan", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"],
  ...["NULL", "null", "None", "NaT"],
]);
const TRUTHS: ReadonlyMap<string, number> = new Map([["true", 1], ["yes", 1], ["false", 0], ["no", 0]]);
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const INFINITE = /^[-+]?inf(inity)?$/i;
/** Categories beyond which a column is taken for names or texts; rows beyond which it is if no text comes twice. */
const LIMITS = { categories: 64, once: 16 };

/** How a cell of each type is read; null if it is none of that type. */
const READERS: Readonly<Record<string, (cell: Plain, form: string) => number | null>> = {
  boolean: (cell) => (typeof cell === "boolean" ? Number(cell) : typeof cell === "string" ? (TRUTHS.get(cell.toLowerCase()) ?? null) : null),
  number: numberOf,
  date: daysOf,
};

/** Return how many numbers a cell becomes. */
export function widthOf({ type, categories, missing }: Column): number {
  return (type === "category" ? (categories?.length ?? 0) + 1 : 1) + Number(missing ?? false);
}

/** Return whether something found in a manifest is a column. */
export function isColumn(found: Column): boolean {
  const { name, type, categories = [], form = "", mean = 0, scale = 1, missing = false } = found ?? {};
  const numbers = Number.isFinite(mean) && Number.isFinite(scale) && scale > 0;
  const dated = type !== "date" || DATE_FORMS.includes(form);
  const texts = Array.isArray(categories) && categories.every((text) => typeof text === "string");
  const typed = type === "category" || Object.hasOwn(READERS, type);
  return typeof name === "string" && typed && texts && dated && numbers && typeof missing === "boolean";
}

/** Return a cell as it is understood; `where` names it in errors. */
function plain(cell: Cell, where: string): Plain {
  if (cell === null || cell === undefined || (typeof cell === "number" && Number.isNaN(cell))) return null;
  if (typeof cell === "string") {
    const text = stripped(cell);
    return MISSING.has(text) ? null : text;
  }
  if (typeof cell === "number" || typeof cell === "boolean") return cell;
  if (cell instanceof Date) return Number.isNaN(cell.getTime()) ? null : cell;
  throw new DataError(`${where} is ${String(cell).slice(0, 80)} (${typeof cell}); expected a number, a text or a date.`);
}

/** Return the name of a category that a cell has, as Python writes it: whole numbers without a point, and moments without a zone. */
function asText(cell: string | number | boolean | Date): string {
  if (cell instanceof Date) return cell.toISOString().replace("T", " ").replace(/\.000Z$/, "").replace(/Z$/, "000");
  if (typeof cell !== "number") return String(cell);
  return Number.isInteger(cell) ? BigInt(cell).toString() : written(cell);
}

/** Collects what the rows that were read have in one column, and no row of training had. */
export interface Lost {
  /** Texts of categories. */
  readonly strange: string[];
  /** Cells that are missing. */
  lacking: number;
}

/** Return the numbers that a cell becomes, and add to `lost` what training had nothing like. */
export function encoded(column: Column, cell: Cell, index: number, lost: Lost): number[] {
  const value = plain(cell, `${quoted(column.name)} in row ${index + 1}`);
  const { type, categories = [], missing = false, mean: middle = 0, scale = 1 } = column;
  const numbers = Array<number>(widthOf(column)).fill(0);
  if (value === null) {
    if (missing) numbers[numbers.length - 1] = 1;
    else lost.lacking += 1;
  } else if (type === "category") {
    const place = categories.indexOf(asText(value));
    if (place < 0) lost.strange.push(asText(value));
    numbers[place < 0 ? categories.length : place] = 1;
  } else numbers[0] = (typed(column, value, index) - middle) / scale;
  return numbers;
}

/** Return the columns of a table that tell its rows apart, measured; and add to `said` what people should know of the others. */
export function telling(table: ReadonlyMap<string, readonly Cell[]>, said: string[]): Column[] {
  const [columns, leftOut]: [Column[], string[]] = [[], []];
  for (const [name, given] of table) {
    const cells = given.map((cell, index) => plain(cell, `${quoted(name)} in row ${index + 1}`));
    const column = inferred(name, cells, said);
    const why = useless(column, cells);
    if (why === null) columns.push(measured(column, cells));
    else leftOut.push(`${quoted(name)} (${why})`);
  }
  if (columns.length === 0)
    throw new DataError(`no column of the table tells its rows apart: ${leftOut.join(", ") || "it has none"}.`);
  if (leftOut.length > 0) {
    const more = leftOut.length > 8 ? ", ..." : "";
    said.push(
      `${leftOut.length} of ${table.size} columns say nothing of a row, and are left out: ${leftOut.slice(0, 8).join(", ")}${more}.`,
    );
  }
  return columns;
}

/** Return the column whose type fits all of these cells; one without any value is a column of numbers. */
function inferred(name: string, cells: readonly Plain[], said: string[]): Column {
  const there = cells.filter((cell) => cell !== null);
  const all = (type: "boolean" | "number") => there.every((cell) => READERS[type]!(cell, "") !== null);
  if (there.length > 0 && all("boolean")) return { name, type: "boolean" };
  if (all("number")) return { name, type: "number" };
  const form = formOf(name, there, said);
  if (form !== null) return { name, type: "date", form };
  return { name, type: "category", categories: [...new Set(there.map(asText))].sort(byCodePoint) };
}

/** Return the form in which all of these cells are dates; null if some are none. The month comes first if both orders fit, as in pandas. */
function formOf(name: string, cells: readonly Exclude<Plain, null>[], said: string[]): string | null {
  const fits = new Map(DATE_FORMS.map((form) => [form, cells.map((cell) => daysOf(cell, form) !== null)]));
  if (![...fits.values()].some((found) => found[0])) return null;
  const [whole, other] = DATE_FORMS.filter((form) => fits.get(form)!.every(Boolean));
  if (other !== undefined && cells.some((cell) => typeof cell === "string"))
    said.push(`${quoted(name)} is read as ${whole}, but ${other} would fit too; write dates as 2024-03-31 to be sure.`);
  if (whole !== undefined) return whole;
  if (!cells.every((_, at) => [...fits.values()].some((found) => found[at]))) return null;
  const times = (form: string) => fits.get(form)!.filter(Boolean).length;
  const main = DATE_FORMS.reduce((best, form) => (times(form) > times(best) ? form : best));
  const stranger = cells[fits.get(main)!.indexOf(false)]!;
  throw new DataError(
    `${quoted(name)} holds dates in two forms: ${times(main)} of ${cells.length} are ${main}, but ${quoted(asText(stranger))} is not; ` +
      "write all as 2024-03-31.",
  );
}

/** Return why a column tells no rows apart; null if it does. */
function useless(column: Column, cells: readonly Plain[]): string | null {
  const { name, type } = column;
  const there = cells.filter((cell) => cell !== null);
  if (there.length === 0) return "empty";
  const seen = type === "category" ? there.map(asText) : numbersOf(column, cells);
  const different = new Set<string | number>(seen).size;
  const same = typeof seen[0] === "string" ? quoted(seen[0]) : written(seen[0]!);
  if (different === 1 && there.length === cells.length && cells.length > 1) return `always ${same}`;
  const names = different > LIMITS.categories || (different === there.length && there.length > LIMITS.once);
  if (type === "category" && names) return `${different} different texts; a column of texts is read with text=${quoted(name)}`;
  return null;
}

/** Return the column with mean, standard deviation and whether values are missing, of these cells. */
function measured(column: Column, cells: readonly Plain[]): Column {
  const missing = cells.some((cell) => cell === null);
  if (column.type === "category") return { ...column, missing };
  const there = numbersOf(column, cells);
  const [middle, scale] = there.length > 0 ? [mean(there), spread(there)] : [0, 1];
  const usable = scale > 1e-12 * Math.max(1, Math.abs(middle)) && Number.isFinite(scale);
  return { ...column, mean: middle, scale: usable ? scale : 1, missing };
}

/** Return a cell of a column of numbers, truths or dates as a number. */
function typed({ name, type, form = "" }: Column, cell: Exclude<Plain, null>, index: number): number {
  const found = READERS[type]!(cell, form);
  if (found === null) {
    const so = form ? ` written as ${form}` : "";
    throw new DataError(
      `${quoted(name)} is ${quoted(asText(cell).slice(0, 80))} in row ${index + 1}; expected a ${type}${so}, as in training. ` +
        "Mend it, or leave the cell empty.",
    );
  }
  return found;
}

/** Return the cells that are there as numbers, in order. */
function numbersOf(column: Column, cells: readonly Plain[]): number[] {
  const numbers = cells.map((cell, index) => (cell === null ? null : typed(column, cell, index)));
  refuseInfinite(column.name, numbers);
  return numbers.filter((number) => number !== null);
}

/** Throw a DataError if numbers are infinite; it counts them. */
export function refuseInfinite(name: string, numbers: readonly (number | null)[]): void {
  const infinite = numbers.flatMap((number, index) => (number === null || Number.isFinite(number) ? [] : [index]));
  if (infinite.length > 0)
    throw new DataError(
      `${quoted(name)} is infinite in ${infinite.length} of ${numbers.length} rows (row ${infinite[0]! + 1} first); replace such values, ` +
        "or leave the cells empty.",
    );
}

function numberOf(cell: Plain): number | null {
  if (typeof cell !== "string") return typeof cell === "number" || typeof cell === "boolean" ? Number(cell) : null;
  if (INFINITE.test(cell)) return cell.startsWith("-") ? -Infinity : Infinity;
  return NUMBER.test(cell) ? Number(cell) : null;
}
