"""The demo: meta-train on rendered glyphs, meet tasks never seen before, write a report."""

from __future__ import annotations

import itertools
import math
import pathlib
import shutil

import numpy as np
import torch

from quickstudy import data, discovery
from quickstudy.cli import _output
from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConflictError
from quickstudy.learner import Learner
from quickstudy.nets.identity import Identity
from quickstudy.report.page import PicturedTask, Report, write_report
from quickstudy.storage import LEARNER as LEARNER_FILE
from quickstudy.storage import write_atomically
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.fit import fit
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.progress import counted, progress_line
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import TrainingSettings, ValidationSettings
from quickstudy.training.tracking import read_metrics

KINDS = tuple(itertools.product((5, 10), (1, 5)))
"""Ways and shots of the table's rows."""

COUNTS = {"queries": 5, "slow tasks": 10}
"""Number of queries per class in each test task; number of tasks for the network trained from scratch, which takes a second for each."""

MARK = ".demo"
"""File that tells a demo's folder, which the next demo may replace, from a run that somebody needs."""

LEARNER, NET = "protonet", "conv4"
"""Names of the learner that is trained, and of its net."""

NET_OPTIONS: dict[str, int] = {}
"""Settings of the net other than its defaults."""

PIXELS = "nearest"
"""Name of the learner that compares images as they are."""

SCRATCH = "reptile"
"""Name of the learner that trains an untrained net on each task alone."""

EXAMPLES, QUESTIONS = "examples", "questions"
"""Folders with a task of the held-out scripts, to adapt to and to predict."""

NAMES = [f"letter{number}" for number in range(1, 6)]
"""Names of the classes of a pictured task."""


def show(out: str, minutes: float, tasks: int, as_json: bool) -> None:
    """Render, train, compare, report.

    Args:
        out: folder for the learner and the report; an earlier demo is replaced.
        minutes: of meta-training.
        tasks: test tasks for each cell of the table.
        as_json: print JSON.
    """
    keep_freed_memory()
    folder = _cleared(pathlib.Path(out))
    saved = train(folder, minutes)
    sets = {"held-out scripts": data.load("glyphs", "test"), "handwritten digits": data.load("digits", "all")}
    results = compare(saved, sets, tasks)
    _write_images(folder, picture(saved.learner, sets["held-out scripts"], len(NAMES), seed=7))
    write_report(folder / "report.html", _report(folder, saved, sets, results))
    _print(results, folder, as_json)


def _made(name: str, **settings: int) -> Learner:
    """Return a new learner of this name on a new net."""
    return discovery.load("learners", name)(discovery.load("nets", NET)(**NET_OPTIONS), **settings)


def train(out: pathlib.Path, minutes: float) -> SavedLearner:
    """Meta-train prototypes on the glyphs of the training scripts."""
    torch.manual_seed(0)
    tasks = ClassTasks(data.load("glyphs", "train"), ways=30, shots=1, queries=5, draw=Draw(augment="affine"))
    validation = ClassTasks(data.load("glyphs", "val"), ways=5, shots=1, queries=COUNTS["queries"], seed=1)
    settings = TrainingSettings(
        steps=10**6, minutes=minutes, tasks_per_step=1, lr=2e-3, validation=ValidationSettings(every=100, tasks=100)
    )
    with progress_line() as progress:
        return fit(_made(LEARNER), tasks, validation, settings, out=out, progress=progress)


def compare(saved: SavedLearner, sets: dict[str, Dataset], count: int) -> dict[str, dict[str, list[Result]]]:
    """Return results by method and data set, one for each of `KINDS`."""
    torch.manual_seed(1)
    untrained = _made(LEARNER)
    calibration = ClassTasks(sets["held-out scripts"], 5, 5, COUNTS["queries"], seed=2).batch(range(8))
    untrained.calibrate(calibration[index] for index in range(8))
    pixels = sum(math.prod(part.shape) for part in sets["held-out scripts"].spec.layout().values())
    methods: dict[str, tuple[Learner | SavedLearner, int]] = {
        "quickstudy, meta-trained": (saved, count),
        "same net, untrained": (untrained, count),
        "nearest neighbour on pixels": (discovery.load("learners", PIXELS)(Identity(pixels)), count),
        "same net, from scratch": (_made(SCRATCH, adapt_steps=30, inner_batch=25), min(count, COUNTS["slow tasks"])),
    }
    total = len(sets) * len(KINDS) * sum(number for _, number in methods.values())
    with counted("meeting new tasks", total) as advance:
        return {
            name: {
                where: [
                    evaluate(learner, ClassTasks(dataset, ways, shots, COUNTS["queries"]), number, advance)
                    for ways, shots in KINDS
                ]
                for where, dataset in sets.items()
            }
            for name, (learner, number) in methods.items()
        }


