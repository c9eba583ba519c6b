/** Learner: loaded from a bundle, it adapts to tasks. */
import { DataError, FileFormatError, reason } from "./errors.ts";
import type { Example } from "./inputs/kind.ts";
import type { Manifest } from "./manifest.ts";
import { Model, type Settings } from "./model.ts";
import { type Answers, type Given, Skill } from "./skill.ts";
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
    /** The skill that the file holds; null if it holds a learner alone. */
    readonly skill: Skill | null,
  ) {}

  /** Return a learner, with its skill if there is one, from a file of `quickstudy export` or `skill.save()`. */
  static async load(source: Source): Promise<Learner> {
    const model = await Model.load(await bytesOf(source));
    return new Learner(model, Skill.resume(model));
  }

  /** What the learner is, what goes in, and how well it does (see docs/bundle.md). */
  get manifest(): Manifest {
    return this.model.manifest;
  }

  /** Learn a task from examples with their labels, or with their values. */
  async adapt(examples: readonly Example[], answers: Answers, options: AdaptOptions = {}): Promise<Skill> {
    return Skill.adapt(this.model, examples, answers, this.model.settings(options.settings ?? {}), options);
  }
}

/** Return the bytes of a bundle, wherever it is. */
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

/** Return the bytes, unless there are more than a bundle may have. */
function limited(bytes: Bytes): Bytes {
  if (bytes.length > LIMITS.bytes)
    throw new FileFormatError(`the file has ${bytes.length} bytes; expected at most ${LIMITS.bytes}.`);
  return bytes;
}
