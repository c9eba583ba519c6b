/** Rows along the ways of tensors: added where a task gets a new class, taken out where it forgets one. */
import type { State } from "./bundle.ts";
import type { TensorLayout } from "./manifest.ts";
import { count, type Values } from "./safetensors.ts";

/** In place of an index: zeros. */
export const NOTHING = -1;

/** Chosen indices along one axis, in the given order. */
export function take(values: Values, axis: number, indices: readonly number[]): Values {
  const inner = count(values.shape.slice(axis + 1));
  const outer = count(values.shape.slice(0, axis));
  const size = values.shape[axis]!;
  const data = new Float32Array(outer * indices.length * inner);
  for (let block = 0; block < outer; block++) {
    indices.forEach((index, position) => {
      if (index === NOTHING) return;
      const from = (block * size + index) * inner;
      data.set(values.data.subarray(from, from + inner), (block * indices.length + position) * inner);
    });
  }
  return { shape: values.shape.with(axis, indices.length), data };
}

/** A state whose every `way` axis has the chosen ways only. */
export function takeWays(state: State, layout: Readonly<Record<string, TensorLayout>>, ways: readonly number[]): State {
  const chosen = ([name, values]: [string, Values]): [string, Values] => [
    name,
    layout[name]!.shape.reduce<Values>(
      (taken, axis, position) => (axis === "way" ? take(taken, position, ways) : taken),
      values,
    ),
  ];
  return new Map([...state].map(chosen));
}

/** Both, one after the other. */
export function concatenate(first: Values, second: Values): Values {
  const data = new Float32Array(first.data.length + second.data.length);
  data.set(first.data);
  data.set(second.data, first.data.length);
  return { shape: second.shape.with(0, first.shape[0]! + second.shape[0]!), data };
}

/** `[0, 1, ..., count - 1]`. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
