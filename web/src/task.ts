/** A learner that has learned one task: it predicts, learns more, forgets, and is saved. */
import { type Examples, type Learned, writeTask } from "./bundle.ts";
import { DataError, TaskError } from "./errors.ts";
import { checkLabels, type Example, oneHot, stack, withNew } from "./examples.ts";
import type { Ink, Label } from "./manifest.ts";
import type { Model, Settings } from "./model.ts";
import type { Values } from "./safetensors.ts";
import { concatenate, NOTHING, range, take, takeWays } from "./state.ts";

/** Examples predicted at once, so that memory does not grow with their number. */
const BATCH = 256;

export interface Prediction {
  readonly label: Label;
  /** Softmax of the logits, in the order of `task.labels`. */
  readonly probabilities: readonly number[];
  readonly logits: readonly number[];
  /** Whether it belongs to none of the classes; null where the learner has no calibrated threshold. */
  readonly unknown: boolean | null;
}

export interface Given {
  /** Polarity of the images, where it is not the learner's own: "dark" on light, or "light" on dark. */
  ink?: Ink | undefined;
}

export class Task {
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly model: Model,
    private ways: readonly Label[],
    private learned: Learned,
    private readonly settings: Settings,
    /** Polarity of images for which no other is given. */
    readonly ink: Ink | undefined,
  ) {}

  /** What `Learner.adapt` does. */
  static async adapt(
    model: Model,
    images: readonly Example[],
    labels: readonly Label[],
    settings: Settings,
    ink?: Ink,
  ): Promise<Task> {
    const task = new Task(model, [], { state: new Map(), support: null }, settings, ink);
    await task.add(images, labels);
    return task;
  }

  /** The task that a file holds, null where it holds a learner alone. */
  static resume(model: Model): Task | null {
    const { labels, settings, ink } = model.manifest;
    const { learned } = model.bundle;
    return learned === null ? null : new Task(model, labels!, learned, settings, ink ?? undefined);
  }

  /** The classes, in the order of `probabilities`: sorted where they can be; those added later come after them. */
  get labels(): readonly Label[] {
    return this.ways;
  }

  /** Predictions for images, one for each. */
  async predict(images: readonly Example[], given: Given = {}): Promise<Prediction[]> {
    const x = await stack(images, this.model.manifest.input, given.ink ?? this.ink);
    return this.inTurn(async () => {
      const made: Prediction[] = [];
      for (let from = 0; from < images.length; from += BATCH) {
        const part = range(Math.min(BATCH, images.length - from)).map((index) => from + index);
        made.push(...this.predictions(await this.model.predict(this.learned.state, take(x, 0, part))));
      }
      return made;
    });
  }

  /** Learn from more examples, of known or of new classes. */
  async add(images: readonly Example[], labels: readonly Label[], given: Given = {}): Promise<void> {
    const x = await stack(images, this.model.manifest.input, given.ink ?? this.ink);
    checkLabels(labels, images.length);
    return this.inTurn(async () => {
      const ways = withNew(this.ways, labels);
      checkWays(ways);
      const more = { x, y: oneHot(labels, ways) };
      const { state, support } = this.learned;
      if (!this.model.manifest.continues) await this.adaptTo(support === null ? more : joined(support, more), ways);
      else
        this.keep(
          { state: await this.model.adapt(more, this.settings, this.ways.length > 0 ? state : undefined), support: null },
          ways,
        );
    });
  }

  /** Unlearn a class. */
  async forget(label: Label): Promise<void> {
    return this.inTurn(async () => {
      const gone = this.ways.indexOf(label);
      if (gone < 0) {
        throw new DataError(
          `label ${JSON.stringify(label)} was not learned; expected one of ${this.ways.map((way) => JSON.stringify(way)).join(", ")}.`,
        );
      }
      const kept = range(this.ways.length).filter((way) => way !== gone);
      const ways = kept.map((way) => this.ways[way]!);
      checkWays(ways);
      const { state, support } = this.learned;
      if (support === null) return this.keep({ state: takeWays(state, this.model.manifest.state, kept), support }, ways);
      const y = support.y;
      const others = range(y.shape[0]!).filter((example) => y.data[example * y.shape[1]! + gone] !== 1);
      return this.adaptTo({ x: take(support.x, 0, others), y: take(take(y, 0, others), 1, kept) }, ways);
    });
  }

  /** A file with the learner and what it has learned, for `Learner.load` here and `quickstudy.runtime` in Python. */
  async save(): Promise<Blob> {
    return this.inTurn(async () => {
      const facts = { labels: this.ways, settings: this.settings, ink: this.ink ?? null };
      return new Blob([await writeTask(this.model.bundle, this.learned, facts)], { type: "application/zip" });
    });
  }

  private async adaptTo(support: Examples, ways: readonly Label[]): Promise<void> {
    this.keep({ state: await this.model.adapt(support, this.settings), support }, ways);
  }

  private keep(learned: Learned, ways: readonly Label[]): void {
    for (const [name, { data }] of learned.state) {
      if (!data.every(Number.isFinite)) {
        throw new DataError(
          `adapting gave a ${name} that is no number any more; what was learned before stays. Try a smaller inner_lr.`,
        );
      }
    }
    this.learned = learned;
    this.ways = ways;
  }

  private predictions({ shape, data }: Values): Prediction[] {
    const threshold = this.model.manifest.unknown?.threshold;
    return range(shape[0]!).map((query) => {
      const logits = [...data.subarray(query * shape[1]!, (query + 1) * shape[1]!)];
      const highest = Math.max(...logits);
      const powers = logits.map((logit) => Math.exp(logit - highest));
      const sum = powers.reduce((total, power) => total + power, 0);
      return {
        label: this.ways[logits.indexOf(highest)]!,
        probabilities: powers.map((power) => power / sum),
        logits,
        unknown: threshold === undefined ? null : highest < threshold,
      };
    });
  }

  /** One after the other, so that no call builds on a state that another is about to replace. */
  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.turn.then(work);
    this.turn = mine.catch(() => undefined); // the caller gets the error; the next call goes on from the state before
    return mine;
  }
}

function joined(earlier: Examples, more: Examples): Examples {
  const [before, ways] = [earlier.y.shape[1]!, more.y.shape[1]!];
  const y = take(earlier.y, 1, [...range(before), ...Array<number>(ways - before).fill(NOTHING)]);
  return { x: concatenate(earlier.x, more.x), y: concatenate(y, more.y) };
}

function checkWays(ways: readonly Label[]): void {
  if (ways.length < 2) {
    throw new TaskError(
      `${JSON.stringify(ways[0] ?? null)} would be the only class; expected two at least. Add examples of another.`,
    );
  }
}
