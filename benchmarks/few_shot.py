"""Few-shot tasks of images and texts: trains and measures learners by the command line, as `recipes.json` says, beside their papers' rows.

    python benchmarks/few_shot.py omniglot protonet maml ...  # trains what is not trained yet, then measures; every recipe by default
    python benchmarks/few_shot.py cifar_fs --table            # prints the table from the recorded results; --markdown for the README

The first word is a benchmark of `recipes.json`. The others are recipes there, or any learner's name, which is then trained as the
recipe called `usual` says. Of recipes that are `compared_only`, seconds and sizes are not measured. Set QUICKSTUDY_DATA to the folder that
holds `omniglot/` and the others. Runs go to `runs/BENCHMARK/NAME`, results to `benchmarks/results/BENCHMARK.json`, one learner at a time,
so that several of these processes may run side by side.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
from typing import Any

import beside_papers
import rich.console
import rich.table

HERE = pathlib.Path(__file__).parent
BENCHMARKS = beside_papers.BENCHMARKS


def recipe_of(benchmark: str, name: str) -> dict[str, Any]:
    """Return the recipe of that name, or the usual one for the learner of that name, with what its benchmark says of all."""
    about = BENCHMARKS[benchmark]
    recipe = about["recipes"].get(name) or {"learner": name, **about["usual"]}
    return {"evaluate": [about["sizes"]], "train": about["train"], "test": about["test"]} | recipe


def command_of(recipe: dict[str, Any], minutes: float | None = None) -> str:
    """Return the command that trains as a recipe says, for so many minutes if they are given."""
    minutes = minutes or recipe.get("minutes")
    clock = f" --minutes {minutes:g}" if minutes else ""
    what = f"--learner {recipe['learner']} {recipe['options']} --steps {recipe['steps']}{clock}"
    return f"quickstudy train {recipe['train']} --threads 1 {what}"


def quickstudy(*arguments: str) -> str:
    """Run the command line, and return what it printed."""
    command = [sys.executable, "-m", "quickstudy", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train (unless the run is there) and measure one learner; return its record."""
    recipe, runs = recipe_of(options.benchmark, name), pathlib.Path(options.runs)
    if "shipped" in recipe:
        return _measure_shipped(recipe, options.tasks)
    earlier = recipe.get("trained_by")
    trained = recipe_of(*earlier.split("/")) if earlier else recipe
    out, command = runs / (earlier or f"{options.benchmark}/{name}"), command_of(trained, options.minutes)
    train(command, trained, out)
    (out / "command.txt").write_text(command + "\n")
    fixed = _ways(out)
    evaluations = recipe["evaluate"] if fixed is None else [_of_ways(words, fixed) for words in recipe["evaluate"]]
    results = [_evaluate(str(out), recipe, chosen, options.tasks) for chosen in dict.fromkeys(evaluations)]
    info = json.loads(quickstudy("info", str(out), "--json"))["info"]
    return {
        "command": command,
        "paper": recipe.get("paper"),
        "steps": info["steps"],
        "minutes_to_best": info["minutes"],
        "training_seconds": _training_seconds(out),
        "megabytes": info.get("megabytes"),
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": 1},
        "figures": {} if earlier or recipe.get("compared_only") else _figures(out, recipe, fixed or 5),
        "results": results,
    }


def _measure_shipped(recipe: dict[str, Any], tasks: int) -> dict[str, Any]:
    """Measure a learner that ships with the package as its users have it, by its exported graphs; return its record."""
    from quickstudy import ClassTasks, load_data
    from quickstudy.export.measure import accuracy
    from quickstudy.runtime import Learner, pretrained
    from quickstudy.runtime.skill_file import engine_of

    file, words = pretrained.find(recipe["shipped"]), recipe["test"].split()
    learner, (data, split) = Learner.load(file), (words[words.index(word) + 1] for word in ("--data", "--split"))
    dataset = load_data(data, split, spec=engine_of(learner).reader_for(None))
    rows = [accuracy(learner, ClassTasks(dataset, ways=5, shots=shots), tasks).to_dict() for shots in (1, 5)]
    return {
        "command": recipe["command"],
        "paper": recipe.get("paper"),
        "steps": recipe["steps"],
        "minutes_to_best": recipe["minutes"],
        "bytes": file.stat().st_size,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": 1},
        "figures": {},
        "results": [{"command": "python benchmarks/few_shot.py " + recipe["test"].split()[1] + " intents", "rows": rows}],
    }


def train(command: str, recipe: dict[str, Any], out: pathlib.Path) -> None:
    """Train into a folder, or calibrate what needs no training; go on with what was interrupted there; do nothing if it is complete."""
    told = out / "command.txt"
    if told.exists() and told.read_text().strip() != command:
        sys.exit(
            f"{out} was trained by another command: {told.read_text().strip()}. Move it away, or name another folder with --runs."
        )
    if (out / "checkpoint.safetensors").exists():
        quickstudy("train", "--resume", str(out))  # ends at once where the run is complete
    elif not (out / "learner.safetensors").exists():
        quickstudy(*command.split()[1:], "--out", str(out))


