/** Sounds from the microphone, as learners of sounds take them. */
import { ConfigError, DataError, reason } from "../errors.ts";
import { TAKEN } from "./sound.ts";

/** Samples per second of a recording. */
const RATE = 48_000;
/** Seconds that a recording may be shorter than it was asked to be, for microphones take a moment to begin. */
const LATE = 0.5;

/**
 * Record from the microphone for so many seconds, at most 120, and return the browser's channels at 48 kHz.
 *
 * The browser asks its user for permission first. What browsers change for calls (echoes, noise and loudness) is switched off, so that a
 * word is heard as it is. Throws a ConfigError if there can be no recording here, and a DataError if the microphone was refused or stopped.
 *
 *     const skill = await learner.adapt([await record(1), await record(1)], ["yes", "no"]);
 */
export async function record(seconds: number): Promise<AudioBuffer> {
  if (!(seconds > 0 && seconds <= TAKEN.seconds)) {
    throw new ConfigError(`seconds is ${seconds}; expected more than 0, and at most ${TAKEN.seconds}.`);
  }
  const devices = globalThis.navigator?.mediaDevices;
  if (devices === undefined || typeof MediaRecorder === "undefined") {
    throw new ConfigError("this page cannot record; serve it by https, or from localhost, to a browser that has a microphone.");
  }
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  let stream: MediaStream;
  try {
    stream = await devices.getUserMedia({ audio: plain });
  } catch (error) {
    throw new DataError(`there is no sound from the microphone (${reason(error)}); allow this page to use it, and connect one.`);
  }
  try {
    return cut(await decoded(await recorded(stream, seconds)), seconds);
  } finally {
    for (const track of stream.getTracks()) track.stop();
  }
}

/** Return what a stream gives in so many seconds, as a file of the browser's own format. */
function recorded(stream: MediaStream, seconds: number): Promise<Blob> {
  const recorder = new MediaRecorder(stream);
  const parts: Blob[] = [];
  return new Promise((resolve, reject) => {
    recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
    recorder.addEventListener("stop", () => resolve(new Blob(parts, { type: recorder.mimeType })));
    recorder.addEventListener("error", () => reject(new DataError("the recording broke off; record it again.")));
    recorder.addEventListener("start", () => setTimeout(() => recorder.state === "recording" && recorder.stop(), seconds * 1000));
    recorder.start();
  });
}

/** Return the sound of a file. */
async function decoded(file: Blob): Promise<AudioBuffer> {
  try {
    return await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  } catch (error) {
    throw new DataError(`the recording cannot be read (${reason(error)}); record it again.`);
  }
}

/** Return the first seconds of a sound, which browsers record a little longer than they are asked to. */
function cut(sound: AudioBuffer, seconds: number): AudioBuffer {
  if (sound.duration < seconds - LATE) {
    throw new DataError(`the microphone stopped after ${sound.duration.toFixed(1)} of ${seconds} s; connect it, and record again.`);
  }
  const length = Math.min(sound.length, Math.max(1, Math.round(seconds * sound.sampleRate)));
  const { numberOfChannels, sampleRate } = sound;
  const kept = new AudioBuffer({ length, numberOfChannels, sampleRate });
  for (let channel = 0; channel < numberOfChannels; channel++) {
    kept.copyToChannel(sound.getChannelData(channel).subarray(0, length), channel);
  }
  return kept;
}
