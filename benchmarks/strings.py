"""Strings of digits to write down in new languages, after a few strings of theirs: python benchmarks/strings.py

    python benchmarks/strings.py people --seeds 0 1 2    # trains what is not trained yet, then evaluates
    python benchmarks/strings.py --table             # prints the tables from the recorded results; --markdown one for a page

The strings of `languages` are synthetic voices (espeak-ng); a task is one voice of a language that was never heard, and its symbols
are shuffled, so that nothing but its own strings says which is which. The tasks of `people` are the six people of FSDD, whose recordings
of single digits are joined to strings; training heard none of them, but synthetic voices alone (`digit_voices`). All methods begin with
the same pooled network, which learned to write down the strings of all training voices together: it answers as it is, is fine-tuned to
each task, or is meta-trained before.

Runs go to `runs/strings`, results to `benchmarks/results/strings.json`.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import os
import pathlib
import platform
import sys
from typing import Any, NamedTuple

import numpy as np
import rich.console
import rich.table
from few_shot import quickstudy

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "strings.json"
NET = "--net.halvings 1 --threads 1"
STEPS = "--learner maml --learner.first_order true --learner.inner_clip 2"
"""Gradient steps on all weights, which no second derivative looks back through."""


class Benchmark(NamedTuple):
    """A table: what learners are trained on, and asked for.

    Attributes:
        pooled: options of the training of the pooled network.
        tasks: options of the tasks of meta-training.
        meta: options of meta-training.
        test: options of the tasks that are reported.
        adapted: how runs adapt to new voices; the best on validation voices of what was tried (LOG.md).
        methods: names of the methods that are compared, of `METHODS`.
        shots: numbers of strings to learn from.
        test_tasks: how many of each seed.
    """

    pooled: str
    tasks: str
    meta: str
    test: str
    adapted: str
    methods: tuple[str, ...]
    shots: tuple[int, ...]
    test_tasks: int


POOLED = (
    "--shots 1 --queries 12 --learner maml --learner.first_order true --learner.inner_steps 0 --learner.head_ways 12 --lr 3e-3"
)
"""The training of all voices together, with one output for each digit."""
BENCHMARKS = {
    "languages": Benchmark(
        pooled=f"--data languages {POOLED} --tasks_per_step 4 --validation.split null --steps 2500",
        tasks="--data languages --shots 10 --queries 10 --strings.shuffled true",
        meta=f"{STEPS} --learner.inner_steps 8 --learner.inner_lr 0.2 --tasks_per_step 3 --lr 1e-3 --clip 1",
        test="--data languages --split test --strings.shuffled true --queries 40",
        adapted="--learner.inner_steps 64 --learner.inner_lr 0.2",
        methods=("fine-tuned", "meta-trained"),
        shots=(10, 20),
        test_tasks=48,
    ),
    "people": Benchmark(
        pooled=f"--data digit_voices {POOLED} --draw.augment everyday --tasks_per_step 4 --validation.split null --steps 2500",
        tasks="--data digit_voices --shots 20 --queries 10 --draw.augment everyday",
        meta=f"{STEPS} --learner.head_ways 12 --learner.inner_steps 8 --learner.inner_lr 0.1 --tasks_per_step 3 --lr 1e-3 --clip 1",
        test="--data fsdd --split speaker_digits --strings.length 1-5 --queries 40",
        adapted="--learner.inner_steps 64 --learner.inner_lr 0.1",
        methods=("as it is", "fine-tuned", "meta-trained"),
        shots=(5, 20, 40),
        test_tasks=24,
    ),
}
METHODS = {
    "as it is": "--steps 0 --validation.split null",
    "fine-tuned": "--steps 0 --validation.split null",
    "meta-trained": "--steps 500 --validation.every 250 --validation.tasks 21",
}
"""Options of each method's training."""


