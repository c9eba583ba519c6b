/** A learner's functions on tensors: `adapt`, `update`, `predict`. */
import { type Bundle, type Examples, readBundle, type State } from "./bundle.ts";
import { ConfigError, TaskError } from "./errors.ts";
import { type InputSpec, kindOf } from "./inputs/kind.ts";
import { type Inputs, toNetwork } from "./layout.ts";
import type { Manifest, ProgramName } from "./manifest.ts";
import { Program } from "./session.ts";
import { NOTHING, range, takeWays } from "./state.ts";
import type { Values } from "./safetensors.ts";
import type { Bytes } from "./zip.ts";

export type Settings = Readonly<Record<string, number>>;

export class Model {
  private readonly programs = new Map<ProgramName, Promise<Program>>();

  private constructor(readonly bundle: Bundle) {}

  /** Return the model in a bundle's bytes. */
  static async load(archive: Bytes): Promise<Model> {
    const model = new Model(await readBundle(archive));
    await model.program("predict"); // a fault of the graph is one of the file: find it now
    if (model.manifest.kind === "learner") await model.program("adapt");
    return model;
  }

  get manifest(): Manifest {
    return this.bundle.manifest;
  }

  /** Return the learner's settings with some of them changed; a ConfigError says what cannot be. */
  settings(changes: Settings): Settings {
    const known = this.manifest.settings;
    for (const [name, value] of Object.entries(changes)) {
      const expected = Object.keys(known).join(", ") || "none, because this learner has no settings";
      if (!(name in known)) throw new ConfigError(`unknown setting ${JSON.stringify(name)}; expected ${expected}.`);
      if (!(Number.isFinite(value) && value >= 0))
        throw new ConfigError(`${name} is ${value}; expected a number of at least 0.`);
      if (name.endsWith("steps") && !Number.isInteger(value))
        throw new ConfigError(`${name} is ${value}; expected a whole number.`);
    }
    return { ...known, ...changes };
  }

  /** Return the state after learning from examples, which were read as `spec` says, from nothing or from an earlier state. */
  async adapt({ inputs, y }: Examples, spec: InputSpec, settings: Settings, earlier?: State): Promise<State> {
    const ways = y.shape[1]!;
    const { outputs: fixed, most } = this.manifest.target;
    if (most != null && ways > most) {
      throw new TaskError(`the task has ${ways} values per example, but this learner takes ${most} at most. Ask for fewer values.`);
    }
    if (fixed != null && fixed !== ways) {
      const what = this.manifest.target.kind === "values" ? "values per example" : "classes";
      throw new TaskError(
        `the task has ${ways} ${what}, but this learner's head is fixed to ${fixed}. Give it examples of ${fixed} ${what}.`,
      );
    }
    const feeds = this.named("support", inputs, spec);
    feeds.set("support.y", y);
    for (const [name, value] of Object.entries(settings)) feeds.set(name, value);
    if (earlier === undefined) return this.run("adapt", feeds);
    for (const [name, values] of this.padded(earlier, ways)) feeds.set(`state.${name}`, values);
    return this.run("update", feeds);
  }

  /** Return logits `[query, way]`, or values `[query, output]`. */
  async predict(state: State, inputs: Inputs, spec: InputSpec): Promise<Values> {
    const feeds = this.named("query", inputs, spec);
    for (const [name, values] of state) feeds.set(`state.${name}`, values);
    return (await this.run("predict", feeds)).get("prediction")!;
  }

  /** Return stored examples, which were read as `spec` says, as a graph takes them, by `PART.NAME`. */
  private named(part: string, inputs: Inputs, spec: InputSpec): Map<string, Values | number> {
    const { layout } = this.manifest;
    const used = kindOf(spec).used?.(spec);
    return new Map([...inputs].map(([name, stored]) => [`${part}.${name}`, toNetwork(stored, layout[name]!, used)]));
  }

  /** Return a state with zeros for ways that are new. */
  private padded(state: State, ways: number): State {
    const before = this.waysOf(state) ?? ways;
    return takeWays(state, this.manifest.state, [...range(before), ...Array<number>(ways - before).fill(NOTHING)]);
  }

  /** Return how many ways (of values: numbers per example) a state knows; undefined if it has no axis of them. */
  waysOf(state: State): number | undefined {
    const { state: tensors } = this.manifest;
    const known = [...state].find(([name]) => tensors[name]!.shape.includes("way"));
    return known && known[1].shape[tensors[known[0]]!.shape.indexOf("way")]!;
  }

  private async run(name: ProgramName, feeds: ReadonlyMap<string, Values | number>): Promise<Map<string, Values>> {
    return (await this.program(name)).run(feeds);
  }

  private program(name: ProgramName): Promise<Program> {
    const loading = this.programs.get(name) ?? Program.load(name, this.bundle.models.get(name)!);
    this.programs.set(name, loading);
    return loading;
  }
}
