/** Skill: a task that a learner has learned. It predicts, learns more, forgets, and is saved. */
import { type Examples, type Learned, writeSkill } from "./bundle.ts";
import { ConfigError, DataError, TaskError } from "./errors.ts";
import type { Ink } from "./inputs/image.ts";
import { type Example, fittedTo, type InputSpec, kindOf, readAll, type Reading } from "./inputs/kind.ts";
import type { Inputs } from "./layout.ts";
import { checkLabels, oneHot, withNew } from "./labels.ts";
import type { Label } from "./manifest.ts";
import type { Model, Settings } from "./model.ts";
import type { Tensor, Values } from "./safetensors.ts";
import { concatenate, NOTHING, range, take, takeWays } from "./state.ts";
import { restored, type Value, valueRows } from "./values.ts";

/** Number of examples predicted at once, so that memory does not grow with their number. */
const BATCH = 256;

export interface Prediction {
  readonly label: Label;
  /** Softmax of logits / temperature, in the order of `skill.labels`. */
  readonly probabilities: readonly number[];
  readonly logits: readonly number[];
  /** Whether the example belongs to none of the classes; null if the learner has no calibrated threshold. */
  readonly unknown: boolean | null;
}

/** One label per example; or one value, or row of values, per example for a learner of values. */
export type Answers = readonly Label[] | readonly Value[];

export interface Given {
  /** Polarity of the images, if it is not the learner's own: "dark" on light, or "light" on dark. */
  ink?: Ink | undefined;
}

export class Skill {
  private turn: Promise<unknown> = Promise.resolve();
  /** Keeps the warnings that were given so far: what was lost when examples were read, and how they differ from those of training. */
  private readonly said: Record<"fitted" | "lost" | "unlike", string | null> = { fitted: null, lost: null, unlike: null };

  private constructor(
    private readonly model: Model,
    private ways: readonly Label[],
    private learned: Learned,
    private readonly settings: Settings,
    /** How examples are read if nothing else is said, such as `{ ink: "dark" }`. */
    readonly reading: Reading,
    /** Keeps how examples are read: as the manifest says, and for tables as the first examples told. */
    private input: InputSpec = model.manifest.input,
  ) {}

  /** Return a new skill; this is what `Learner.adapt` does. */
  static async adapt(
    model: Model,
    examples: readonly Example[],
    answers: Answers,
    settings: Settings,
    given: Given,
  ): Promise<Skill> {
    const skill = new Skill(model, [], { state: new Map(), support: null }, settings, asReading(given));
    await skill.add(examples, answers);
    return skill;
  }

  /** Return the skill that a file holds; null if it holds a learner alone. */
  static resume(model: Model): Skill | null {
    const { labels, settings, reading } = model.manifest;
    const { learned } = model.bundle;
    return learned === null ? null : new Skill(model, labels ?? [], learned, settings, reading);
  }

  /** The classes in the order of `probabilities`: sorted if they can be compared; those added later come after them. Values have none. */
  get labels(): readonly Label[] {
    return this.ways;
  }

  /**
   * What the first examples told of their table, the first thing that was lost when examples were read, and the first thing that was far
   * from those of the learner's training, with the remedies; null if there was nothing.
   */
  get warning(): string | null {
    return Object.values(this.said).filter((said) => said !== null).join(" ") || null;
  }

  /** Return a prediction of its class for each example. */
  async predict(examples: readonly Example[], given: Given = {}): Promise<Prediction[]> {
    this.checkTarget("classes", "values");
    return this.outputs(examples, given, (found) => this.predictions(found));
  }

  /** Return the values that a learner of values predicts for each example, in the unit of its answers. */
  async values(examples: readonly Example[], given: Given = {}): Promise<number[][]> {
    this.checkTarget("values", "predict");
    const { scale } = this.model.manifest.target;
    return this.outputs(examples, given, (found) => restored(rows(found), scale));
  }

  /** Learn from more examples, of known or of new classes, or with their values. */
  async add(examples: readonly Example[], answers: Answers, given: Given = {}): Promise<void> {
    const { spec, said } = fittedTo(examples, this.input);
    const inputs = await this.read(examples, given, spec, said);
    const { kind, scale } = this.model.manifest.target;
    if (kind === "values") {
      const y = valueRows(answers as readonly Value[], examples.length, scale);
      return this.inTurn(() => this.learn({ inputs, y }, [], spec));
    }
    const labels = answers as readonly Label[];
    checkLabels(labels, examples.length);
    return this.inTurn(async () => {
      const ways = withNew(this.ways, labels);
      checkWays(ways);
      return this.learn({ inputs, y: oneHot(labels, ways) }, ways, spec);
    });
  }

  /** Learn from more examples, read as `spec` says, whose `y` has a column for each of these ways, or for each value. */
  private async learn(more: Examples, ways: readonly Label[], spec: InputSpec): Promise<void> {
    const { state, support } = this.learned;
    const [given, before] = [more.y.shape[1]!, support?.y.shape[1] ?? this.model.waysOf(state)];
    if (ways.length === 0 && before !== undefined && before !== given)
      throw new DataError(`y has ${given} values per example; expected ${before}, as earlier ones have.`);
    const all = support === null ? more : joined(support, more);
    if (!this.model.manifest.continues) return this.adaptTo(all, ways, spec);
    const earlier = state.size > 0 ? state : undefined;
    this.keep({ state: await this.model.adapt(more, spec, this.settings, earlier), support: support && all }, ways, spec);
  }

