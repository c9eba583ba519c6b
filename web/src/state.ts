/** Rows of tensors along their ways: they are added if a skill gets a new class, and taken out if it forgets one. */
import type { State } from "./bundle.ts";
import type { StateTensor } from "./manifest.ts";
import { count, type Numbers, type Tensor } from "./safetensors.ts";

/** Index that stands for zeros. */
export const NOTHING = -1;

/** Return chosen indices along one axis, in the given order. */
export function take<Data extends Numbers>(values: Tensor<Data>, axis: number, indices: readonly number[]): Tensor<Data> {
  const inner = count(values.shape.slice(axis + 1));
  const outer = count(values.shape.slice(0, axis));
  const size = values.shape[axis]!;
  const data = zeros(values.data, outer * indices.length * inner);
  for (let block = 0; block < outer; block++) {
    indices.forEach((index, position) => {
      if (index === NOTHING) return;
      const from = (block * size + index) * inner;
      data.set(values.data.subarray(from, from + inner), (block * indices.length + position) * inner);
    });
  }
  return { shape: values.shape.with(axis, indices.length), data };
}

/** Return a state of which every `way` axis has the chosen ways only. */
export function takeWays(state: State, tensors: Readonly<Record<string, StateTensor>>, ways: readonly number[]): State {
  const taken = new Map<string, Tensor<Float32Array<ArrayBuffer>>>();
  for (const [name, values] of state) {
    const axes = [...tensors[name]!.shape.entries()].filter(([, axis]) => axis === "way");
    taken.set(
      name,
      axes.reduce((left, [position]) => take(left, position, ways), values),
    );
  }
  return taken;
}

/** Return both tensors, one after the other. */
export function concatenate<Data extends Numbers>(first: Tensor<Data>, second: Tensor<Data>): Tensor<Data> {
  const data = zeros(first.data, first.data.length + second.data.length);
  data.set(first.data);
  data.set(second.data, first.data.length);
  return { shape: second.shape.with(0, first.shape[0]! + second.shape[0]!), data };
}

/** Return `[0, 1, ..., count - 1]`. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Return zeros of the same type as `like`. */
function zeros<Data extends Numbers>(like: Data, length: number): Data {
  return (like instanceof Uint8Array ? new Uint8Array(length) : new Float32Array(length)) as Data;
}
