/** How each part of an example is stored, and how it enters a network, so that nobody else needs to know the kind of input. */
import { count, type Tensor, type Values } from "./safetensors.ts";
import { range } from "./state.ts";

/** What a manifest says of one part: `input = stored * scale + offset`. */
export interface TensorLayout {
  /** Sizes of the axes of one stored example, such as height, width and channels. */
  readonly axes: readonly number[];
  /** For each axis of the network's input, the number of the stored axis: `[2, 0, 1]` puts the channels first. */
  readonly order: readonly number[];
  readonly dtype: "uint8" | "float32" | "int64";
  readonly scale: number;
  readonly offset: number;
  /** Whether the last axis of the network's input may be shorter, as a small table has fewer numbers than a row has room for. */
  readonly open?: boolean;
}

export type Layout = Readonly<Record<string, TensorLayout>>;

/** Stored examples `[example, ...axes]`, by the names of the layout. */
export type Inputs = ReadonlyMap<string, Tensor>;

/** Return the shape of one example as the network sees it; an axis that is open is called `column`. */
export function networkShape({ axes, order, open }: TensorLayout): (number | string)[] {
  const sizes = order.map((axis) => axes[axis]!);
  return open ? [...sizes.slice(0, -1), "column"] : sizes;
}

/**
 * Return the network's input, float32 `[example, ...]`, with `used` numbers along an axis that is open; every rounding is that of Python.
 */
export function toNetwork({ shape, data }: Tensor, layout: TensorLayout, used?: number): Values {
  const { axes, order, open } = layout;
  const sizes = order.map((axis, at) => (open && at === order.length - 1 ? (used ?? axes[axis]!) : axes[axis]!));
  const [scale, offset] = [Math.fround(layout.scale), Math.fround(layout.offset)];
  let places = [0]; // of one example's values in the stored order
  for (const [at, axis] of order.entries()) {
    const stride = count(axes.slice(axis + 1));
    places = places.flatMap((place) => range(sizes[at]!).map((index) => place + index * stride));
  }
  const seen = new Float32Array(shape[0]! * places.length);
  for (let example = 0, at = 0; example < shape[0]!; example++) {
    const start = example * count(axes);
    for (const place of places) seen[at++] = Math.fround(data[start + place]! * scale) + offset;
  }
  return { shape: [shape[0]!, ...sizes], data: seen };
}
