/** Resampling, trimming and centring of waves, with the numbers of `quickstudy.inputs._waves` in Python. */
import { roundHalfEven } from "../numbers.ts";

/**
 * Zero crossings of the sinc on either side, at the lower of the two rates; shape of its Kaiser window; share of the lower rate's band that is
 * kept; largest denominator of a ratio of rates. Python says why.
 */
const RESAMPLING = { crossings: 32, beta: 9, kept: 0.945, denominator: 1000 };
/** Decibels below the loudest block at which an end is silent; milliseconds of a block; blocks of a silent end that stay. */
const ENDS = { range: 40, block: 10, margin: 2 };
/** Ratios of rates whose kernels are remembered, because most sounds of a page have one rate. */
const REMEMBERED = 8;

interface Kernels {
  /** For each place between two samples, the weights of the samples around it. */
  readonly weights: readonly Float64Array[];
  /** How many samples lie on either side. */
  readonly half: number;
}

const remembered = new Map<string, Kernels>();

/** Return a wave of `before` samples per second with `after` of them, by a windowed sinc in as many phases as the ratio has. */
export function resampled(wave: Float64Array, before: number, after: number): Float64Array {
  if (before === after) return wave;
  const [up, down] = ratioOf(after, before);
  const { weights, half } = kernelsOf(up, down);
  const found = new Float64Array(Math.ceil((wave.length * up) / down));
  for (let place = 0; place < found.length; place++) {
    const middle = Math.floor((place * down) / up);
    const kernel = weights[(place * down) % up]!;
    const first = Math.max(0, middle - half);
    const last = Math.min(wave.length - 1, middle + half);
    let sum = 0;
    for (let at = first; at <= last; at++) sum += wave[at]! * kernel[at - middle + half]!;
    found[place] = sum;
  }
  return found;
}

/** Return numerator and denominator of the fraction nearest to a ratio, as `Fraction.limit_denominator` finds them in Python. */
export function ratioOf(numerator: number, denominator: number): [number, number] {
  const divisor = divisorOf(numerator, denominator);
  const [whole, parts] = [numerator / divisor, denominator / divisor];
  if (parts <= RESAMPLING.denominator) return [whole, parts];
  let [above, below, aboveNext, belowNext] = [0, 1, 1, 0]; // two neighbouring fractions, between which the ratio lies
  let [rest, divided] = [whole, parts];
  for (;;) {
    const times = Math.floor(rest / divided);
    const belowAfter = below + times * belowNext;
    if (belowAfter > RESAMPLING.denominator) break;
    [above, below, aboveNext, belowNext] = [aboveNext, belowNext, above + times * aboveNext, belowAfter];
    [rest, divided] = [divided, rest - times * divided];
  }
  const times = Math.floor((RESAMPLING.denominator - below) / belowNext);
  const nearer = 2 * divided * (below + times * belowNext) <= parts;
  return nearer ? [aboveNext, belowNext] : [above + times * aboveNext, below + times * belowNext];
}

function divisorOf(one: number, other: number): number {
  return other === 0 ? one : divisorOf(other, one % other);
}

/** Return the weights of the samples around each of `up` places between two samples. */
function kernelsOf(up: number, down: number): Kernels {
  const name = `${up}/${down}`;
  const known = remembered.get(name);
  if (known !== undefined) return known;
  if (remembered.size >= REMEMBERED) remembered.delete(remembered.keys().next().value!);
  const band = Math.min(1, up / down) * RESAMPLING.kept;
  const reach = RESAMPLING.crossings * Math.max(1, down / up);
  const half = Math.ceil(reach);
  const weights = Array.from({ length: up }, (_, phase) => {
    const kernel = Float64Array.from({ length: 2 * half + 1 }, (_, at) => weightAt(at - half - phase / up, band, reach));
    const sum = kernel.reduce((total, weight) => total + weight, 0);
    return kernel.map((weight) => weight / sum);
  });
  const made = { weights, half };
  remembered.set(name, made);
  return made;
}

/** Return the weight of a sample at a distance: a sinc under a Kaiser window. */
function weightAt(distance: number, band: number, reach: number): number {
  if (Math.abs(distance) >= reach) return 0;
  const angle = Math.PI * band * distance;
  const window = bessel(RESAMPLING.beta * Math.sqrt(1 - (distance / reach) ** 2)) / bessel(RESAMPLING.beta);
  return band * (angle === 0 ? 1 : Math.sin(angle) / angle) * window;
}

/** Return the modified Bessel function of order zero, by its power series, which needs some 30 terms for numbers up to 9. */
function bessel(value: number): number {
  let [term, sum] = [1, 1];
  for (let order = 1; term > sum * 1e-17; order++) {
    term *= (value / 2 / order) ** 2;
    sum += term;
  }
  return sum;
}

/** Return a wave without the silence at its ends. */
export function trimmed(wave: Float64Array, rate: number): Float64Array {
  const size = Math.max(1, roundHalfEven((rate * ENDS.block) / 1000));
  const power = new Float64Array(Math.ceil(wave.length / size));
  wave.forEach((sample, at) => (power[Math.floor(at / size)]! += sample ** 2 / size));
  const least = power.reduce((most, value) => Math.max(most, value), 0) * 10 ** (-ENDS.range / 10);
  const first = power.findIndex((value) => value > least);
  if (first < 0) return wave;
  const last = power.findLastIndex((value) => value > least);
  return wave.subarray(Math.max(0, first - ENDS.margin) * size, (last + 1 + ENDS.margin) * size);
}

/** Return the middle of a wave that is longer than this many samples, and a shorter one with as much silence on either side. */
export function centred(wave: Float64Array, length: number): Float64Array {
  if (wave.length > length) {
    const begin = Math.floor((wave.length - length) / 2);
    return wave.subarray(begin, begin + length);
  }
  const found = new Float64Array(length);
  found.set(wave, Math.floor((length - wave.length) / 2));
  return found;
}
