/** A learner's three functions on plain values: `adapt`, `update`, `predict`. */
import { type Bundle, type Examples, readBundle, type State } from "./bundle.ts";
import { ConfigError, TaskError } from "./errors.ts";
import type { Manifest, ProgramName } from "./manifest.ts";
import { type Inputs, Program } from "./session.ts";
import { NOTHING, range, takeWays } from "./state.ts";
import type { Values } from "./safetensors.ts";
import type { Bytes } from "./zip.ts";

export type Settings = Readonly<Record<string, number>>;

export class Model {
  private readonly programs = new Map<ProgramName, Promise<Program>>();

  private constructor(readonly bundle: Bundle) {}

  static async load(archive: Bytes): Promise<Model> {
    const model = new Model(await readBundle(archive));
    if (model.manifest.objective !== "classification") {
      throw new ConfigError(
        `the learner's objective is ${model.manifest.objective}; this module runs classification. Use quickstudy.runtime.`,
      );
    }
    await model.program("predict"); // a fault of the graph is one of the file: find it now
    if (model.manifest.kind === "learner") await model.program("adapt");
    return model;
  }

  get manifest(): Manifest {
    return this.bundle.manifest;
  }

  /** The learner's settings with some changed, or a ConfigError. */
  settings(changes: Settings): Settings {
    const known = this.manifest.settings;
    for (const [name, value] of Object.entries(changes)) {
      const expected = Object.keys(known).join(", ") || "none, as this learner has no settings";
      if (!(name in known)) throw new ConfigError(`unknown setting ${JSON.stringify(name)}; expected ${expected}.`);
      if (!(Number.isFinite(value) && value >= 0))
        throw new ConfigError(`${name} is ${value}; expected a number of at least 0.`);
      if (name.endsWith("steps") && !Number.isInteger(value))
        throw new ConfigError(`${name} is ${value}; expected a whole number.`);
    }
    return { ...known, ...changes };
  }

  /** The state after learning from examples, from nothing or from an earlier state. */
  async adapt({ x, y }: Examples, settings: Settings, earlier?: State): Promise<State> {
    const ways = y.shape[1]!;
    const fixed = this.manifest.programs.adapt.inputs["support_y"]?.[1];
    if (typeof fixed === "number" && fixed !== ways) {
      throw new TaskError(
        `the task has ${ways} classes, but this learner's head is fixed to ${fixed}. Give it examples of ${fixed} classes.`,
      );
    }
    const inputs = new Map<string, Values | number>([["support_x", x], ["support_y", y], ...Object.entries(settings)]);
    if (earlier !== undefined) {
      const known = [...earlier].find(([name]) => this.manifest.state[name]!.shape.includes("way"));
      const before = known === undefined ? ways : known[1].shape[this.manifest.state[known[0]]!.shape.indexOf("way")]!;
      const rows = [...range(before), ...Array<number>(ways - before).fill(NOTHING)];
      for (const [name, values] of takeWays(earlier, this.manifest.state, rows)) inputs.set(`state.${name}`, values);
    }
    const found = await this.run(earlier === undefined ? "adapt" : "update", inputs);
    return new Map([...found].map(([name, values]) => [name.replace(/^state\./, ""), values]));
  }

  /** Logits `[query, way]`. */
  async predict(state: State, x: Values): Promise<Values> {
    const inputs = new Map<string, Values>([["query_x", x]]);
    for (const [name, values] of state) inputs.set(`state.${name}`, values);
    return (await this.run("predict", inputs)).get("prediction")!;
  }

  private async run(name: ProgramName, inputs: Inputs): Promise<Map<string, Values>> {
    return (await this.program(name)).run(inputs);
  }

  private program(name: ProgramName): Promise<Program> {
    const loading = this.programs.get(name) ?? Program.load(name, this.bundle.models[name]);
    this.programs.set(name, loading);
    return loading;
  }
}
