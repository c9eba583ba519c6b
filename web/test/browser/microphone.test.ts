/** The microphone, in whose place Chromium plays a file: what is recorded is learned from like any other sound. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type * as Module from "../../src/index.ts";
import { type Served, serve } from "../python.ts";
import { type Browser, offer, openBrowser } from "./browser.ts";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const PITCH = 1000;
const fixtures = inject("fixtures");
let served: Served;
let browser: Browser;

declare const Learner: typeof Module.Learner;
declare const record: typeof Module.record;

/** Return a wav file of two seconds of a tone. */
function tone(pitch: number, rate = 48_000): Buffer {
  const samples = Int16Array.from({ length: 2 * rate }, (_, place) => 12_000 * Math.sin((2 * Math.PI * pitch * place) / rate));
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + samples.byteLength, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(2 * rate, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([head, Buffer.from(samples.buffer)]);
}

beforeAll(async () => {
  const file = join(fixtures, "tone.wav");
  writeFileSync(file, tone(PITCH));
  served = await serve(join(HERE, "serve.py"), join(fixtures, "prototypes.qs"));
  const devices = ["--use-fake-device-for-media-stream", `--use-file-for-fake-audio-capture=${file}`];
  browser = await openBrowser({ permissions: ["microphone"] }, devices);
  await offer(browser.context, fixtures);
  await browser.page.goto(served.url);
  await browser.page.evaluate("import('/quickstudy.js').then((module) => void Object.assign(window, module))");
});

afterAll(async () => {
  await browser?.close();
  served?.stop();
});

test("what the microphone hears is recorded for as long as is asked", async () => {
  const { seconds, crossings } = await browser.page.evaluate(async () => {
    const sound = await record(1.5);
    const samples = sound.getChannelData(0);
    const half = samples.subarray(samples.length >> 1); // the beginning may be silent, until the device plays
    const crossings = half.reduce((count, value, place) => count + (place > 0 && value >= 0 && half[place - 1]! < 0 ? 1 : 0), 0);
    return { seconds: sound.duration, crossings: crossings / (half.length / sound.sampleRate) };
  });
  expect(seconds).toBeGreaterThan(1);
  expect(seconds).toBeLessThanOrEqual(1.5);
  expect(Math.abs(crossings / PITCH - 1)).toBeLessThan(0.1);
});

test("a recording is told from another sound", async () => {
  const found = await browser.page.evaluate(async () => {
    const learner = await Learner.load("/fixtures/sounds.qs");
    const rate = 16_000;
    const noise = Float32Array.from({ length: rate }, (_, place) => Math.sin(place * place * 12.9898) * 0.3);
    const skill = await learner.adapt([await record(1), { samples: noise, rate }], ["tone", "noise"]);
    return (await skill.predict([await record(1)])).map(({ label }) => label);
  });
  expect(found).toEqual(["tone"]);
});

test("a microphone that stops on the way is an error, and so is a browser that cannot record", async () => {
  const found = await browser.page.evaluate(async () => {
    const failure = (error: unknown) => String(error);
    const { getUserMedia } = navigator.mediaDevices;
    navigator.mediaDevices.getUserMedia = async (wishes) => {
      const stream = await getUserMedia.call(navigator.mediaDevices, wishes);
      setTimeout(() => stream.getTracks().forEach((track) => track.stop()), 700);
      return stream;
    };
    const stopped = await record(4).catch(failure);
    navigator.mediaDevices.getUserMedia = getUserMedia;
    const { MediaRecorder } = window;
    Object.assign(window, { MediaRecorder: undefined });
    const lacking = await record(1).catch(failure);
    Object.assign(window, { MediaRecorder });
    return { stopped, lacking };
  });
  expect(found.stopped).toMatch(/^DataError: the microphone stopped after \d\.\d of 4 s; connect it, and record again\.$/);
  expect(found.lacking).toBe(
    "ConfigError: this page cannot record; serve it by https, or from localhost, to a browser that has a microphone.",
  );
});

test("a microphone that nobody allows is an error that says so", async () => {
  const refused = await browser.page.evaluate(async () => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("Permission denied", "NotAllowedError"));
    const failure = (error: unknown) => String(error);
    return [await record(1).catch(failure), await record(0).catch(failure), await record(500).catch(failure)];
  });
  expect(refused).toEqual([
    "DataError: there is no sound from the microphone (Permission denied); allow this page to use it, and connect one.",
    "ConfigError: seconds is 0; expected more than 0, and at most 120.",
    "ConfigError: seconds is 500; expected more than 0, and at most 120.",
  ]);
});
