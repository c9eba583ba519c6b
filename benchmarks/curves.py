"""Curves to fit: learners trained and measured by the command line, beside the papers' rows and beside exact Gaussian processes.

    python benchmarks/curves.py maml anp ...         # trains what is not trained yet, then evaluates; all by default
    python benchmarks/curves.py --table              # prints the tables from the recorded results; --markdown for a page

Runs go to `runs/curves/NAME` (another folder after --runs), results to `benchmarks/results/curves.json`. Sinusoids have amplitude 0.1-5,
frequency 0.8-1.2 and phase 0-pi; learners are trained with 5 shots and tested with 5, 10 and 20. A curve of a Gaussian process has one
length scale, so that the exact process, which is told the kernel, predicts the best that can be predicted.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import sys
from typing import Any

import numpy as np
import rich.console
import rich.table
from few_shot import quickstudy

from quickstudy.tasks.gaussian_process import GaussianProcessTasks

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "curves.json"
PAPERS = json.loads((HERE / "papers.json").read_text())["sinusoid"]
SHOTS = (5, 10, 20)
TESTED = "--queries 100 --seed 9 --tasks 2000"
"""Options of the tasks that learners are tested on; none of them occurs in training, whose seed is another."""

EVERY = "--threads 1 --engine.compile false --validation.tasks 500"
SINUSOIDS = f"--tasks sinusoid --frequency 0.8-1.2 --shots 5 --queries 10 --tasks_per_step 25 --validation.every 2000 {EVERY}"
STEP = "--net mlp --learner.inner_steps 1 --learner.head_ways 1 --steps 60000"
CURVES = f"--tasks gaussian_process --shots 3-20 --queries 20 --tasks_per_step 16 --validation.every 1000 {EVERY}"
KERNELS = {
    "rbf": "--kernel rbf --length_scale 0.5",
    "periodic": "--kernel periodic --length_scale 0.7 --period 1.5",
    "matern": "--kernel matern --length_scale 0.5",
}

RUNS: dict[str, str] = {
    "maml": f"{SINUSOIDS} --learner maml --learner.inner_lr 0.01 {STEP}",
    "meta_sgd": f"{SINUSOIDS} --learner meta_sgd --learner.inner_lr 0.02 {STEP}",
    "cnp": f"{SINUSOIDS} --net mlp --learner cnp --steps 20000",
    "anp": f"{SINUSOIDS} --net mlp --learner anp --steps 10000",
    **{
        f"{learner}_{kernel}": f"{CURVES} {options} --net mlp --learner {learner} --steps 100000 --minutes 8"
        for kernel, options in KERNELS.items()
        for learner in ("cnp", "anp")
    },
}
"""Options of each training."""


def measure(name: str, runs: pathlib.Path) -> dict[str, Any]:
    """Train (unless the run is there) and evaluate one learner."""
    out, train = runs / name, f"quickstudy train {RUNS[name]}"
    if not (out / "learner.safetensors").exists():
        quickstudy(*train.split()[1:], "--out", str(out))
    sinusoids = "--tasks sinusoid" in train
    kernel = name.rpartition("_")[2]
    options = "--frequency 0.8-1.2" if sinusoids else KERNELS[kernel]
    rows = []
    for shots in SHOTS:
        command = f"evaluate {out} {options} --shots {shots} {TESTED} --json"
        (row,) = json.loads(quickstudy(*command.split()))["results"]
        rows.append({"command": f"quickstudy {command}", **row} | ({} if sinusoids else {"exact": exact(row)}))
    info = json.loads(quickstudy("info", str(out), "--json"))["info"]
    return {"command": train, "steps": info["steps"], "minutes": info["minutes"], "rows": rows}


def exact(row: dict[str, Any]) -> dict[str, float]:
    """Return the log-likelihood of the exact Gaussian process on the tasks of a result, with its 95 % interval."""
    period = {"period": row["period"]} if "period" in row else {}
    tasks = GaussianProcessTasks(
        row["shots"], row["queries"], row["kernel"], row["length_scale"], noise=row["noise"], seed=row["seed"], **period
    )
    count = row["test_tasks"]
    if tasks.fingerprint(count) != row["tasks_hash"]:
        raise ValueError(f"the tasks of this result have the hash {row['tasks_hash']}, and others were drawn; evaluate again.")
    found = np.concatenate([tasks.exact_log_likelihood(range(at, min(at + 100, count))) for at in range(0, count, 100)])
    return {"log_likelihood": round(float(found.mean()), 4), "ci95": round(1.96 * float(found.std(ddof=1)) / count**0.5, 4)}


def tables(results: dict[str, Any]) -> dict[str, list[tuple[str, ...]]]:
    """Return the tables by title, each with its head as the first row."""
    shots = [f"{count} shots" for count in SHOTS]
    found = {
        "Sinusoids, mean squared error": [("learner", *shots)],
        "Gaussian processes, log-likelihood in nats": [("kernel", "learner", *shots)],
    }
    sinusoids, curves = found.values()
    for name, record in results["runs"].items():
        rows = record["rows"]
        if "exact" not in rows[0]:
            sinusoids.append((name, *(f"{row['mean_squared_error']:.3f} ± {row['ci95']:.3f}" for row in rows)))
            continue
        learner, _, kernel = name.rpartition("_")
        of_exact = (kernel, "the exact process", *(f"{row['exact']['log_likelihood']:.3f}" for row in rows))
        if of_exact not in curves:
            curves.append(of_exact)
        likelihoods = (f"{row['log_likelihood']:.3f} ± {row['log_likelihood_ci95']:.3f}" for row in rows)
        curves.append((kernel, learner, *likelihoods))
    sinusoids += [(f"{paper}, paper", *(row[count] for count in shots)) for paper, row in PAPERS.items()]
    return found


def show(results: dict[str, Any], markdown: bool) -> None:
    """Print the tables, on the terminal or in Markdown."""
    for title, (head, *rows) in tables(results).items():
        if markdown:
            lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
            sys.stdout.write(f"{title}:\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n\n")
            continue
        table = rich.table.Table(*head, title=title)
        for row in rows:
            table.add_row(*row)
        rich.console.Console(width=120).print(table)


def main() -> None:
    """Measure what the arguments name, and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"which to measure, all by default: {', '.join(RUNS)}")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/curves"), help="folder of the runs")
    parser.add_argument("--table", action="store_true", help="print the recorded results only")
    parser.add_argument("--markdown", action="store_true", help="print the recorded results only, as Markdown")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}
    if not (options.table or options.markdown):
        for name in options.names or RUNS:
            results["runs"][name] = measure(name, options.runs)
            results["runs"] = {name: results["runs"][name] for name in RUNS if name in results["runs"]}
            results["machine"] = {
                "cores": os.cpu_count(),
                "processor": platform.processor() or platform.machine(),
                "threads_per_run": 1,
            }
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    show(results, options.markdown)


if __name__ == "__main__":
    main()
