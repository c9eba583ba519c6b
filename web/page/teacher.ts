/** What the page knows: a learner, the examples shown to it, and the skill that it has made of them. */
import { ConfigError, type ImageSpec, type Ink, type Label, type Learner, type Prediction, type Skill } from "../src/index.ts";

export interface Shown {
  readonly label: Label;
  readonly image: HTMLCanvasElement;
}

export class Teacher {
  /** Examples added on this page; a skill that came from a file has more of them. */
  examples: Shown[] = [];
  private skill: Skill | null;
  private warned = false;
  private readonly fromFile: boolean;

  constructor(readonly learner: Learner) {
    const { kind } = learner.manifest.target;
    if (kind !== "classes") throw new ConfigError(`the learner answers with ${kind}; this page teaches classes. Use quickstudy.js.`);
    this.skill = learner.skill;
    this.fromFile = learner.skill !== null;
  }

  /** Whether there is a skill, which takes two classes. */
  get ready(): boolean {
    return this.skill !== null;
  }

  get labels(): readonly Label[] {
    return this.skill?.labels ?? [...new Set(this.examples.map(({ label }) => label))];
  }

  /** Whether strokes have a polarity: the learner sees grey, and the page gives it dark strokes on light. */
  get strokes(): boolean {
    const { input } = this.learner.manifest;
    return input.kind === "image" && (input as ImageSpec).channels === 1;
  }

  /** Learn from more examples; return how long adapting took in ms, or null if a second class is still missing. */
  async add(more: readonly Shown[]): Promise<number | null> {
    const all = [...this.examples, ...more];
    const start = performance.now();
    if (this.skill !== null) await this.skill.add(images(more), labels(more), this.ink);
    else if (new Set(labels(all)).size > 1) this.skill = await this.learner.adapt(images(all), labels(all), this.ink);
    this.examples = all;
    return this.skill === null ? null : performance.now() - start;
  }

  /** Unlearn a class. */
  async forget(label: Label): Promise<void> {
    if (this.skill?.labels.length === 2 && !this.fromFile)
      this.skill = null; // one class is no skill yet
    else await this.skill?.forget(label);
    this.examples = this.examples.filter((example) => example.label !== label);
  }

  /** Return what the skill makes of an image. */
  async predict(image: HTMLCanvasElement): Promise<Prediction> {
    const [prediction] = await this.skill!.predict([image], this.ink);
    return prediction!;
  }

  /** Return what is unlike the learner's training images, the first time that it is asked for; null if nothing is, or later. */
  warning(): string | null {
    const found = this.skill?.warning ?? null;
    if (found === null || this.warned) return null;
    this.warned = true;
    return found;
  }

  /** Return the skill as a file. */
  async save(): Promise<Blob> {
    return this.skill!.save();
  }

  private get ink(): { ink: Ink | undefined } {
    return { ink: this.strokes ? "dark" : undefined };
  }
}

function images(examples: readonly Shown[]): HTMLCanvasElement[] {
  return examples.map(({ image }) => image);
}

function labels(examples: readonly Shown[]): Label[] {
  return examples.map(({ label }) => label);
}