def _of_ways(options: str, ways: int) -> str:
    """Return options of an evaluation with one number of ways in place of theirs.

    >>> _of_ways("--ways 5 20 --shots 1 --queries 1", 5)
    '--ways 5 --shots 1 --queries 1'
    """
    return re.sub(r"--ways [\d ]+", f"--ways {ways} ", options)


def _ways(out: pathlib.Path) -> int | None:
    """Return the number of ways to which a saved learner is fixed."""
    from quickstudy.training.saving import load_learner

    return load_learner(out).learner.ways


def _figures(out: pathlib.Path, recipe: dict[str, Any], ways: int) -> dict[str, Any]:
    """Measure seconds of adapting, size and AUROC on 1-shot tasks of the test split; on one thread, as the training."""
    import torch

    from quickstudy import ClassTasks, load_data
    from quickstudy.report.figures import measure
    from quickstudy.tasks._draw import Draw
    from quickstudy.training.saving import load_learner

    torch.set_num_threads(1)
    saved, words = load_learner(out), recipe["test"].split()
    data, split = (words[words.index(word) + 1] for word in ("--data", "--split"))
    draw = Draw(within_groups="--draw.within_groups true" in recipe["test"], hide_from_queries=_hidden(words))
    dataset = load_data(data, split, spec=saved.spec)
    queries = min(5, int(dataset.counts.min()) - 1)
    found = measure(saved, ClassTasks(dataset, ways, shots=1, queries=queries, draw=draw))
    return {"ways": ways, "shots": 1, **found.to_dict()}


def _hidden(words: list[str]) -> str:
    """Return the parts that queries lack by the words of a command; empty if they lack none.

    >>> _hidden("--data pairs --draw.hide_from_queries name".split())
    'name'
    """
    option = "--draw.hide_from_queries"
    return words[words.index(option) + 1] if option in words else ""


def _training_seconds(out: pathlib.Path) -> float:
    """Return the seconds of the whole training, validations among them; 0 for a learner that was not trained."""
    metrics = out / "metrics.csv"
    if not metrics.exists():
        return 0.0
    header, *rows = (line.split(",") for line in metrics.read_text().splitlines())
    return round(float(rows[-1][header.index("seconds")]), 1) if rows else 0.0


def _evaluate(saved: str, recipe: dict[str, Any], options: str, tasks: int) -> dict[str, Any]:
    """Evaluate on test tasks, and return the rows beside the command."""
    command = f"evaluate {saved} {recipe['test']} --tasks {tasks} --json {options}"
    return {"command": f"quickstudy {command}", "rows": json.loads(quickstudy(*command.split()))["results"]}


def record(name: str, found: dict[str, Any], file: pathlib.Path) -> None:
    """Put one learner's record in the file; other processes may do so at the same time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = json.loads(file.read_text()) if file.exists() else {"runs": {}}
        results["runs"][name] = found
        results["machine"] = {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "threads_per_run": 1,
        }
        file.write_text(json.dumps(results, indent=1) + "\n")


def show(benchmark: str, results: dict[str, Any], markdown: bool) -> None:
    """Print our rows beside the papers', and the other figures, as tables on the terminal or in Markdown."""
    for title, columns, rows in beside_papers.tables(benchmark, results["runs"]):
        if markdown:
            sys.stdout.write(f"{beside_papers.in_markdown(columns, rows)}\n\n")
            continue
        table = rich.table.Table(*columns, title=title)
        for row in rows:
            table.add_row(*row)
        rich.console.Console(width=190).print(table)


def main() -> None:
    """Measure what the arguments name, and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=[*BENCHMARKS], help=", ".join(BENCHMARKS))
    parser.add_argument("names", nargs="*", help="recipes or learners; all recipes of the benchmark by default")
    parser.add_argument("--table", action="store_true", help="print the recorded results and measure nothing")
    parser.add_argument("--markdown", action="store_true", help="the same in Markdown")
    parser.add_argument("--minutes", type=float, help="minutes of each training, in place of the recipe's own")
    parser.add_argument("--tasks", type=int, default=1000, help="number of test tasks of each size")
    parser.add_argument("--runs", default="runs", help="folder of the runs, with one of each benchmark in it")
    parser.add_argument("--results", type=pathlib.Path, help="file of the records; results/BENCHMARK.json by default")
    options = parser.parse_args()
    file = options.results or HERE / "results" / f"{options.benchmark}.json"
    if not (options.table or options.markdown):
        for name in options.names or BENCHMARKS[options.benchmark]["recipes"]:
            record(name, measure(name, options), file)
    show(options.benchmark, json.loads(file.read_text()) if file.exists() else {"runs": {}}, options.markdown)


if __name__ == "__main__":
    main()
