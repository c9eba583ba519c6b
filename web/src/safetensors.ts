/** Tensors as bytes (https://huggingface.co/docs/safetensors): a length, a JSON header, and the values. */
import { FileFormatError, reason } from "./errors.ts";
import type { Bytes } from "./zip.ts";

const SIZES = { F64: 8, F32: 4, F16: 2, I64: 8, I32: 4, I8: 1, U8: 1, BOOL: 1 } as const;

export type Dtype = keyof typeof SIZES;

export interface RawTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Bytes;
}

/** Numbers that this module computes with: float32, or bytes. */
export type Numbers = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** Numbers in row-major order. */
export interface Tensor<Data extends Numbers = Numbers> {
  readonly shape: readonly number[];
  readonly data: Data;
}

/** A float32 tensor, as networks take and give it. */
export type Values = Tensor<Float32Array<ArrayBuffer>>;

/** Return how many values a tensor of this shape has. */
export function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Return the tensors of a part, by name. */
export function parse(part: string, content: Bytes): Map<string, RawTensor> {
  const damaged = (why: string) => new FileFormatError(`${part} is damaged: ${why}. Get the file again.`);
  if (content.length < 8) throw damaged(`it has ${content.length} bytes, and its header alone needs 8`);
  const length = Number(new DataView(content.buffer, content.byteOffset, 8).getBigUint64(0, true));
  if (8 + length > content.length) throw damaged(`its header claims ${length} bytes, and there are ${content.length - 8}`);
  let header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content.subarray(8, 8 + length)));
  } catch (thrown) {
    throw damaged(`its header is no JSON (${reason(thrown)})`);
  }
  const values = content.subarray(8 + length);
  const tensors = new Map<string, RawTensor>();
  let used = 0;
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: offsets } = entry ?? {};
    const size = SIZES[dtype as Dtype];
    if (size === undefined) throw damaged(`${name} has the unknown type ${dtype}`);
    if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0))
      throw damaged(`${name} has the shape ${shape}`);
    const [begin, end] = offsets ?? [];
    if (!(begin >= 0 && end <= values.length && end - begin === size * count(shape))) {
      throw damaged(`${name} of shape [${shape}] lies at ${begin} to ${end} of ${values.length} bytes`);
    }
    used += end - begin;
    tensors.set(name, { dtype: dtype as Dtype, shape, bytes: values.subarray(begin, end) });
  }
  if (used !== values.length) throw damaged(`its tensors have ${used} of ${values.length} bytes`);
  return tensors;
}

/** Return the tensors of a part that holds nothing but float32 and bytes, by name. */
export function parseNumbers(part: string, content: Bytes): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  for (const [name, { dtype, shape, bytes }] of parse(part, content)) {
    if (dtype !== "F32" && dtype !== "U8")
      throw new FileFormatError(`${name} in ${part} is ${dtype}; expected F32 or U8. Adapt the learner again.`);
    const own = bytes.slice(); // a copy, because floats must lie at multiples of 4
    found.set(name, { shape, data: dtype === "U8" ? own : new Float32Array(own.buffer) });
  }
  return found;
}

/** Return whether a tensor is one of float32. */
export function isFloat(tensor: Tensor): tensor is Values {
  return tensor.data instanceof Float32Array;
}

/** Return tensors as the bytes of a part. */
export function serialize(tensors: ReadonlyMap<string, Tensor>): Bytes {
  // floats first, so that they lie at multiples of 4
  const ordered = [...tensors].sort(([, a], [, b]) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  let offset = 0;
  const header: Record<string, unknown> = {};
  for (const [name, tensor] of ordered) {
    const dtype: Dtype = isFloat(tensor) ? "F32" : "U8";
    header[name] = { dtype, shape: tensor.shape, data_offsets: [offset, (offset += tensor.data.byteLength)] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8; // with spaces, so that the values are aligned
  const content = new Uint8Array(8 + padded + offset).fill(0x20, 8, 8 + padded);
  new DataView(content.buffer).setBigUint64(0, BigInt(padded), true);
  content.set(text, 8);
  let at = 8 + padded;
  for (const [, { data }] of ordered) {
    content.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return content;
}
