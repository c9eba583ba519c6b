/** Rows of tables as Python stores them, what it refuses, and what it warns of. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { type Example, fittedTo, readAll } from "../../src/inputs/kind.ts";
import { tableKind, type TableRow, type TableSpec, tableStatistics } from "../../src/inputs/table.ts";
import type { Layout } from "../../src/layout.ts";

interface Fitted {
  spec: TableSpec;
  layout: Layout;
  rows: TableRow[];
  others: TableRow[];
  fitted: TableSpec;
  about: string[];
  said: string[];
  stored: number[][][];
  storedOthers: number[][][];
  statistics: Record<string, number>;
  unlike: string | null;
}

interface Refused {
  spec: TableSpec;
  rows: TableRow[];
  others: TableRow[];
  said: string;
}

const cases: { stored: Fitted[]; refused: Refused[] } = JSON.parse(
  readFileSync(join(inject("fixtures"), "rows_of_tables.json"), "utf8"),
);
const layoutOf = (spec: TableSpec): Layout => ({
  table: { axes: tableKind.axes(spec)!["table"]!, order: [0, 1], dtype: "float32", scale: 1, offset: 0 },
});
const read = (rows: readonly Example[], spec: TableSpec) => readAll(rows, spec, layoutOf(spec), {});

/** Return columns with everything that they leave unsaid. */
const whole = ({ columns }: TableSpec) =>
  columns.map((column) => ({ categories: [], form: "", mean: 0, scale: 1, missing: false, ...column }));

/** Expect numbers that are Python's but for the last digits of double precision. */
function expectNear(found: readonly number[], expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  found.forEach((value, at) => expect(Math.abs(value - expected[at]!)).toBeLessThan(1e-9 * Math.max(1, Math.abs(expected[at]!))));
}

describe.each(cases.stored)("$spec.scaling, $spec.width: $rows.0", (found) => {
  test("the first rows tell the columns and the scale", () => {
    const { spec, said } = fittedTo(found.rows, found.spec) as unknown as { spec: TableSpec; said: string[] };
    const names = (columns: ReturnType<typeof whole>) => columns.map(({ mean: _, scale: __, ...said }) => said);
    expect(names(whole(spec))).toEqual(names(whole(found.fitted)));
    for (const key of ["mean", "scale"] as const)
      expectNear(whole(spec).map((column) => column[key]), whole(found.fitted).map((column) => column[key]));
    expectNear(spec.location, found.fitted.location);
    expectNear(spec.spread, found.fitted.spread);
    expect(said).toEqual(found.about);
  });

  test("every number is Python's, and so are the warnings", async () => {
    expect(tableKind.axes(found.spec)).toEqual({ table: found.layout["table"]!.axes });
    for (const [rows, expected, said] of [
      [found.rows, found.stored, found.said.slice(0, found.said.length - 1)],
      [found.others, found.storedOthers, found.said.slice(-1)],
    ] as const) {
      const { inputs, remark } = await read(rows, found.fitted);
      expect(inputs.get("table")).toEqual({ shape: [rows.length, 1, expected[0]![0]!.length], data: Float32Array.from(expected.flat(2)) });
      if (found.said.length !== 1) expect(remark).toBe(said[0] ?? null);
    }
  });

  test("rows unlike those of training are told from others", async () => {
    const { inputs } = await read(found.rows, found.fitted);
    const { data } = inputs.get("table")!;
    const statistics = tableStatistics(data, found.rows.length);
    expectNear(Object.values(statistics), [found.statistics["size"]!, found.statistics["numbers"]!]);
    const ninth = { size: statistics.size / 9, numbers: statistics.numbers / 9 };
    expect(tableKind.unlike(inputs, layoutOf(found.fitted), found.fitted, ninth)).toBe(found.unlike);
    expect(tableKind.unlike(inputs, layoutOf(found.fitted), found.fitted, {})).toBeNull();
  });
});

test.each(cases.refused)("refused as in Python: $said", async ({ spec, rows, others, said }) => {
  const attempt = async () => read(others, fittedTo(rows, spec).spec as TableSpec);
  await expect(attempt()).rejects.toThrow(said);
});

test("what is no row, and rows of two sorts or lengths, are refused by number", () => {
  const any = cases.refused[0]!.spec;
  expect(() => fittedTo(["red"], any)).toThrow("row 0 is red; expected its cells by the names of columns.");
  expect(() => fittedTo([{ a: 1 }, [1]], any)).toThrow("1 of 2 rows are arrays; give all rows by the names of columns, or none.");
  expect(() => fittedTo([[1, 2], [1]], any)).toThrow("row 1 has 1 cells; expected 2, as the first row has.");
  expect(() => fittedTo([new Map([["a", 1]]) as never], any)).toThrow("row 0 is [object Map]; expected its cells by the names");
  expect(() => fittedTo([{ a: {} as never }, { a: 2 }], any)).toThrow("'a' in row 1 is [object Object] (object); expected a number");
  expect(() => fittedTo([], any)).toThrow("no example was given; expected at least one.");
});

test("typed arrays are cells in order, and rows of a spec without columns are refused", async () => {
  const any = cases.refused[0]!.spec;
  const { spec } = fittedTo([Float32Array.of(1, 2), Float32Array.of(3, 5)], any) as unknown as { spec: TableSpec };
  expect(spec.columns.map(({ name }) => name)).toEqual(["x0", "x1"]);
  await expect(read([{ a: 1 }], any)).rejects.toThrow("the columns of the table are not known, as it was learned from stored rows");
});

test("dates of JavaScript are moments in UTC", async () => {
  const days = ["2024-03-01", "2024-03-02", "2024-03-03T12:00Z"].map((text) => [{ day: text }, { day: new Date(text) }]);
  const { spec } = fittedTo(days.map(([text]) => text!), cases.refused[0]!.spec) as unknown as { spec: TableSpec };
  const [texts, dates] = await Promise.all([0, 1].map((which) => read(days.map((day) => day[which]!), spec)));
  expect(dates).toEqual(texts);
});

test("a spec of no table is not what a manifest says", () => {
  const [{ fitted }] = cases.stored as [Fitted];
  const strange: Partial<Record<keyof TableSpec, unknown>>[] = [
    { columns: [{ name: "a", type: "colour" }] },
    { columns: [], scaling: "training" },
    { width: 0 },
    { width: 1 },
    { location: [1], spread: [] },
    { scaling: "none" },
    { padded: 1 },
    { columns: [{ name: "a", type: "number", scale: 0 }] },
    { columns: [{ name: "a", type: "date", form: "YY" }] },
  ];
  for (const change of strange) expect(tableKind.axes({ ...fitted, ...change } as TableSpec)).toBeNull();
});
