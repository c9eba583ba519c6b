/** Images of any size and kind as what a network was trained on: the same steps, bytes and warnings as `quickstudy.inputs.image` in Python. */
import { isSize } from "../checks.ts";
import { DataError, reason } from "../errors.ts";
import { toNetwork } from "../layout.ts";
import { fixed, mean, roundHalfEven, spread } from "../numbers.ts";
import type { Values } from "../safetensors.ts";
import type { InputSpec, Kind, Statistics } from "./kind.ts";
import { type Pixels, resize } from "./resize.ts";

/** Values `[height, width, channel]` in one array: bytes, or floats in 0..1, with 1 to 4 channels (2 and 4: the last is alpha). */
export interface PixelArray {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray | Float32Array | Float64Array;
}

/** What may be given as an image; `ImageData` is a `PixelArray`, and a `File` is a `Blob`. */
export type ImageLike = HTMLCanvasElement | OffscreenCanvas | HTMLImageElement | ImageBitmap | Blob | PixelArray;

/** What a network expects of an image. */
export interface ImageSpec extends InputSpec {
  readonly kind: "image";
  readonly height: number;
  readonly width: number;
  readonly channels: 1 | 3;
  readonly ink: Ink;
}

/** Polarity of strokes: dark on light, or light on dark (and photographs). */
export type Ink = "dark" | "light";

/** Spreads of the training images beyond which examples are called far from them. */
const FAR = 3;
/** Names of the statistics of images in files, with the words for them in warnings. */
const BRIGHTNESS: Readonly<Record<string, string>> = {
  border: "brightness at the edges",
  centre: "brightness in the middle",
  brightness: "brightness",
  contrast: "contrast",
};
/** Brightness in 0..1 that counts as one spread, if the training images vary less. */
const LEAST_SPREAD = 0.1;
/** Brightness in 0..1 that float images may lie outside by: less than half of 1/255, so that no byte changes. */
const ROUNDING = 1e-3;
/** Largest height and width in pixels. */
const LARGEST = 4096;

export const imageKind: Kind<ImageSpec> = {
  axes({ height, width, channels, ink }) {
    const fits = isSize(height, LARGEST) && isSize(width, LARGEST) && (channels === 1 || channels === 3) && isInk(ink);
    return fits ? { image: [height, width, channels] } : null;
  },

  checkReading({ ink, ...other }) {
    if (ink !== undefined && !isInk(ink))
      throw new DataError(`ink is ${JSON.stringify(ink)}; expected "dark" (on light) or "light" (on dark, or photos).`);
    const strange = Object.keys(other)[0];
    if (strange !== undefined) throw new DataError(`${strange} is no option of images; expected ink.`);
  },

  async read(example, _index, spec, { ink }) {
    const { data } = asStored(await decode(example as ImageLike), spec, (ink as Ink | undefined) ?? spec.ink);
    return { image: Uint8Array.from(data) };
  },

  unlike(inputs, layout, spec, statistics, reading = {}) {
    const images = greys(toNetwork(inputs.get("image")!, layout["image"]!), spec);
    const farthest = farthestFrom(statistics, images, spec);
    if (farthest === null || farthest.distance <= FAR) return null;
    const { name, distance, value } = farthest;
    const found =
      `the ${BRIGHTNESS[name]} of the images is ${fixed(value, 2)} (from 0 to 1, as the network sees them), ` +
      `but ${fixed(statistics[name]!, 2)} in those that the learner was trained on`;
    const negatives = images.map((image) => image.map((grey) => 1 - grey));
    if (farthestFrom(statistics, negatives, spec)!.distance < distance / 2) {
      const other = (reading["ink"] ?? spec.ink) === "dark" ? "light" : "dark";
      return `${found}; they look like negatives of its training images. If they are, say that their ink is "${other}".`;
    }
    return `${found}; prepare them as its training images were (same ground, exposure and crop).`;
  },
};

/** Return whether a value names a polarity. */
function isInk(value: unknown): value is Ink {
  return value === "dark" || value === "light";
}

type Shape = Pick<ImageSpec, "height" | "width" | "channels">;

/** Return brightness of border and centre, mean and contrast, as the network sees images; each with its spread over images. */
export function imageStatistics(seen: Values, shape: Shape): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [name, values] of Object.entries(brightness(greys(seen, shape), shape))) {
    [found[name], found[`${name}_spread`]] = [mean(values), spread(values)];
  }
  return found;
}

/** Return the mean over the channels of each image `[image, channel, row, column]`, rows one after the other. */
function greys({ shape, data }: Values, { height, width, channels }: Shape): Float64Array[] {
  const plane = height * width;
  return Array.from({ length: shape[0]! }, (_, image) => {
    const grey = new Float64Array(plane);
    for (let channel = 0; channel < channels; channel++) {
      const start = (image * channels + channel) * plane;
      for (let at = 0; at < plane; at++) grey[at]! += data[start + at]!;
    }
    return grey.map((sum) => sum / channels);
  });
}

