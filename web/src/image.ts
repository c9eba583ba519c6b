/** Pictures of any size and kind as what a network was trained on: the same steps, and bytes, as `quickstudy.data.image` in Python. */
import { DataError, reason } from "./errors.ts";
import type { ImageInput, Ink } from "./manifest.ts";
import { type Pixels, resize } from "./resize.ts";

/** Values `[height, width, channel]` in one array: bytes, or floats in 0..1, with 1 to 4 channels (2 and 4: the last is alpha). */
export interface PixelArray {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray | Float32Array | Float64Array;
}

/** What may be given as an image; `ImageData` is a `PixelArray`, and a `File` is a `Blob`. */
export type ImageLike = HTMLCanvasElement | OffscreenCanvas | HTMLImageElement | ImageBitmap | Blob | PixelArray;

/** One image as the network sees it, `[channel, height, width]`. */
export async function toInput(image: ImageLike, input: ImageInput, ink: Ink): Promise<Float32Array> {
  const pixels = asStored(await decode(image), input, ink);
  const plane = input.height * input.width;
  const seen = new Float32Array(plane * input.channels);
  for (let at = 0; at < seen.length; at++) {
    const channel = at % input.channels;
    seen[channel * plane + (at - channel) / input.channels] = pixels.data[at]! * input.scale + input.offset;
  }
  return seen;
}

/** Laid on a ground where transparent, made grey or colour, resized, and inverted where its ink is not the network's. */
export function asStored(picture: Pixels, input: ImageInput, ink: Ink): Pixels {
  const ground = ink === "light" && input.channels === 1 ? 0 : 255;
  const opaque = withChannels(picture, input.channels, ground);
  const sized = resize(opaque, input.width, input.height);
  return ink === input.ink ? sized : { ...sized, data: Uint8Array.from(sized.data, (byte) => 255 - byte) };
}

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

/** A byte laid over a ground, rounded as Pillow does. */
function over(value: number, ground: number, mask: number): number {
  const sum = value * mask + ground * (255 - mask) + 128;
  return ((sum >> 8) + sum) >> 8;
}

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
    return {
      ...size(context.canvas),
      channels: 4,
      data: context.getImageData(0, 0, context.canvas.width, context.canvas.height).data,
    };
  } catch (thrown) {
    const name = image instanceof File ? `image ${JSON.stringify(image.name)}` : `the image (${describe(image)})`;
    throw new DataError(
      `${name} cannot be read (${reason(thrown)}); expected a PNG, JPEG, GIF or WebP file, or a canvas. Convert it first.`,
    );
  }
}

function fromArray({ width, height, data }: PixelArray): Pixels {
  const channels = data.length / (width * height);
  if (![1, 2, 3, 4].includes(channels)) {
    throw new DataError(
      `the image array has ${data.length} values for ${height}x${width} pixels; expected [height, width, channel] with 1 to 4 channels.`,
    );
  }
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray)
    return { width, height, channels, data: Uint8Array.from(data) };
  const strange = data.findIndex((value) => !(value >= 0 && value <= 1)); // NaN too
  if (strange >= 0) {
    throw new DataError(
      `the image array holds ${data[strange]} at ${strange}; expected floats in 0..1. ` +
        "Divide by 255 if these are byte values, and leave out what is no number.",
    );
  }
  return { width, height, channels, data: Uint8Array.from(data, (value) => roundHalfEven(value * 255)) };
}

/** As numpy.rint. */
function roundHalfEven(value: number): number {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 === 1 ? up - 1 : up;
}

function isPixelArray(image: unknown): image is PixelArray {
  const data = (image as PixelArray | null)?.data;
  const known = [Uint8Array, Uint8ClampedArray, Float32Array, Float64Array].some((kind) => data instanceof kind);
  const { width, height } = (image ?? {}) as PixelArray;
  return known && Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
}

function size({ width, height }: { width: number; height: number }): { width: number; height: number } {
  return { width, height };
}

function describe(value: unknown): string {
  return value === null || typeof value !== "object" ? String(value) : value.constructor.name;
}