def train(run: pathlib.Path, options: str) -> str:
    """Train unless the run is there; return its command."""
    command = f"train {options} {NET}"
    if not (run / "learner.safetensors").exists():
        quickstudy(*f"{command} --out {run}".split())
    return f"quickstudy {command}"


def evaluated(run: pathlib.Path, tasks: str, benchmark: Benchmark, adapted: str) -> list[dict[str, Any]]:
    """Return the results of a run on test tasks, one for each number of strings to learn from."""
    shots = " ".join(map(str, benchmark.shots))
    command = f"evaluate {run} {tasks} --shots {shots} --tasks {benchmark.test_tasks} {adapted} --json"
    results = json.loads(quickstudy(*command.split()))["results"]
    return [{"command": f"quickstudy {command}", **row} for row in results]


def measure(name: str, seed: int, runs: pathlib.Path) -> dict[str, Any]:
    """Train and evaluate every method of a benchmark from one seed."""
    benchmark, pooled = BENCHMARKS[name], runs / f"{name}-pooled-{seed}"
    pooling = train(pooled, f"{benchmark.pooled} --seed {seed}")
    begins = f"{benchmark.tasks} {benchmark.meta} --begin {pooled} --seed {seed}"
    found: dict[str, Any] = {"pooled": {"command": pooling}}
    for method in benchmark.methods:
        run = runs / f"{name}-{'fine-tuned' if method == 'as it is' else method}-{seed}"  # the same run, adapted or not
        command = train(run, f"{begins} {METHODS[method]}")
        adapted = "--learner.inner_steps 0" if method == "as it is" else benchmark.adapted
        found[method] = {"command": command, "rows": evaluated(run, f"{benchmark.test} --seed {9 + seed}", benchmark, adapted)}
    return found


def tables(results: dict[str, Any]) -> dict[str, list[tuple[str, ...]]]:
    """Return a table for each benchmark: means over seeds of both error rates, with the interval over all of their tasks."""
    return {name: _table(name, seeds) for name, seeds in results["runs"].items()}


def _table(name: str, seeds: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the table of one benchmark, its head first."""
    shots = BENCHMARKS[name].shots
    rows = [("method", *(f"{rate} errors after {count} strings, %" for rate in ("character", "word") for count in shots))]
    for method in BENCHMARKS[name].methods:
        cells = []
        for rate, interval in (("character_error_rate", "ci95"), ("word_error_rate", "word_error_rate_ci95")):
            of_shots = [
                [row for row in seed[method]["rows"] if row["shots"] == count] for seed in seeds.values() for count in shots
            ]
            for place in range(len(shots)):
                found = list(itertools.chain(*of_shots[place :: len(shots)]))
                mean, spread = (np.mean([row[key] for row in found]) for key in (rate, interval))
                cells.append(f"{mean:.1f} ± {spread / len(found) ** 0.5:.1f}")
        rows.append((f"{method}, {len(seeds)} seeds", *cells))
    return rows


def main() -> None:
    """Measure benchmarks, or print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=list(BENCHMARKS), default="languages", help="benchmark")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/strings"))
    parser.add_argument("--table", action="store_true", help="print the tables of the recorded results")
    parser.add_argument("--markdown", action="store_true", help="print that of the benchmark as Markdown")
    options = parser.parse_args()
    if not options.table and not options.markdown:
        for seed in options.seeds:
            record(options.name, seed, measure(options.name, seed, options.runs))
    for name, (head, *rows) in tables(json.loads(RESULTS.read_text())).items():
        if options.markdown and name != options.name:
            continue
        if options.markdown:
            sys.stdout.write("\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n")
            continue
        table = rich.table.Table(*head, title=name)
        for row in rows:
            table.add_row(*row)
        rich.console.Console(width=160).print(table)


def record(name: str, seed: int, found: dict[str, Any]) -> None:
    """Add what was measured from a seed to the recorded results."""
    with RESULTS.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}
        results["machine"] = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": 1}
        results["runs"].setdefault(name, {})[str(seed)] = found
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
