/** onnxruntime-web: WebAssembly only, loaded from beside this module, with two threads if the page is cross-origin isolated. */
import * as ort from "onnxruntime-web/wasm";
import { ConfigError, FileFormatError, reason } from "./errors.ts";
import type { Values } from "./safetensors.ts";
import type { Bytes } from "./zip.ts";

export type Inputs = ReadonlyMap<string, Values | number>;

export interface Options {
  /** Number of threads: by default 2 if the page is cross-origin isolated, and 1 otherwise. */
  threads?: number;
  /** Folder, as a URL, with `ort-wasm-simd-threaded.mjs` and `.wasm`; by default the folder of this module. */
  runtime?: string;
}

let started = false;
let last: Promise<unknown> = Promise.resolve();

/** Return what a call to the runtime makes, after all earlier ones have ended: graphs that load or run at once damage its memory. */
function alone<Made>(call: () => Promise<Made>): Promise<Made> {
  const made = last.then(call);
  last = made.catch(() => undefined);
  return made;
}

/** Choose threads and the runtime's folder; this is done before the first learner is loaded. */
export function configure({ threads, runtime }: Options = {}): void {
  if (started) throw new ConfigError("the runtime has started; call configure() before the first Learner.load().");
  const isolated = globalThis.crossOriginIsolated === true;
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1)) {
    throw new ConfigError(`threads is ${threads}; expected a whole number of at least 1.`);
  }
  if (threads !== undefined && threads > 1 && !isolated) {
    throw new ConfigError(
      `threads is ${threads}, but this page is not cross-origin isolated and may use only one; ` +
        "serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.",
    );
  }
  ort.env.wasm.numThreads = threads ?? (isolated ? Math.min(2, navigator.hardwareConcurrency) : 1);
  const folder = runtime ?? import.meta.url.replace(/[^/]*$/, "");
  const file = (name: string) => new URL(`ort-wasm-simd-threaded.${name}`, new URL(folder, document.baseURI)).href;
  ort.env.wasm.wasmPaths = { mjs: file("mjs"), wasm: file("wasm") };
  ort.env.logLevel = "error";
}

/** Return the number of threads that programs run on. */
export function threads(): number {
  return ort.env.wasm.numThreads ?? 1;
}

/** One function of a learner, ready to be called. */
export class Program {
  private constructor(
    private readonly name: string,
    private readonly session: ort.InferenceSession,
  ) {}

  /** Return a graph that is ready to run. */
  static async load(name: string, model: Bytes): Promise<Program> {
    if (!started) {
      if (ort.env.wasm.wasmPaths === undefined) configure();
      started = true;
    }
    try {
      return new Program(
        name,
        await alone(() => ort.InferenceSession.create(model, { executionProviders: ["wasm"], graphOptimizationLevel: "all" })),
      );
    } catch (thrown) {
      throw new FileFormatError(`${name}.onnx cannot be loaded (${reason(thrown)}). Export the learner again.`);
    }
  }

  /** Return the outputs by name; `inputs` may hold more than the graph reads. */
  async run(inputs: Inputs): Promise<Map<string, Values>> {
    const feeds: Record<string, ort.Tensor> = {};
    for (const { name, ...facts } of this.session.inputMetadata) {
      const value = inputs.get(name);
      if (value === undefined)
        throw new FileFormatError(
          `${this.name}.onnx reads ${name}, which the manifest does not have. Export the learner again.`,
        );
      feeds[name] = tensor(value, "type" in facts ? facts.type : "float32");
    }
    const outputs = await alone(() => this.session.run(feeds)).catch((thrown: unknown) => {
      throw new FileFormatError(`${this.name}.onnx fails when it runs (${reason(thrown)}). Export the learner again.`);
    });
    return new Map(
      Object.entries(outputs).map(([name, { dims, data }]) => [name, { shape: dims, data: data as Float32Array<ArrayBuffer> }]),
    );
  }
}

/** Return a value as the runtime takes it. */
function tensor(value: Values | number, type: string): ort.Tensor {
  if (typeof value !== "number") return new ort.Tensor("float32", value.data, value.shape);
  return type === "int64" ? new ort.Tensor("int64", [BigInt(value)], []) : new ort.Tensor("float32", [value], []);
}
