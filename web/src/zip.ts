/** Zip archives as named parts; one that is damaged or would fill the memory is refused. */
import { unzipSync, zipSync, type Zippable } from "fflate";
import { FileFormatError, reason } from "./errors.ts";

export type Bytes = Uint8Array<ArrayBuffer>;
export type Parts = ReadonlyMap<string, Bytes>;

/** Largest number of parts and bytes that an archive may unpack to. */
export const LIMITS = { parts: 16, bytes: 512 * 2 ** 20 };

const EPOCH = "1980-01-01T00:00:00"; // the earliest that a zip can hold: equal content, equal file

/** Return the parts of an archive, by name. */
export function unzip(archive: Bytes, limits = LIMITS): Parts {
  const sizes = new Map<string, number>();
  let total = 0;
  const accept = (file: { name: string; originalSize: number }): boolean => {
    total += file.originalSize;
    if (sizes.has(file.name)) throw new FileFormatError(`the file holds ${file.name} twice; get it again.`);
    sizes.set(file.name, file.originalSize);
    if (sizes.size > limits.parts) {
      throw new FileFormatError(`the file holds more than ${limits.parts} parts, so it is no bundle of quickstudy.`);
    }
    if (total > limits.bytes) {
      throw new FileFormatError(
        `${file.name} would unpack to ${file.originalSize} bytes; expected at most ${limits.bytes} for the whole file.`,
      );
    }
    return true;
  };
  let found: Record<string, Bytes>;
  try {
    found = unzipSync(archive, { filter: accept }) as Record<string, Bytes>;
  } catch (thrown) {
    if (thrown instanceof FileFormatError) throw thrown;
    throw new FileFormatError(
      `the file (${archive.length} bytes) is cut off or no zip archive (${reason(thrown)}); ` +
        "expected what quickstudy export wrote. Get it again.",
    );
  }
  for (const [name, size] of sizes) {
    if (found[name]?.length !== size) {
      throw new FileFormatError(
        `${name} is damaged: it has ${found[name]?.length} bytes instead of ${size}. Get the file again.`,
      );
    }
  }
  return new Map(Object.entries(found));
}

/** Return an archive of named parts, in their order. */
export function zip(parts: Parts): Bytes {
  const files: Zippable = Object.fromEntries([...parts].map(([name, bytes]) => [name, [bytes, { mtime: EPOCH }]]));
  return zipSync(files, { level: 6 }) as Bytes;
}