/** Return numbers of each grey image by name. */
function brightness(images: readonly Float64Array[], { height, width }: Shape): Record<string, number[]> {
  const [top, left] = [Math.floor(height / 4), Math.floor(width / 4)];
  const rows = Array.from({ length: height }, (_, row) => row * width);
  const edges = (image: Float64Array) => [
    ...image.subarray(0, width),
    ...image.subarray(-width),
    ...rows.map((start) => image[start]!),
    ...rows.map((start) => image[start + width - 1]!),
  ];
  const inside = (image: Float64Array) =>
    rows.slice(top, height - top).flatMap((start) => [...image.subarray(start + left, start + width - left)]);
  return {
    border: images.map((image) => mean(edges(image))),
    centre: images.map((image) => mean(inside(image))),
    brightness: images.map(mean),
    contrast: images.map(spread),
  };
}

interface Farthest {
  readonly name: string;
  /** The images' own mean. */
  readonly value: number;
  /** How far it is from the training images' mean, in spreads of these. */
  readonly distance: number;
}

/** Return which number of the images is farthest from the training images'; null if no statistics are known. */
function farthestFrom(statistics: Statistics, images: readonly Float64Array[], shape: Shape): Farthest | null {
  let farthest: Farthest | null = null;
  for (const [name, values] of Object.entries(brightness(images, shape))) {
    const [there, apart] = [statistics[name], statistics[`${name}_spread`]];
    if (there === undefined || apart === undefined) continue;
    const value = mean(values);
    const distance = Math.abs(value - there) / Math.max(apart, LEAST_SPREAD);
    if (farthest === null || distance > farthest.distance) farthest = { name, value, distance };
  }
  return farthest;
}

/** Return a picture on its ground (if transparent), in grey or colour, resized, and inverted if its ink is not the network's. */
export function asStored(picture: Pixels, input: ImageSpec, ink: Ink): Pixels {
  const ground = ink === "light" && input.channels === 1 ? 0 : 255;
  const opaque = withChannels(picture, input.channels, ground);
  const sized = resize(opaque, input.width, input.height);
  return ink === input.ink ? sized : { ...sized, data: Uint8Array.from(sized.data, (byte) => 255 - byte) };
}

/** Return a picture with the given number of channels, on a ground if it is transparent. */
function withChannels(picture: Pixels, channels: number, ground: number): Pixels {
  if (picture.channels === channels) return picture;
  const { width, height, data } = picture;
  const [grey, alpha] = [picture.channels <= 2, picture.channels % 2 === 0];
  const made = new Uint8Array(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const at = pixel * picture.channels;
    const mask = alpha ? data[at + picture.channels - 1]! : 255;
    const shade = (channel: number) => over(data[grey ? at : at + channel]!, ground, mask);
    if (channels === 1)
      made[pixel] = (shade(0) * 19595 + shade(1) * 38470 + shade(2) * 7471 + 0x8000) >> 16; // ITU-R 601-2, as Pillow
    else for (let channel = 0; channel < 3; channel++) made[pixel * 3 + channel] = shade(channel);
  }
  return { width, height, channels, data: made };
}

/** Return a byte laid over a ground, rounded as Pillow does. */
function over(value: number, ground: number, mask: number): number {
  const sum = value * mask + ground * (255 - mask) + 128;
  return ((sum >> 8) + sum) >> 8;
}

/** Return the pixels of an image, however it was given. */
async function decode(image: ImageLike): Promise<Pixels> {
  if (isPixelArray(image)) return fromArray(image);
  if (typeof createImageBitmap === "undefined") {
    throw new DataError("images can only be decoded in a browser; give {width, height, data} here.");
  }
  try {
    const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" } as const;
    const bitmap = await createImageBitmap(image, options); // turned upright by its EXIF
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true })!;
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const { width, height } = context.canvas;
    return { width, height, channels: 4, data: context.getImageData(0, 0, width, height).data };
  } catch (thrown) {
    const name = image instanceof File ? `image ${JSON.stringify(image.name)}` : `the image (${describe(image)})`;
    throw new DataError(
      `${name} cannot be read (${reason(thrown)}); expected a PNG, JPEG, GIF or WebP file, or a canvas. Convert it first.`,
    );
  }
}

/** Return an array's pixels as bytes. */
function fromArray({ width, height, data }: PixelArray): Pixels {
  const channels = data.length / (width * height);
  if (![1, 2, 3, 4].includes(channels)) {
    throw new DataError(
      `the image array has ${data.length} values for ${height}x${width} pixels; expected [height, width, channel] with 1 to 4 channels.`,
    );
  }
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray)
    return { width, height, channels, data: Uint8Array.from(data) };
  const strange = data.findIndex((value) => !(value >= -ROUNDING && value <= 1 + ROUNDING)); // NaN too
  if (strange >= 0) {
    throw new DataError(
      `the image array holds ${data[strange]} at ${strange}; expected floats in 0..1. ` +
        "Divide by 255 if these are byte values, and leave out what is no number.",
    );
  }
  const clipped = (value: number) => Math.min(Math.max(value, 0), 1);
  return { width, height, channels, data: Uint8Array.from(data, (value) => roundHalfEven(clipped(value) * 255)) };
}

/** Return whether a value is an array of pixels with its size. */
function isPixelArray(image: unknown): image is PixelArray {
  const data = (image as PixelArray | null)?.data;
  const known = [Uint8Array, Uint8ClampedArray, Float32Array, Float64Array].some((kind) => data instanceof kind);
  const { width, height } = (image ?? {}) as PixelArray;
  return known && Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
}

/** Return the class of a value, for errors. */
function describe(value: unknown): string {
  return value === null || typeof value !== "object" ? String(value) : value.constructor.name;
}
