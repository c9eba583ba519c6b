/**
 * Pillow's Lanczos resampling, equal to the last bit: a learner was trained on images that Pillow made smaller.
 *
 * There are two passes; each is a weighted sum in fixed point (22 bits) that is rounded to a byte (Pillow's `Resample.c`).
 */
import type { Bytes } from "../zip.ts";

const LOBES = 3;
const PRECISION = 2 ** 22;

/** Bytes `[height, width, channel]`. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Bytes | Uint8ClampedArray<ArrayBuffer>;
}

/** Return the image, stretched to a size. */
export function resize(image: Pixels, width: number, height: number): Pixels {
  // if the height shrinks much more, Pillow (since 13) makes the image shorter first
  const downFirst = image.height > height && image.height - height > 2 * (image.width - width);
  return downFirst ? across(down(image, height), width) : down(across(image, width), height);
}

/** Return the image with another width. */
function across(image: Pixels, width: number): Pixels {
  if (image.width === width) return image;
  const row = image.width * image.channels;
  return { ...image, width, data: along(image, weights(image.width, width), image.height, row, image.channels) };
}

/** Return the image with another height. */
function down(image: Pixels, height: number): Pixels {
  if (image.height === height) return image;
  // a column is a line whose neighbours are a whole row apart, and all columns are one such line
  return { ...image, height, data: along(image, weights(image.height, height), 1, 0, image.width * image.channels) };
}

interface Weights {
  readonly first: number;
  readonly values: readonly number[];
}

/** Return weighted sums of neighbours that are `step` apart, in `lines` that are `stride` apart. */
function along({ data }: Pixels, weights: readonly Weights[], lines: number, stride: number, step: number): Bytes {
  const made = new Uint8Array(lines * weights.length * step);
  let at = 0;
  for (let line = 0; line < lines; line++) {
    for (const { first, values } of weights) {
      for (let lane = 0; lane < step; lane++) {
        let sum = PRECISION / 2;
        let from = line * stride + first * step + lane;
        for (const value of values) {
          sum += data[from]! * value;
          from += step;
        }
        made[at++] = Math.min(Math.max(Math.floor(sum / PRECISION), 0), 255);
      }
    }
  }
  return made;
}

/** Return the weights of the old pixels for each new pixel, in fixed point. */
function weights(before: number, after: number): Weights[] {
  const scale = before / after;
  const spread = Math.max(scale, 1);
  const support = LOBES * spread;
  return Array.from({ length: after }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), before);
    const raw = Array.from({ length: end - first }, (_, offset) => lanczos((first + offset - centre + 0.5) * (1 / spread)));
    const sum = raw.reduce((total, value) => total + value, 0);
    return { first, values: raw.map((value) => fixed(value * (1 / sum) * PRECISION)) };
  });
}

/** Return the nearest whole number, halves away from zero. */
function fixed(value: number): number {
  return Math.trunc(value < 0 ? value - 0.5 : value + 0.5);
}

/** Return Lanczos's window at `x`. */
function lanczos(x: number): number {
  return x > -LOBES && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}
