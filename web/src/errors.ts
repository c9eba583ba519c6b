/**
 * Every error that the module raises on purpose, named as in Python.
 *
 *     QuickstudyError
 *     ├── DataError        images, labels
 *     ├── TaskError        too few classes, or another number than a fixed head has
 *     ├── ConfigError      an unknown name, option or value
 *     └── FileFormatError  a damaged, foreign or newer file
 *
 * A message names the value, says what was expected and what to do next.
 */
export class QuickstudyError extends Error {
  override name = "QuickstudyError";
}

export class DataError extends QuickstudyError {
  override name = "DataError";
}

export class TaskError extends QuickstudyError {
  override name = "TaskError";
}

export class ConfigError extends QuickstudyError {
  override name = "ConfigError";
}

export class FileFormatError extends QuickstudyError {
  override name = "FileFormatError";
}

/** The reason that something thrown gives. */
export function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
