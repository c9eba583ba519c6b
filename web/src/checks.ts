/** Checks of values that come from outside. */
import { DataError } from "./errors.ts";

/** Return whether a value is an object with keys. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Return whether a value is a whole number from 1 to `most`. */
export function isSize(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most;
}

/** Throw a DataError if something was said of how examples are to be read, and their kind, named by `nouns`, has no options. */
export function refuseReading(reading: Readonly<Record<string, string>>, nouns: string): void {
  const said = Object.keys(reading);
  if (said.length > 0) throw new DataError(`${said.join(", ")} was given, but ${nouns} have no such option; leave it out.`);
}
