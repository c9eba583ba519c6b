/** Sounds of any rate and length as log-mel pictures: the same bytes, refusals and warnings as `quickstudy.inputs.sound` in Python. */
import { isSize, refuseReading } from "../checks.ts";
import { DataError } from "../errors.ts";
import { fixed, mean, roundHalfEven, spread } from "../numbers.ts";
import { count, type Tensor } from "../safetensors.ts";
import { range } from "../state.ts";
import type { InputSpec, Kind } from "./kind.ts";
import { DECIBELS, decibels, melFilters, melPower, type MelShape, transformSize } from "./mel.ts";
import { centred, resampled, trimmed } from "./waves.ts";

/** Samples of one channel: floats, or whole numbers with a sign. */
export type Channel = Float32Array | Float64Array | Int16Array | Int32Array | readonly number[];

/** Samples, or those of each channel, and how many there are in a second. */
export interface Samples {
  readonly samples: Channel | readonly Channel[];
  readonly rate: number;
}

/** Names what may be given as a sound: samples with their rate, or the `AudioBuffer` that `AudioContext.decodeAudioData` returns. */
export type SoundLike = Samples | AudioBuffer;

/** Describes the sounds that a network was made for. */
export interface SoundSpec extends InputSpec {
  readonly kind: "sound";
  /** Samples per second. */
  readonly rate: number;
  /** Time of a picture. */
  readonly seconds: number;
  /** Bands from 0 Hz to half the rate. */
  readonly mels: number;
  /** Milliseconds of each frame, and from one frame to the next. */
  readonly window: number;
  readonly hop: number;
  /** Whether silence at both ends is cut off. */
  readonly trim: boolean;
}

/** Milliseconds of the shortest sound, seconds of the longest, the lowest and the highest rate, and the most channels. */
export const TAKEN = { milliseconds: 10, seconds: 120, leastRate: 2000, mostRate: 384_000, channels: 256 };
/** Spreads of the training sounds above which others are called far from them; the number that counts as one spread if they vary less. */
const UNLIKE = { spreads: 3, least: 0.05 };
/** Names of the statistics of sounds in files, with the words for them in warnings; all from 0 to 1. */
const MEASURED: Readonly<Record<string, string>> = {
  length: "the share of the time in which something is heard",
  ground: "the level of the quietest moments",
  brightness: "the middle of the pitch",
};
/** The smallest normal float32, below which a sound is silent. */
const TINY = 2 ** -126;
/** Share by which a sound may be longer than a picture: rounding alone. */
const ROUNDING = 1e-6;
const EXPECTED = "{samples, rate} with a Float32Array, or one for each channel; or an AudioBuffer";
const CHANNELS = [Float32Array, Float64Array, Int16Array, Int32Array, Array];

export const soundKind: Kind<SoundSpec> = {
  axes(found) {
    const { rate, seconds, mels, window, hop, trim } = found;
    const within = (value: unknown, least: number, most: number) => typeof value === "number" && value >= least && value <= most;
    const sizes = isSize(rate, 192_000) && rate >= 2000 && isSize(mels, 512) && mels >= 4;
    if (!sizes || !within(seconds, 1e-9, 60) || !within(window, 1, 1000) || !within(hop, 1, 1000)) return null;
    if (typeof trim !== "boolean" || framesOf(found) < 1) return null;
    const filters = melFilters(rate, transformSize(shapeOf(found).window), mels);
    return filters.every((filter) => filter.some((weight) => weight > 0)) ? { sound: [1, mels, framesOf(found)] } : null;
  },

  checkReading: (reading) => refuseReading(reading, "sounds"),

  async read(example, index, spec, _reading, noticed) {
    const { wave, rate } = checked(samplesOf(example, `sound ${index}`), `sound ${index}`);
    const heard = spec.trim ? trimmed(wave, rate) : wave;
    const seconds = heard.length / rate;
    if (seconds > spec.seconds * (1 + ROUNDING)) noticed?.tooLong.push(seconds);
    return { sound: Uint8Array.from(levels(heard, rate, spec), (level) => roundHalfEven((1 + level / DECIBELS) * 255)) };
  },

  remark({ tooLong }, examples, { seconds }) {
    if (tooLong.length === 0) return null;
    return (
      `${tooLong.length} of ${examples} sounds are longer than ${Number(seconds.toPrecision(6))} s (the longest has ` +
      `${fixed(tooLong.reduce((longest, time) => Math.max(longest, time), 0), 1)}); their ends are left out.`
    );
  },

  unlike(inputs, _layout, _spec, statistics) {
    let worst = { name: "", value: 0, distance: UNLIKE.spreads };
    for (const [name, values] of Object.entries(measured(inputs.get("sound")!))) {
      const [there, apart] = [statistics[name], statistics[`${name}_spread`]];
      if (there === undefined || apart === undefined) continue;
      const distance = Math.abs(mean(values) - there) / Math.max(apart, UNLIKE.least);
      if (distance > worst.distance) worst = { name, value: mean(values), distance };
    }
    if (worst.name === "") return null;
    return (
      `${MEASURED[worst.name]} is ${fixed(worst.value, 2)} in these sounds (from 0 to 1), but ${fixed(statistics[worst.name]!, 2)} in ` +
      "those that the learner was trained on; record them in the same way, one thing in each."
    );
  },
};

