/** Learner: loaded from a bundle, it adapts to tasks. */
import { DataError, FileFormatError, reason } from "./errors.ts";
import type { Example } from "./examples.ts";
import type { Label, Manifest } from "./manifest.ts";
import { Model, type Settings } from "./model.ts";
import { type Given, Task } from "./task.ts";
import { type Bytes, LIMITS } from "./zip.ts";

export interface AdaptOptions extends Given {
  /** Changes to the learner's settings, such as `{ inner_steps: 3 }`. */
  settings?: Settings;
}

/** Where a bundle is: an address, its bytes, or a file that the user chose. */
export type Source = string | URL | ArrayBuffer | Uint8Array | Blob;

export class Learner {
  private constructor(
    private readonly model: Model,
    /** The task that the file had learned already, null for a learner alone. */
    readonly task: Task | null,
  ) {}

  /** A learner, or an adapted task, from a file of `quickstudy export` or `task.save()`. */
  static async load(source: Source): Promise<Learner> {
    const model = await Model.load(await bytesOf(source));
    return new Learner(model, Task.resume(model));
  }

  /** What the learner is, what goes in, and how well it does (docs/bundle.md). */
  get manifest(): Manifest {
    return this.model.manifest;
  }

  /** Learn a task from examples with their labels. */
  async adapt(images: readonly Example[], labels: readonly Label[], options: AdaptOptions = {}): Promise<Task> {
    return Task.adapt(this.model, images, labels, this.model.settings(options.settings ?? {}), options.ink);
  }
}

async function bytesOf(source: Source): Promise<Bytes> {
  if (source instanceof Blob) return limited(new Uint8Array(await source.arrayBuffer()));
  if (source instanceof ArrayBuffer) return limited(new Uint8Array(source));
  if (source instanceof Uint8Array) return limited(source.slice());
  if (typeof source !== "string" && !(source instanceof URL)) {
    throw new DataError(
      `the learner is given as ${typeof source}; expected an address, an ArrayBuffer, a Uint8Array or a File.`,
    );
  }
  let response: Response;
  try {
    response = await fetch(source);
  } catch (thrown) {
    throw new FileFormatError(`${source} cannot be fetched (${reason(thrown)}); check the address.`);
  }
  if (!response.ok)
    throw new FileFormatError(`${source} answered ${response.status} ${response.statusText}; check the address.`);
  return limited(new Uint8Array(await response.arrayBuffer()));
}

function limited(bytes: Bytes): Bytes {
  if (bytes.length > LIMITS.bytes)
    throw new FileFormatError(`the file has ${bytes.length} bytes; expected at most ${LIMITS.bytes}.`);
  return bytes;
}
