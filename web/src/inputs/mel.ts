/** Log-mel pictures of waves: the numbers of `quickstudy.inputs._waves` in Python, and so of librosa. */
import { range } from "../state.ts";

/** Decibels below a picture's loudest place at which it is black, as librosa's `power_to_db` has them. */
export const DECIBELS = 80;
/** Power that counts as nothing, as there. */
const LEAST_POWER = 1e-10;

/** How a wave becomes a picture: samples per second, bands, samples of a window, and samples from one frame to the next. */
export interface MelShape {
  readonly rate: number;
  readonly mels: number;
  readonly window: number;
  readonly hop: number;
}

/** Return decibels below the loudest place, from -80 to 0, `[mel, frame]`, the frames of a band one after the other. */
export function decibels(power: Float64Array): Float64Array {
  const found = power.map((value) => 10 * Math.log10(Math.max(value, LEAST_POWER)));
  const loudest = found.reduce((most, value) => Math.max(most, value), -Infinity);
  return found.map((value) => Math.max(value - loudest, -DECIBELS));
}

/**
 * Return the power of a wave in each mel band and frame, `[mel, frame]`.
 *
 * Windows are periodic ones of Hann, whose middles are `hop` samples apart, the first at the wave's beginning, with silence before and behind
 * it. A frame that would lie at the very end is left out.
 */
export function melPower(wave: Float64Array, { rate, mels, window, hop }: MelShape): Float64Array {
  const size = transformSize(window);
  const frames = Math.max(1, Math.floor(wave.length / hop));
  const [shape, filters] = [hann(window, size), melFilters(rate, size, mels)];
  const found = new Float64Array(mels * frames);
  const [real, imaginary] = [new Float64Array(size), new Float64Array(size)];
  for (let frame = 0; frame < frames; frame++) {
    const begin = frame * hop - size / 2;
    for (let at = 0; at < size; at++) real[at] = (wave[begin + at] ?? 0) * shape[at]!;
    imaginary.fill(0);
    transform(real, imaginary);
    filters.forEach((filter, mel) => {
      let sum = 0;
      for (let at = 0; at < filter.length; at++) sum += filter[at]! * (real[at]! ** 2 + imaginary[at]! ** 2);
      found[mel * frames + frame] = sum;
    });
  }
  return found;
}

/** Return the length of the Fourier transform of a window: the next power of two. */
export function transformSize(window: number): number {
  return 2 ** (32 - Math.clz32(Math.max(1, window - 1)));
}

/** Return a periodic Hann window in the middle of `size` samples, with zeros on either side. */
function hann(window: number, size: number): Float64Array {
  const found = new Float64Array(size);
  const begin = Math.floor((size - window) / 2);
  for (let at = 0; at < window; at++) found[begin + at] = 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / window);
  return found;
}

/** Return the weight of each frequency in each mel band: triangles of one area on Slaney's scale, from 0 Hz to half the rate. */
export function melFilters(rate: number, size: number, mels: number): Float64Array[] {
  const most = toMel(rate / 2);
  const edges = range(mels + 2).map((edge) => fromMel((most * edge) / (mels + 1)));
  return range(mels).map((mel) => {
    const [low, middle, high] = [edges[mel]!, edges[mel + 1]!, edges[mel + 2]!];
    return Float64Array.from({ length: size / 2 + 1 }, (_, at) => {
      const frequency = (rate * at) / size;
      const triangle = Math.min((frequency - low) / (middle - low), (high - frequency) / (high - middle));
      return (Math.max(0, triangle) * 2) / (high - low);
    });
  });
}

/** Return a frequency on Slaney's scale: 200/3 Hz to a mel up to 1000 Hz, 27 mels to a factor of 6.4 above. */
function toMel(hertz: number): number {
  return hertz < 1000 ? (hertz * 3) / 200 : 15 + (27 * Math.log(hertz / 1000)) / Math.log(6.4);
}

/** Return a frequency in Hz: `toMel` undone. */
function fromMel(mels: number): number {
  return mels < 15 ? (mels * 200) / 3 : 1000 * Math.exp(((mels - 15) * Math.log(6.4)) / 27);
}

/** Replace numbers, as many as a power of two, by their Fourier transform (Cooley and Tukey 1965). */
function transform(real: Float64Array, imaginary: Float64Array): void {
  const size = real.length;
  for (let at = 1, mirrored = 0; at < size; at++) {
    let bit = size >> 1;
    for (; mirrored & bit; bit >>= 1) mirrored ^= bit;
    mirrored ^= bit;
    if (at >= mirrored) continue;
    [real[at], real[mirrored]] = [real[mirrored]!, real[at]!];
    [imaginary[at], imaginary[mirrored]] = [imaginary[mirrored]!, imaginary[at]!];
  }
  for (let half = 1; half < size; half *= 2) {
    for (let step = 0; step < half; step++) {
      const angle = (-Math.PI * step) / half;
      const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
      for (let at = step; at < size; at += 2 * half) combine(real, imaginary, at, at + half, cosine, sine);
    }
  }
}

/** Replace two complex numbers by their sum and difference, after the second was turned by an angle. */
function combine(real: Float64Array, imaginary: Float64Array, one: number, other: number, cosine: number, sine: number): void {
  const turned = real[other]! * cosine - imaginary[other]! * sine;
  const turnedImaginary = real[other]! * sine + imaginary[other]! * cosine;
  [real[other], imaginary[other]] = [real[one]! - turned, imaginary[one]! - turnedImaginary];
  [real[one], imaginary[one]] = [real[one]! + turned, imaginary[one]! + turnedImaginary];
}
