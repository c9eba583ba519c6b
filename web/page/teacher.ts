/** What the page knows: a learner, the examples shown to it, and the task it has made of them. */
import type { Ink, Label, Learner, Prediction, Task } from "../src/index.ts";

export interface Shown {
  readonly label: Label;
  readonly image: HTMLCanvasElement;
}

export class Teacher {
  /** Examples added on this page; a task that came from a file has more of them. */
  examples: Shown[] = [];
  private task: Task | null;
  private readonly fromFile: boolean;

  constructor(readonly learner: Learner) {
    this.task = learner.task;
    this.fromFile = learner.task !== null;
  }

  /** Whether it can predict: it can from two classes on. */
  get ready(): boolean {
    return this.task !== null;
  }

  get labels(): readonly Label[] {
    return this.task?.labels ?? [...new Set(this.examples.map(({ label }) => label))];
  }

  /** Whether strokes have a polarity: the learner sees grey, and the page hands it dark on light. */
  get strokes(): boolean {
    const { input } = this.learner.manifest;
    return input.kind === "image" && input.channels === 1;
  }

  /** Learn from more examples; how long adapting took in ms, or null where a second class is still missing. */
  async add(more: readonly Shown[]): Promise<number | null> {
    const all = [...this.examples, ...more];
    const start = performance.now();
    if (this.task !== null) await this.task.add(images(more), labels(more), this.ink);
    else if (new Set(labels(all)).size > 1) this.task = await this.learner.adapt(images(all), labels(all), this.ink);
    this.examples = all;
    return this.task === null ? null : performance.now() - start;
  }

  /** Unlearn a class. */
  async forget(label: Label): Promise<void> {
    if (this.task?.labels.length === 2 && !this.fromFile)
      this.task = null; // one class is no task yet
    else await this.task?.forget(label);
    this.examples = this.examples.filter((example) => example.label !== label);
  }

  async predict(image: HTMLCanvasElement): Promise<Prediction> {
    const [prediction] = await this.task!.predict([image], this.ink);
    return prediction!;
  }

  async save(): Promise<Blob> {
    return this.task!.save();
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
