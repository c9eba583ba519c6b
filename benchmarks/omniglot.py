"""Omniglot, Vinyals split: every learner trained and measured by the command line, beside the papers' rows.

    python benchmarks/omniglot.py protonet maml ...     # trains what is not trained yet, then evaluates; all by default
    python benchmarks/omniglot.py --table               # prints the table from the recorded results; --markdown for the README

Set QUICKSTUDY_DATA to the folder that holds `omniglot/`. Runs go to `runs/omniglot/NAME`, results to `benchmarks/results/omniglot.json`.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

import rich.console
import rich.table

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "omniglot.json"
PAPERS = json.loads((HERE / "papers.json").read_text())["omniglot"]
TASKS = 1000

GRADIENT_TRAINING = (
    "--learner.statistics query --ways 20 --shots 1 --queries 5 --draw.augment affine --tasks_per_step 3 --precision bf16-mixed "
    "--steps 100000 --validation.ways 5 --validation.every 300 --validation.tasks 200"
)

RUNS: dict[str, dict[str, Any]] = {
    "protonet": {
        "paper": "ProtoNet",
        "train": "--learner protonet --ways 60 --shots 1 --queries 5 --draw.augment affine --validation.ways 20 --tasks_per_step 1 "
        "--precision bf16-mixed --steps 100000 --minutes 54 --validation.every 400 --validation.tasks 100 --validation.snapshots true",
        "evaluate": ["--ways 5 20 --shots 1 5"],
        "snapshots_at_minutes": [5, 15],
    },
    "maml": {
        "paper": "MAML",
        "train": f"--learner maml --learner.inner_steps 2 --learner.inner_lr 0.4 {GRADIENT_TRAINING} --minutes 52 "
        "--validation.snapshots true",
        "evaluate": [
            "--ways 5 --shots 1",
            "--ways 5 --shots 1 --learner.inner_steps 5 --learner.inner_lr 0.1",
            "--ways 5 --shots 1 --learner.inner_steps 5 --learner.inner_lr 0.1 --learner.statistics support",
        ],
    },
    "first_order_maml": {
        "paper": "first-order MAML",
        "train": "--learner maml --learner.first_order true --learner.inner_lr 0.4 --learner.inner_steps 2 --learner.statistics query "
        "--ways 5 --shots 1 --queries 5 --tasks_per_step 8 --precision bf16-mixed --steps 100000 --validation.every 200 "
        "--validation.tasks 200 --minutes 11",
        "evaluate": ["--ways 5 --shots 1", "--ways 5 --shots 1 --learner.statistics support"],
    },
    "anil": {
        "paper": "ANIL",
        "train": f"--learner anil --learner.inner_lr 0.4 {GRADIENT_TRAINING} --minutes 11",
        "evaluate": ["--ways 5 --shots 1", "--ways 5 --shots 1 --learner.statistics support"],
    },
    "reptile": {
        "paper": "Reptile, transductive",
        "train": "--learner reptile --learner.statistics query --learner.head_ways 5 --net.halving stride --ways 5 --shots 10 --queries 1 "
        "--tasks_per_step 5 --engine.mapping loop --steps 100000 --validation.every 1000 --validation.tasks 50 --minutes 10",
        "evaluate": ["--ways 5 --shots 1"],
    },
}


def quickstudy(*arguments: str) -> str:
    """Run the command line; what it printed."""
    command = [sys.executable, "-c", "import sys; from quickstudy.cli import main; sys.exit(main())", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(name: str) -> dict[str, Any]:
    """Train (unless the run is there) and evaluate one learner."""
    run = RUNS[name]
    out = pathlib.Path("runs/omniglot") / name
    train = f"quickstudy train --data omniglot --threads 1 {run['train']}"
    if (out / "checkpoint.safetensors").exists():
        quickstudy("train", "--resume", str(out))  # ends at once where the run is complete
    elif not (out / "learner.safetensors").exists():
        quickstudy(*train.split()[1:], "--out", str(out))
    results = [_evaluate(str(out), options) for options in run["evaluate"]]
    for minutes in run.get("snapshots_at_minutes", []):
        results.append({"after_minutes": minutes} | _evaluate(str(_snapshot(out, minutes)), run["evaluate"][0]))
    info = json.loads(quickstudy("info", str(out), "--json"))["info"]
    return {"command": train, "steps": info["steps"], "minutes_to_best": info["minutes"], "results": results}


def _evaluate(saved: str, options: str) -> dict[str, Any]:
    command = f"evaluate {saved} --data omniglot --split test --tasks {TASKS} --json {options}"
    return {"command": f"quickstudy {command}", "rows": json.loads(quickstudy(*command.split()))["results"]}


def _snapshot(out: pathlib.Path, minutes: float) -> pathlib.Path:
    """Return the last learner that was validated before that time."""
    rows = [line.split(",") for line in (out / "metrics.csv").read_text().splitlines()[1:]]
    steps = [int(row[0]) for row in rows if row[5] and float(row[1]) <= 60 * minutes]
    return out / "snapshots" / f"step-{steps[-1]:07d}.safetensors"


def show(results: dict[str, Any], markdown: bool) -> None:
    """Our rows beside the papers', as a table on the terminal or in Markdown."""
    columns = ("learner", "task", "ours, % ± 95 % CI", "protocol", "options", "paper", "the paper's protocol")
    rows = [row for name, record in results["runs"].items() for row in _rows(name, record)]
    if markdown:
        lines = [" | ".join(columns), " | ".join("---" for _ in columns), *(" | ".join(row) for row in rows)]
        sys.stdout.write("\n".join(f"| {line} |" for line in lines) + "\n")
        return
    table = rich.table.Table(*columns, title="Omniglot, Vinyals split")
    for row in rows:
        table.add_row(*row)
    rich.console.Console(width=170).print(table)


def _rows(name: str, record: dict[str, Any]) -> list[tuple[str, ...]]:
    paper, rows = PAPERS[RUNS[name]["paper"]], []
    for result in record["results"]:
        options = result["command"].partition("--json ")[2].partition("--learner")
        note = f"after {result['after_minutes']} minutes" if "after_minutes" in result else "".join(options[1:])
        for row in result["rows"]:
            task = f"{row['ways']}-way {row['shots']}-shot"
            ours = f"{row['accuracy']:.2f} ± {row['ci95']:.2f}"
            rows.append((name, task, ours, row["protocol"], note, str(paper.get(task, "-")), paper["protocol"]))
    return rows


def main() -> None:
    """Measure what the arguments name, and record it."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")] or list(RUNS)
    if not {"--table", "--markdown"} & set(sys.argv):
        for name in names:
            results["runs"][name] = measure(name)
            results["machine"] = {
                "cores": os.cpu_count(),
                "processor": platform.processor() or platform.machine(),
                "threads_per_run": 1,
            }
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    show(results, "--markdown" in sys.argv)


if __name__ == "__main__":
    main()