/** Return how a wave becomes a picture, in samples. */
function shapeOf({ rate, mels, window, hop }: SoundSpec): MelShape {
  const samples = (milliseconds: number) => roundHalfEven((milliseconds * rate) / 1000);
  return { rate, mels, window: Math.max(2, samples(window)), hop: Math.max(1, samples(hop)) };
}

/** Return the number of frames of a picture. */
function framesOf(spec: SoundSpec): number {
  return Math.floor(roundHalfEven(spec.seconds * spec.rate) / shapeOf(spec).hop);
}

/** Return the picture of a wave in decibels below its loudest place, `[mel, frame]`. */
export function levels(wave: Float64Array, rate: number, spec: SoundSpec): Float64Array {
  const shape = shapeOf(spec);
  const length = framesOf(spec) * shape.hop;
  const long = wave.length * spec.rate > length * rate;
  const kept = long ? centred(wave, Math.ceil((length * rate) / spec.rate)) : wave;
  return decibels(melPower(centred(resampled(kept, rate, spec.rate), length), shape));
}

/** A wave with how many samples it has in a second. */
interface Wave {
  readonly wave: Float64Array;
  readonly rate: number;
}

/** Return a sound's samples, all channels mixed, however it was given; `label` names it in errors. */
export function samplesOf(example: unknown, label: string): Wave {
  const buffer = example as AudioBuffer | null;
  if (typeof buffer?.getChannelData === "function") {
    const channels = range(buffer.numberOfChannels).map((channel) => buffer.getChannelData(channel));
    return { wave: mixed(channels, label), rate: wholeRate(buffer.sampleRate, label) };
  }
  const { samples, rate } = (example ?? {}) as Partial<Samples>;
  if (!isChannelType(samples)) {
    const kind = example === null || typeof example !== "object" ? String(example) : example.constructor?.name;
    const has = samples === undefined ? "" : ` whose samples are ${typeof samples === "object" ? samples?.constructor?.name : typeof samples}`;
    throw new DataError(`${label} is ${kind}${has}; expected ${EXPECTED}.`);
  }
  const several = Array.isArray(samples) && samples.length > 0 && typeof samples[0] !== "number";
  return { wave: mixed((several ? samples : [samples]) as readonly Channel[], label), rate: wholeRate(rate, label) };
}

function isChannelType(samples: unknown): samples is Channel {
  return CHANNELS.some((type) => samples instanceof type);
}

/** Return the mean of the channels. */
function mixed(channels: readonly Channel[], label: string): Float64Array {
  if (channels.length > TAKEN.channels)
    throw new DataError(`${label} has ${channels.length} channels, which is more than ${TAKEN.channels}; give an array of sounds.`);
  const length = channels[0]?.length ?? 0;
  for (const channel of channels) {
    if (!isChannelType(channel)) throw new DataError(`${label} has a channel that is ${typeof channel}; expected ${EXPECTED}.`);
    if (channel.length !== length)
      throw new DataError(`${label} has channels of ${length} and ${channel.length} samples; expected as many in each. Decode it again.`);
  }
  return Float64Array.from({ length }, (_, at) => channels.reduce((sum, channel) => sum + channel[at]!, 0) / channels.length);
}

