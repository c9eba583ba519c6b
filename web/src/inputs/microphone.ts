/** Sounds from the microphone, as learners of sounds take them. */
import { ConfigError, DataError, reason } from "../errors.ts";

/** Seconds that may be recorded at once, as many as a sound may have. */
const MOST_SECONDS = 120;

/**
 * Record from the microphone for so many seconds; the browser asks whoever sits before it for leave.
 *
 * Browsers change what they record for calls (echoes, noise and loudness); none of it is asked for here, so that a word is heard as it is.
 *
 *     const skill = await learner.adapt([await record(1), await record(1)], ["yes", "no"]);
 */
export async function record(seconds: number): Promise<AudioBuffer> {
  if (!(seconds > 0 && seconds <= MOST_SECONDS)) {
    throw new ConfigError(`seconds is ${seconds}; expected more than 0, and at most ${MOST_SECONDS}.`);
  }
  const devices = globalThis.navigator?.mediaDevices;
  if (devices === undefined) {
    throw new ConfigError("this page cannot hear a microphone; serve it by https, or from localhost, to a browser that has one.");
  }
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  let stream: MediaStream;
  try {
    stream = await devices.getUserMedia({ audio: plain });
  } catch (error) {
    throw new DataError(`there is no sound from the microphone (${reason(error)}); allow this page to use it, and connect one.`);
  }
  try {
    const file = await recorded(stream, seconds);
    return await new OfflineAudioContext(1, 1, 48_000).decodeAudioData(await file.arrayBuffer());
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
    recorder.addEventListener("start", () => setTimeout(() => recorder.stop(), seconds * 1000));
    recorder.start();
  });
}