  /** Return what is made of the learner's outputs for examples, some examples at a time. */
  private async outputs<Made>(examples: readonly Example[], given: Given, make: (found: Values) => Made[]): Promise<Made[]> {
    const inputs = await this.read(examples, given, this.input);
    return this.inTurn(async () => {
      const made: Made[] = [];
      for (let from = 0; from < examples.length; from += BATCH) {
        const part = range(Math.min(BATCH, examples.length - from)).map((index) => from + index);
        made.push(...make(await this.model.predict(this.learned.state, rowsOf(inputs, part), this.input)));
      }
      return made;
    });
  }

  /** Throw a ConfigError, which names the method to call, unless the learner gives this kind of answer. */
  private checkTarget(kind: string, other: string): void {
    const found = this.model.manifest.target.kind;
    if (found !== kind) throw new ConfigError(`the learner answers with ${found}, not ${kind}; call ${other}().`);
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
      const rest = support && without(support, gone, kept);
      if (!this.model.manifest.continues) return this.adaptTo(rest!, ways);
      this.keep({ state: takeWays(state, this.model.manifest.state, kept), support: rest }, ways);
    });
  }

  /** Return a file with the learner and what it has learned, for `Learner.load` here and `quickstudy.runtime` in Python. */
  async save(): Promise<Blob> {
    return this.inTurn(async () => {
      const facts = { input: this.input, labels: this.ways, settings: this.settings, reading: this.reading };
      return new Blob([await writeSkill(this.model.bundle, this.learned, facts)], { type: "application/zip" });
    });
  }

  /** Return examples in their stored form; the first time that they lose something or are unlike those of training, say so. */
  private async read(examples: readonly Example[], given: Given, spec: InputSpec, said: readonly string[] = []): Promise<Inputs> {
    const { layout, statistics } = this.model.manifest;
    const reading = { ...this.reading, ...asReading(given) };
    const { inputs, remark } = await readAll(examples, spec, layout, reading);
    const found = { fitted: said.join(" ") || null, lost: remark, unlike: kindOf(spec).unlike(inputs, layout, spec, statistics, reading) };
    for (const about of ["fitted", "lost", "unlike"] as const) {
      if (this.said[about] !== null || found[about] === null) continue;
      this.said[about] = found[about];
      console.warn(found[about]);
    }
    return inputs;
  }

  private async adaptTo(support: Examples, ways: readonly Label[], spec = this.input): Promise<void> {
    this.keep({ state: await this.model.adapt(support, spec, this.settings), support }, ways, spec);
  }

  /** Replace what is known as a whole, unless the new state is no number any more. */
  private keep(learned: Learned, ways: readonly Label[], spec = this.input): void {
    for (const [name, { data }] of learned.state) {
      if (!data.every(Number.isFinite)) {
        throw new DataError(
          `adapting gave a ${name} that is no number any more; what was learned before stays. Try a smaller inner_lr.`,
        );
      }
    }
    this.learned = learned;
    this.ways = ways;
    this.input = spec;
  }

  private predictions(found: Values): Prediction[] {
    const { unknown, temperature: atOne, temperature_power: power } = this.model.manifest;
    const temperature = atOne * this.ways.length ** power;
    return rows(found).map((logits) => {
      const highest = Math.max(...logits);
      const powers = logits.map((logit) => Math.exp((logit - highest) / temperature));
      const sum = powers.reduce((total, power) => total + power, 0);
      return {
        label: this.ways[logits.indexOf(highest)]!,
        probabilities: powers.map((power) => power / sum),
        logits,
        unknown: unknown == null ? null : highest < unknown.threshold,
      };
    });
  }

  /** Run calls one after the other, so that no call builds on a state that another is about to replace. */
  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.turn.then(work);
    this.turn = mine.catch(() => undefined); // the caller gets the error; the next call goes on from the state before
    return mine;
  }
}

/** Return what was said of how examples are read, without what was left open. */
function asReading({ ink }: Given): Reading {
  return ink === undefined ? {} : { ink };
}

/** Return the rows of a matrix. */
function rows({ shape, data }: Values): number[][] {
  return range(shape[0]!).map((row) => [...data.subarray(row * shape[1]!, (row + 1) * shape[1]!)]);
}

/** Return chosen examples. */
function rowsOf(inputs: Inputs, rows: readonly number[]): Inputs {
  return new Map([...inputs].map(([name, stored]) => [name, take(stored, 0, rows)]));
}

/** Return earlier examples and later ones, whose `y` has a column for every way. */
function joined(earlier: Examples, more: Examples): Examples {
  const [before, ways] = [earlier.y.shape[1]!, more.y.shape[1]!];
  const y = take(earlier.y, 1, [...range(before), ...Array<number>(ways - before).fill(NOTHING)]);
  const together = ([name, stored]: [string, Tensor]): [string, Tensor] => [
    name,
    concatenate(stored, more.inputs.get(name)!),
  ];
  return { inputs: new Map([...earlier.inputs].map(together)), y: concatenate(y, more.y) };
}

/** Return the examples that are not of the way that is gone, with columns for the others. */
function without({ inputs, y }: Examples, gone: number, kept: readonly number[]): Examples {
  const rest = range(y.shape[0]!).filter((example) => y.data[example * y.shape[1]! + gone] !== 1);
  return { inputs: rowsOf(inputs, rest), y: take(take(y, 0, rest), 1, kept) };
}

/** Throw a TaskError if there would be a single class. */
function checkWays(ways: readonly Label[]): void {
  if (ways.length < 2) {
    throw new TaskError(
      `${JSON.stringify(ways[0] ?? null)} would be the only class; expected two at least. Add examples of another.`,
    );
  }
}
