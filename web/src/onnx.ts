/** Weights of a graph: protocol buffers merge a message that occurs twice, so that initializers are simply appended to its bytes. */
import { FileFormatError } from "./errors.ts";
import type { Dtype, RawTensor } from "./safetensors.ts";
import type { Bytes } from "./zip.ts";

/** Field numbers of onnx.proto. */
const GRAPH = 7;
const INITIALIZER = 5;
const [DIMS, DATA_TYPE, NAME, RAW_DATA] = [1, 2, 8, 9];
const DATA_TYPES: Record<Dtype, number> = { F32: 1, U8: 2, I8: 3, I32: 6, I64: 7, BOOL: 9, F16: 10, F64: 11 };

const EXTERNAL = new TextEncoder().encode("location"); // the key under which a graph names a file of its own

/** Return the bytes of an ONNX model with `weights` as initializers. */
export function withWeights(graph: Bytes, weights: ReadonlyMap<string, RawTensor>): Bytes {
  const fields: Bytes[] = [];
  for (const [name, { dtype, shape, bytes }] of weights) {
    const header = [
      ...shape.flatMap((size) => [...tag(DIMS, 0), ...varint(size)]),
      ...tag(DATA_TYPE, 0),
      ...varint(DATA_TYPES[dtype]),
    ];
    const tensor = join(Uint8Array.from(header), field(NAME, new TextEncoder().encode(name)), field(RAW_DATA, bytes));
    fields.push(field(INITIALIZER, tensor));
  }
  return join(graph, field(GRAPH, join(...fields)));
}

/** Throw a FileFormatError if a graph may name files outside the bundle. */
export function refuseExternalData(part: string, graph: Bytes): void {
  for (let at = graph.indexOf(EXTERNAL[0]!); at >= 0; at = graph.indexOf(EXTERNAL[0]!, at + 1)) {
    if (EXTERNAL.every((byte, index) => graph[at + index] === byte)) {
      throw new FileFormatError(
        `${part} names a file outside the bundle ("location"); expected all weights inside. Export it again.`,
      );
    }
  }
}

/** Return a field of bytes, text or message. */
function field(number: number, content: Bytes): Bytes {
  return join(Uint8Array.from([...tag(number, 2), ...varint(content.length)]), content);
}

/** Return what precedes a field's content. */
function tag(number: number, wireType: number): number[] {
  return varint(number * 8 + wireType);
}

/** Return a number as seven bits a byte, lowest first; the highest bit says that more follow. */
function varint(value: number): number[] {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

/** Return the pieces as one. */
function join(...pieces: Bytes[]): Bytes {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
