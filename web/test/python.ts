/** Python beside the tests: it writes what they compare with, and serves the page. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const INSTALLED = `${ROOT}.venv/bin/python`;
const PYTHON = process.env["PYTHON"] ?? (existsSync(INSTALLED) ? INSTALLED : "python3");
const ENVIRONMENT = { ...process.env, PYTHONPATH: `${ROOT}src:${process.env["PYTHONPATH"] ?? ""}`, OMP_NUM_THREADS: "1" };

/** Run Python to its end, and return what it printed. */
export function python(...args: string[]): string {
  return execFileSync(PYTHON, args, { encoding: "utf8", env: ENVIRONMENT, cwd: ROOT });
}

export interface Served {
  readonly url: string;
  stop(): void;
}

/** Run Python until it prints an address that it serves, and return that. */
export async function serve(...args: string[]): Promise<Served> {
  const child: ChildProcess = spawn(PYTHON, args, { env: ENVIRONMENT, cwd: ROOT });
  let printed = "";
  const url = await new Promise<string>((resolve, reject) => {
    const listen = (chunk: Buffer) => {
      printed += chunk.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(printed);
      if (found) resolve(found[0]);
    };
    child.stdout!.on("data", listen);
    child.stderr!.on("data", listen);
    child.on("exit", (code) => reject(new Error(`Python ended with ${code} and served nothing: ${printed}`)));
  });
  return { url, stop: () => child.kill("SIGINT") };
}
