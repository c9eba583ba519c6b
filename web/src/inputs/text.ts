/** Texts as UTF-8 bytes up to a length: the same bytes, refusals and warnings as `quickstudy.inputs.text` in Python. */
import { isSize, refuseReading } from "../checks.ts";
import { DataError, reason } from "../errors.ts";
import { fixed } from "../numbers.ts";
import type { Numbers } from "../safetensors.ts";
import { stripped } from "../words.ts";
import type { InputSpec, Kind } from "./kind.ts";

/** Names what may be given as a text: the text itself, its bytes in UTF-8, or a file that holds it (every `File` is a `Blob`). */
export type TextLike = string | Uint8Array | Blob;

/** Describes the texts that a network was made for. */
export interface TextSpec extends InputSpec {
  readonly kind: "text";
  /** Bytes of a text; what is longer is cut. */
  readonly length: number;
}

/** Ratio of mean lengths, and difference of the shares of bytes beyond ASCII, above which texts are called unlike those of training. */
const UNLIKE = { times: 4, plain: 0.5 };
/** Mean length in bytes that counts at least. */
const LEAST_LENGTH = 8;
const LONGEST = 2 ** 16;
/** The sign that stands for bytes that are no UTF-8. */
const REPLACED = "\ufffd";

export const textKind: Kind<TextSpec> = {
  axes: ({ length }) => (isSize(length, LONGEST) ? { text: [length] } : null),

  checkReading: (reading) => refuseReading(reading, "texts"),

  async read(example, index, { length }, _reading, noticed) {
    const { text, mended } = await decode(example, index);
    const content = new TextEncoder().encode(stripped(text.replace(/^\ufeff/, "").replaceAll("\0", " ")));
    if (content.length === 0) throw new DataError(`text ${index} is empty; drop it, or write an empty answer as a word.`);
    if (content.length > length) noticed?.tooLong.push(content.length);
    if (mended && noticed) noticed.mended += 1;
    const row = new Uint8Array(length);
    row.set(content.subarray(0, endOfCharacter(content, length)));
    return { text: row };
  },

  remark({ tooLong, mended }, examples, { length }) {
    const said = [];
    if (tooLong.length > 0)
      said.push(
        `${tooLong.length} of ${examples} texts are longer than ${length} bytes (the longest has ` +
          `${tooLong.reduce((longest, size) => Math.max(longest, size), 0).toLocaleString("en-US")}); what follows is left out.`,
      );
    if (mended > 0)
      said.push(`${mended} of ${examples} texts hold bytes that are no UTF-8, which were replaced; save them as UTF-8.`);
    return said.join(" ") || null;
  },

  unlike(inputs, _layout, _spec, statistics) {
    const { length, beyond_ascii: beyond } = statistics;
    if (length === undefined || beyond === undefined) return null;
    const { shape, data } = inputs.get("text")!;
    const here = textStatistics(data, shape[0]!);
    if (Math.abs(here.beyond_ascii - beyond) > UNLIKE.plain) {
      const share = (part: number) => `${fixed(part * 100, 0)}%`;
      return (
        `${share(here.beyond_ascii)} of the bytes of these texts are no ASCII, but ${share(beyond)} of those that the learner was ` +
        "trained on; it may not know their script."
      );
    }
    const [one, other] = [Math.max(here.length, LEAST_LENGTH), Math.max(length, LEAST_LENGTH)];
    if (Math.max(one, other) / Math.min(one, other) <= UNLIKE.times) return null;
    return (
      `the texts have ${fixed(here.length, 0)} bytes on average, but those that the learner was trained on had ` +
      `${fixed(length, 0)}; give texts of that length.`
    );
  },
};

/** Return the mean length in bytes of stored texts, and the share of bytes that are no ASCII. */
export function textStatistics(rows: Numbers, texts: number): { length: number; beyond_ascii: number } {
  let [there, beyond] = [0, 0];
  for (const byte of rows) {
    if (byte > 0) there += 1;
    if (byte > 127) beyond += 1;
  }
  return { length: there / Math.max(texts, 1), beyond_ascii: beyond / Math.max(there, 1) };
}

/** Return a text however it was given, and whether parts of it, which are no UTF-8, were replaced. */
async function decode(example: unknown, index: number): Promise<{ text: string; mended: boolean }> {
  if (typeof example === "string") {
    const text = example.replace(/\p{Surrogate}/gu, "?"); // halves of surrogate pairs become question marks, as in Python
    return { text, mended: text !== example };
  }
  const bytes = typeof Blob !== "undefined" && example instanceof Blob ? await bytesOf(example, index) : example;
  if (!(bytes instanceof Uint8Array)) {
    const kind = bytes === null ? "null" : Array.isArray(bytes) ? "array" : typeof bytes;
    throw new DataError(
      `text ${index} is ${String(bytes).slice(0, 200)} (${kind}); expected a text. Drop it, or write an empty answer as a word.`,
    );
  }
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // the mark is kept, and taken away where it is looked for
  const text = decoder.decode(bytes);
  return { text, mended: text.includes(REPLACED) && !holds(bytes, new TextEncoder().encode(REPLACED)) };
}

/** Return the bytes of a file. */
async function bytesOf(file: Blob, index: number): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (thrown) {
    throw new DataError(`text ${index} cannot be read from its file (${reason(thrown)}); choose the file again.`);
  }
}

/** Return whether bytes hold other bytes. */
function holds(bytes: Uint8Array, part: Uint8Array): boolean {
  return bytes.some((_, at) => part.every((byte, index) => bytes[at + index] === byte));
}

/** Return where to cut UTF-8 bytes so that at most `length` of them are left, without half a character at their end. */
function endOfCharacter(content: Uint8Array, length: number): number {
  let end = Math.min(length, content.length);
  while (end > 0 && end < content.length && (content[end]! & 0xc0) === 0x80) end -= 1;
  return end;
}
