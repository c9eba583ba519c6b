/**
 * Learners of quickstudy in a browser tab.
 *
 *     const learner = await Learner.load("learner.qs");
 *     const task = await learner.adapt(images, ["alpha", "beta"]);
 *     const [{ label, probabilities, unknown }] = await task.predict([image]);
 */
export { ConfigError, DataError, FileFormatError, QuickstudyError, TaskError } from "./errors.ts";
export type { Example } from "./examples.ts";
export type { ImageLike, PixelArray } from "./image.ts";
export { type AdaptOptions, Learner, type Source } from "./learner.ts";
export type { Ink, Label, Manifest } from "./manifest.ts";
export { configure, type Options, threads } from "./session.ts";
export type { Given, Prediction, Task } from "./task.ts";