def picture(learner: Learner, dataset: Dataset, ways: int, seed: int) -> PicturedTask:
    """Return one task with its predictions, to be looked at."""
    task = ClassTasks(dataset, ways, 1, COUNTS["queries"], seed=seed)[0]
    with torch.no_grad():
        predicted = learner.predict(learner.adapt(task.support), task.query.x).argmax(-1)
    ((name, layout),) = dataset.spec.layout().items()
    support, query = (
        [dataset.spec.shown({name: one}) for one in layout.to_stored(np.asarray(part.x))] for part in (task.support, task.query)
    )
    return PicturedTask(
        NAMES[:ways],
        support,
        task.support.y.rows.argmax(-1).numpy(),
        query,
        task.query.y.rows.argmax(-1).numpy(),
        predicted.numpy(),
    )


def _cleared(out: pathlib.Path) -> pathlib.Path:
    """Return the folder without an earlier demo; raise a ConflictError if it holds anything else, which is nobody's to delete."""
    if out.is_file():
        raise ConflictError(f"{out} is a file; expected a folder for the demo.")
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise ConflictError(f"{out} holds files that are not a demo's. Choose another --out.")
        shutil.rmtree(out)
    write_atomically(out / MARK, b"quickstudy demo replaces this folder\n")
    return out


def _cell(result: Result) -> str:
    """Return an accuracy and its interval, in percent."""
    return f"{100 * result.mean:.1f} ± {100 * result.ci95:.1f}"


def _columns(results: dict[str, dict[str, list[Result]]]) -> list[str]:
    """Return the headlines of the table: the tasks, and each method."""
    return ["tasks never seen before", *results]


def _rows(results: dict[str, dict[str, list[Result]]]) -> list[list[str]]:
    """Return the table's rows: one kind of task each, with a cell for each method."""
    where = next(iter(results.values()))
    return [
        [f"{name}, {ways}-way {shots}-shot", *(_cell(by_set[name][index]) for by_set in results.values())]
        for name in where
        for index, (ways, shots) in enumerate(KINDS)
    ]


def _print(results: dict[str, dict[str, list[Result]]], out: pathlib.Path, as_json: bool) -> None:
    """Print the table and what to try next, or JSON."""
    if as_json:
        plain = {name: {where: [r.to_dict() for r in row] for where, row in by_set.items()} for name, by_set in results.items()}
        _output.as_json({"learner": str(out / LEARNER_FILE), "report": str(out / "report.html"), "results": plain})
        return
    _output.table(_columns(results), _rows(results), "Accuracy, %, and the 95 % confidence interval")
    ours = [result for row in next(iter(results.values())).values() for result in row]
    _output.text(f"protocol: {ours[0].protocol}; tasks hash of each row: {' '.join(result.tasks_hash for result in ours)}")
    lines = [
        f"saved: {out / LEARNER_FILE}",
        f"look:  {out / 'report.html'}",
        "next:",
        *(f"  {line}" for line in _next(out)),
    ]
    _output.text("\n".join(lines))


def _next(out: pathlib.Path) -> list[str]:
    """Return the commands to try next; each works as it is printed."""
    return [
        _output.command("info", out),
        _output.command("evaluate", out, "--data", "glyphs", "--split", "test", "--ways", 5, 20, "--shots", 1, 5),
        _output.command("adapt", out, out / EXAMPLES, "-o", out / "mine.qs"),
        _output.command("predict", out / "mine.qs", *(out / QUESTIONS / f"{name}.png" for name in NAMES)),
        _output.command("export", out, "-o", out / "demo.qs"),
        _output.command("list"),
    ]


def _write_images(out: pathlib.Path, task: PicturedTask) -> None:
    """Write a task as folders of images: examples to adapt to, and one question for each class."""
    for way, name in enumerate(task.names):
        for number, index in enumerate(np.flatnonzero(task.support_ways == way).tolist(), start=1):
            write_atomically(out / EXAMPLES / name / f"{number}.png", task.support[index].content)
        write_atomically(out / QUESTIONS / f"{name}.png", task.query[int(np.argmax(task.query_ways == way))].content)


def _report(
    out: pathlib.Path, saved: SavedLearner, sets: dict[str, Dataset], results: dict[str, dict[str, list[Result]]]
) -> Report:
    """Return what the report shows."""
    curves = {
        where: {
            shots: round(100 * evaluate(saved, ClassTasks(dataset, 5, shots, COUNTS["queries"]), 30).mean, 2)
            for shots in (1, 2, 3, 5, 10)
        }
        for where, dataset in sets.items()
    }
    history = [row for row in read_metrics(out / "metrics.csv") if row["validation_accuracy"]]
    learning = [(float(row["seconds"]) / 60, 100 * float(row["validation_accuracy"])) for row in history]
    first = results["quickstudy, meta-trained"]["held-out scripts"][0]
    return Report(
        "quickstudy: a learner that has learned how to learn",
        f"Prototypical network on Conv4, {saved.info['minutes']} minutes of meta-training on rendered glyphs "
        f"({saved.info['steps']} steps). "
        f"{len(first.scores)} test tasks per cell ({COUNTS['slow tasks']} from scratch), {first.protocol}, tasks hash {first.tasks_hash}.",
        _columns(results),
        _rows(results),
        {f"A task of {where}, one example per class": picture(saved.learner, d, 5, seed=7) for where, d in sets.items()},
        curves,
        learning,
        _next(out),
    )
