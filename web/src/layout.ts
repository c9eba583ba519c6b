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
}

export type Layout = Readonly<Record<string, TensorLayout>>;

/** Stored examples `[example, ...axes]`, by the names of the layout. */
export type Inputs = ReadonlyMap<string, Tensor>;

/** Return the shape of one example as the network sees it. */
export function networkShape({ axes, order }: TensorLayout): number[] {
  return order.map((axis) => axes[axis]!);
}

/** Return the network's input, float32 `[example, ...]`; every rounding is that of Python. */
export function toNetwork({ shape, data }: Tensor, layout: TensorLayout): Values {
  const { axes, order } = layout;
  const [scale, offset] = [Math.fround(layout.scale), Math.fround(layout.offset)];
  let places = [0]; // of one example's values in the stored order
  for (const axis of order) {
    const stride = count(axes.slice(axis + 1));
    places = places.flatMap((place) => range(axes[axis]!).map((index) => place + index * stride));
  }
  const seen = new Float32Array(data.length);
  for (let example = 0, at = 0; example < shape[0]!; example++) {
    const start = example * places.length;
    for (const place of places) seen[at++] = Math.fround(data[start + place]! * scale) + offset;
  }
  return { shape: [shape[0]!, ...networkShape(layout)], data: seen };
}