/** Return a rate that sounds have. */
function wholeRate(rate: unknown, label: string): number {
  if (!Number.isInteger(rate))
    throw new DataError(`${label} has the rate ${String(rate)}; expected a whole number of samples per second.`);
  if ((rate as number) < TAKEN.leastRate || (rate as number) > TAKEN.mostRate)
    throw new DataError(`${label} has the rate ${rate}; expected ${TAKEN.leastRate} to ${TAKEN.mostRate} samples per second.`);
  return rate as number;
}

/** Return a wave around zero, with 1 as its largest value; a DataError says why it is no sound. */
export function checked({ wave, rate }: Wave, label: string): Wave {
  if (wave.length * 1000 < TAKEN.milliseconds * rate) {
    const milliseconds = (1000 * wave.length) / rate;
    const lasts = Number(fixed(milliseconds, 1 - Math.floor(Math.log10(milliseconds || 1))));
    throw new DataError(`${label} has ${wave.length} samples, ${lasts} ms; expected at least ${TAKEN.milliseconds} ms. Leave it out.`);
  }
  if (wave.length > TAKEN.seconds * rate) {
    const lasts = Number(fixed(wave.length / rate, 0)).toLocaleString("en-US");
    throw new DataError(
      `${label} lasts ${lasts} s; expected at most ${TAKEN.seconds} s. Cut it into one sound for each thing that is heard.`,
    );
  }
  const broken = wave.reduce((found, sample) => found + (Number.isFinite(sample) ? 0 : 1), 0);
  if (broken > 0)
    throw new DataError(`${label} holds ${broken} samples that are NaN or infinite; record it again, or leave it out.`);
  const middle = mean(wave);
  const loudest = wave.reduce((most, sample) => Math.max(most, Math.abs(sample - middle)), 0);
  if (loudest <= TINY) throw new DataError(`${label} is silent from beginning to end; record it again, or leave it out.`);
  return { wave: wave.map((sample) => (sample - middle) / loudest), rate };
}

/** Return how long, how noisy and how bright stored sounds are; each with its spread over sounds. */
export function soundStatistics(pictures: Tensor): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [name, values] of Object.entries(measured(pictures)))
    [found[name], found[`${name}_spread`]] = [mean(values), spread(values)];
  return found;
}

/** Return numbers of each of stored pictures `[sound, 1, mel, frame]`, by name, from 0 to 1. */
function measured({ shape, data }: Tensor): Record<string, number[]> {
  const [mels, frames] = [shape[2]!, shape[3]!];
  const pictures = range(shape[0]!).map((sound) => {
    const begin = sound * count([mels, frames]);
    const level = (mel: number, frame: number) => data[begin + mel * frames + frame]! / 255;
    const loudest = range(frames).map((frame) => Math.max(...range(mels).map((mel) => level(mel, frame))));
    const heard = loudest.filter((most) => most > 0);
    let [total, weighted] = [0, 0];
    for (let mel = 0; mel < mels; mel++) {
      for (let frame = 0; frame < frames; frame++) {
        const weight = 10 ** (((level(mel, frame) - 1) * DECIBELS) / 10);
        total += weight;
        weighted += (weight * mel) / (mels - 1);
      }
    }
    return { length: heard.length / frames, ground: tenth(heard), brightness: weighted / total };
  });
  const all = (name: "length" | "ground" | "brightness") => pictures.map((picture) => picture[name]);
  return { length: all("length"), ground: all("ground"), brightness: all("brightness") };
}

/** Return the number below which a tenth of some numbers lie, between its neighbours, as numpy.quantile does; 0 if there are none. */
function tenth(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const sorted = values.toSorted((one, other) => one - other);
  const place = (sorted.length - 1) / 10;
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return low + (high - low) * (place - Math.floor(place));
}
