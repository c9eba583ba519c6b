/**
 * Every error that the module raises on purpose; the names are those of Python.
 *
 *     QuickstudyError
 *     ├── DataError        images, labels
 *     ├── TaskError        too few classes, or another number than a fixed head has
 *     ├── ConfigError      an unknown name, option or value, or a learner that does not run in a browser
 *     └── FileFormatError  a damaged, foreign, older or newer file
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

/** Return the reason that something thrown gives. */
export function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
