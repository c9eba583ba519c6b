/**
 * Learners of quickstudy in a browser tab.
 *
 *     const learner = await Learner.load("learner.qs");
 *     const skill = await learner.adapt(images, ["alpha", "beta"]);
 *     const [{ label, probabilities, unknown }] = await skill.predict([image]);
 */
export { ConfigError, DataError, FileFormatError, QuickstudyError, TaskError } from "./errors.ts";
export type { ImageLike, ImageSpec, Ink, PixelArray } from "./inputs/image.ts";
export type { Example, InputSpec } from "./inputs/kind.ts";
export { record } from "./inputs/microphone.ts";
export type { RowsSpec } from "./inputs/rows.ts";
export type { Channel, Samples, SoundLike, SoundSpec } from "./inputs/sound.ts";
export type { Cell, Column } from "./inputs/columns.ts";
export type { TableRow, TableSpec } from "./inputs/table.ts";
export type { TextLike, TextSpec } from "./inputs/text.ts";
export { type AdaptOptions, Learner, type Source } from "./learner.ts";
export type { Label, Manifest } from "./manifest.ts";
export { configure, type Options, threads } from "./session.ts";
export type { Answers, Given, Prediction, Skill } from "./skill.ts";
export type { Value } from "./values.ts";
