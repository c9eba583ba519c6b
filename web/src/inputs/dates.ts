/** Dates as people write them, in days since 1970-01-01; a time of a zone is turned into UTC, and one of no zone is taken as it is. */

/** Forms of dates beside that of ISO 8601: where year, month and day stand. */
const FORMS: Readonly<Record<string, readonly [RegExp, "ymd" | "dmy" | "mdy"]>> = {
  "YYYY/MM/DD": [/^(\d{4})\/(\d{1,2})\/( ?\d|\d\d)$/, "ymd"],
  "DD.MM.YYYY": [/^( ?\d|\d\d)\.(\d{1,2})\.(\d{4})$/, "dmy"],
  "MM/DD/YYYY": [/^(\d{1,2})\/( ?\d|\d\d)\/(\d{4})$/, "mdy"],
  "DD/MM/YYYY": [/^( ?\d|\d\d)\/(\d{1,2})\/(\d{4})$/, "dmy"],
};
const ISO = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](.*?)(?:Z|([+-])(.*))?)?$/;
/** Hours, minutes, seconds and parts of a second, with colons between all of them, or between none. */
const CLOCKS = [/^(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?$/, /^(\d\d)(?:(\d\d)(?:(\d\d)(?:[.,](\d+))?)?)?$/];
const SECONDS = 86_400;

/** Names of the forms in the order in which they are tried. */
export const DATE_FORMS: readonly string[] = ["ISO", ...Object.keys(FORMS)];

/** Return the days since 1970-01-01 of a date in this form; null if it is none. */
export function daysOf(cell: string | number | boolean | Date | null, form: string): number | null {
  if (cell instanceof Date) return cell.getTime() / 1000 / SECONDS;
  if (typeof cell !== "string") return null;
  return form === "ISO" ? daysOfIso(cell) : daysInForm(cell, form);
}

function daysInForm(text: string, form: string): number | null {
  const [pattern, order] = FORMS[form] ?? [];
  const parts = pattern?.exec(text)?.slice(1).map(Number);
  if (parts === undefined) return null;
  const [year, month, day] = ["y", "m", "d"].map((unit) => parts[order!.indexOf(unit)]!) as [number, number, number];
  return days(year, month, day);
}

function daysOfIso(text: string): number | null {
  const found = ISO.exec(text);
  if (found === null) return null;
  const [year, month, day] = found.slice(1, 4).map(Number) as [number, number, number];
  const [date, time, ahead] = [days(year, month, day), secondsOf(found[4] ?? "00", 59), secondsOf(found[6] ?? "00", 99)];
  if (date === null || time === null || ahead === null) return null;
  return (date * SECONDS + time - (found[5] === "-" ? -ahead : ahead)) / SECONDS;
}

/** Return the seconds since midnight of a time, of which minutes and seconds are at most `most`; null if it is none. */
function secondsOf(clock: string, most: number): number | null {
  const found = CLOCKS.map((pattern) => pattern.exec(clock)).find((parts) => parts !== null);
  if (found === undefined) return null;
  const [hour, minute, second] = found.slice(1, 4).map((part) => Number(part ?? 0)) as [number, number, number];
  if (hour > 23 || minute > most || second > most) return null;
  return hour * 3600 + minute * 60 + second + Number((found[4] ?? "").slice(0, 6).padEnd(6, "0")) / 1e6; // microseconds, as in Python
}

/** Return the days of a date of the calendar; null if there is no such day. */
function days(year: number, month: number, day: number): number | null {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day); // Date.UTC would take the year 24 for 1924
  const there = year > 0 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return there ? date.getTime() / 1000 / SECONDS : null;
}
