"""A demo: meta-train for two minutes, meet tasks never seen before, write a report. The files of `demos/` say of which data."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from quickstudy import data, discovery
from quickstudy.cli import _output
from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConflictError
from quickstudy.inputs import InputSpec, Shown
from quickstudy.learner import Learner
from quickstudy.nets._sizes import fit_to
from quickstudy.report.page import PicturedTask, Report, write_report
from quickstudy.storage import LEARNER as LEARNER_FILE
from quickstudy.storage import write_atomically
from quickstudy.task import Input
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.fit import fit
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.progress import counted, progress_line
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import TrainingSettings, ValidationSettings
from quickstudy.training.tracking import read_metrics

SIZES = tuple(itertools.product((5, 10), (1, 5)))
"""Ways and shots of the table's rows."""

COUNTS = {"ways": 5, "queries": 5}
"""Number of classes of a task that is shown, and of queries per class in each test task."""

OURS = "quickstudy, meta-trained"
"""Name of the trained learner in tables."""

MARK = ".demo"
"""File that tells a demo's folder, which the next demo may replace, from a run that somebody needs."""

EXAMPLES, QUESTIONS = "examples", "questions"
"""Folders with a task that was never seen, to adapt to and to predict."""

SUFFIXES = {"image/png": ".png", "text/plain": ".txt"}
"""Ends of the names of files, by the media type of an example as its spec shows it."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """Words about a demo.

    Args:
        learner: what is trained.
        trained_on: the data that it is trained on.
        names: name of a class in the task that is shown, with `{way}` for its number and `{name}` for its name in the data.
    """

    learner: str
    trained_on: str
    names: str


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to learn a task, by names.

    Args:
        learner: name of the learner.
        net: name of its net.
        options: hyperparameters of the learner that are not its defaults.
        net_options: those of the net.
        most: most test tasks, for a learner that takes long for each; None for no limit.
    """

    learner: str
    net: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    net_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    most: int | None = None

    def make(self, spec: InputSpec) -> Learner:
        """Return a new learner on a new net, which fits such inputs."""
        net = discovery.load("nets", self.net)
        return discovery.load("learners", self.learner)(net(**{**fit_to(net, spec), **self.net_options}), **self.options)


@dataclasses.dataclass(frozen=True)
class Demo:
    """A demo: the learner that it trains, the data, and the learners that it compares.

    Args:
        subject: words about it.
        train: data set and split to meta-train on.
        validation: data set and split to judge on while training.
        sets: data set and split of test tasks, by their names in the report; examples of the first are written to the folder.
        ours: what is meta-trained.
        baselines: what it is compared with, beside itself untrained.
        drawn: ways, shots and queries of the training tasks.
        augment: how training examples are changed at random.
        steps: most steps, where more would only learn the training classes by heart.
    """

    subject: Subject
    train: tuple[str, str]
    validation: tuple[str, str]
    sets: Mapping[str, tuple[str, str]]
    ours: Method
    baselines: Mapping[str, Method]
    drawn: Mapping[str, int]
    augment: str
    steps: int = 10**6

    @property
    def methods(self) -> dict[str, Method]:
        """Return what is compared with the trained learner, by name."""
        return {"same net, untrained": self.ours, **self.baselines}

    def load(self) -> dict[str, Dataset]:
        """Return the data of the test tasks, by name."""
        return {name: data.load(*where) for name, where in self.sets.items()}

    def show(self, out: str, minutes: float, tasks: int, as_json: bool) -> None:
        """Train, compare, report.

        Args:
            out: folder for the learner and the report; an earlier demo is replaced.
            minutes: of meta-training.
            tasks: test tasks for each cell of the table.
            as_json: print JSON.
        """
        keep_freed_memory()
        folder = cleared(pathlib.Path(out))
        saved, sets = train(self, folder, minutes), self.load()
        results = compare(self, saved, sets, tasks)
        shown = {name: picture(saved.learner, dataset, self.subject.names) for name, dataset in sets.items()}
        first = next(iter(shown.values()))
        _write_examples(folder, first)
        following = _next(folder, next(iter(self.sets.values())), first)
        facts, curves = _facts(self, saved, results), _curves(saved, sets)
        write_report(folder / "report.html", _report(facts, folder, results, shown, curves, following))
        _print(results, folder, following, as_json)


def train(demo: Demo, out: pathlib.Path, minutes: float) -> SavedLearner:
    """Meta-train as a demo says, into a folder."""
    torch.manual_seed(0)
    tasks = ClassTasks(data.load(*demo.train), **demo.drawn, draw=Draw(augment=demo.augment))
    validation = ClassTasks(data.load(*demo.validation), ways=5, shots=1, queries=COUNTS["queries"], seed=1)
    settings = TrainingSettings(
        steps=demo.steps, minutes=minutes, tasks_per_step=1, lr=2e-3, validation=ValidationSettings(every=100, tasks=100)
    )
    with progress_line() as progress:
        return fit(demo.ours.make(tasks.input), tasks, validation, settings, out=out, progress=progress)


def compare(demo: Demo, saved: SavedLearner, sets: Mapping[str, Dataset], count: int) -> dict[str, dict[str, list[Result]]]:
    """Return results by method and data set, one for each of `SIZES`."""
    torch.manual_seed(1)
    first = next(iter(sets.values()))
    calibration = ClassTasks(first, 5, 5, COUNTS["queries"], seed=2).batch(range(8))
    methods: dict[str, tuple[Learner | SavedLearner, int]] = {OURS: (saved, count)}
    for name, method in demo.methods.items():
        learner = method.make(first.spec)
        learner.calibrate(calibration[index] for index in range(8))
        methods[name] = learner, min(count, method.most or count)
    total = len(sets) * len(SIZES) * sum(number for _, number in methods.values())
    with counted("meeting new tasks", total) as advance:
        return {
            name: {
                where: [
                    evaluate(learner, ClassTasks(dataset, ways, shots, COUNTS["queries"]), number, advance)
                    for ways, shots in SIZES
                ]
                for where, dataset in sets.items()
            }
            for name, (learner, number) in methods.items()
        }


def picture(learner: Learner, dataset: Dataset, names: str, seed: int = 7) -> PicturedTask:
    """Return one task of five classes and one example each, with its predictions, to be looked at."""
    tasks = ClassTasks(dataset, COUNTS["ways"], 1, COUNTS["queries"], seed=seed)
    task = tasks[0]
    with torch.no_grad():
        predicted = learner.predict(learner.adapt(task.support), task.query.x).argmax(-1)
    support, query = (
        [dataset.spec.shown(one) for one in _examples(dataset.spec, part.x)] for part in (task.support, task.query)
    )
    return PicturedTask(
        [names.format(way=way, name=name) for way, name in enumerate(tasks.classes_of(0), start=1)],
        support,
        task.support.y.rows.argmax(-1).numpy(),
        query,
        task.query.y.rows.argmax(-1).numpy(),
        predicted.numpy(),
    )


def _examples(spec: InputSpec, x: Input) -> list[dict[str, np.ndarray]]:
    """Return examples as they are stored, one by one."""
    ((name, layout),) = spec.layout().items()
    return [{name: one} for one in layout.to_stored(np.asarray(x))]


def cleared(out: pathlib.Path) -> pathlib.Path:
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
        for index, (ways, shots) in enumerate(SIZES)
    ]


def _print(results: dict[str, dict[str, list[Result]]], out: pathlib.Path, following: list[str], as_json: bool) -> None:
    """Print the table and what to try next, or JSON."""
    if as_json:
        plain = {name: {where: [r.to_dict() for r in row] for where, row in by_set.items()} for name, by_set in results.items()}
        _output.as_json({"learner": str(out / LEARNER_FILE), "report": str(out / "report.html"), "results": plain})
        return
    _output.table(_columns(results), _rows(results), "Accuracy, %, and the 95 % confidence interval")
    ours = [result for row in results[OURS].values() for result in row]
    _output.text(f"protocol: {ours[0].protocol}; tasks hash of each row: {' '.join(result.tasks_hash for result in ours)}")
    tell(out, following)


def tell(out: pathlib.Path, following: list[str]) -> None:
    """Print where the learner and the report are, and what to try next."""
    lines = [
        f"saved: {out / LEARNER_FILE}",
        f"look:  {out / 'report.html'}",
        "next:",
        *(f"  {line}" for line in following),
    ]
    _output.text("\n".join(lines))


def _next(out: pathlib.Path, where: tuple[str, str], task: PicturedTask) -> list[str]:
    """Return the commands to try next; each works as it is printed."""
    dataset, split = where
    return [
        _output.command("info", out),
        _output.command("evaluate", out, "--data", dataset, "--split", split, "--ways", 5, 20, "--shots", 1, 5),
        _output.command("adapt", out, out / EXAMPLES, "-o", out / "mine.qs"),
        _output.command("predict", out / "mine.qs", *_questions(out, task)),
        _output.command("export", out, "-o", out / "demo.qs"),
        _output.command("list"),
    ]


def _first_queries(task: PicturedTask) -> list[Shown]:
    """Return the first query of each class."""
    return [task.query[int(np.argmax(task.query_ways == way))] for way in range(len(task.names))]


def _questions(out: pathlib.Path, task: PicturedTask) -> list[str | pathlib.Path]:
    """Return a query of each class as `predict` takes it: a text as it is, of all else the file."""
    return [
        query.content.decode() if query.media == "text/plain" else _question(out, name, query)
        for name, query in zip(task.names, _first_queries(task), strict=True)
    ]


def _question(out: pathlib.Path, name: str, query: Shown) -> pathlib.Path:
    """Return the file of a query."""
    return out / QUESTIONS / f"{name}{_file(query)[0]}"


def _file(example: Shown) -> tuple[str, bytes]:
    """Return the end of the name of an example's file, and its content."""
    return (".wav", example.sound) if example.sound else (SUFFIXES[example.media], example.content)


def _write_examples(out: pathlib.Path, task: PicturedTask) -> None:
    """Write a task as folders of files: examples to adapt to, and one question for each class."""
    for way, name in enumerate(task.names):
        for number, index in enumerate(np.flatnonzero(task.support_ways == way).tolist(), start=1):
            suffix, content = _file(task.support[index])
            write_atomically(out / EXAMPLES / name / f"{number}{suffix}", content)
    for name, query in zip(task.names, _first_queries(task), strict=True):
        write_atomically(_question(out, name, query), _file(query)[1])


def _facts(demo: Demo, saved: SavedLearner, results: dict[str, dict[str, list[Result]]]) -> str:
    """Return the line below the report's headline: what was trained, for how long, and on how many tasks it was tested."""
    first = next(iter(results[OURS].values()))[0]
    fewer = "".join(f" ({method.most} for {name})" for name, method in demo.methods.items() if method.most)
    return (
        f"{demo.subject.learner}, {saved.info['minutes']} minutes of meta-training on {demo.subject.trained_on} "
        f"({saved.info['steps']} steps). {len(first.scores)} test tasks per cell{fewer}, {first.protocol}, tasks hash {first.tasks_hash}."
    )


def _curves(saved: SavedLearner, sets: Mapping[str, Dataset]) -> dict[str, dict[int, float]]:
    """Return the accuracy in percent by number of shots, for each data set."""
    return {
        where: {
            shots: round(100 * evaluate(saved, ClassTasks(dataset, 5, shots, COUNTS["queries"]), 30).mean, 2)
            for shots in (1, 2, 3, 5, 10)
        }
        for where, dataset in sets.items()
    }


def _report(
    facts: str,
    out: pathlib.Path,
    results: dict[str, dict[str, list[Result]]],
    shown: Mapping[str, PicturedTask],
    curves: dict[str, dict[int, float]],
    following: list[str],
) -> Report:
    """Return what the report shows; the learning curve is read from the run's folder."""
    history = [row for row in read_metrics(out / "metrics.csv") if row["validation_accuracy"]]
    learning = [(float(row["seconds"]) / 60, 100 * float(row["validation_accuracy"])) for row in history]
    return Report(
        "quickstudy: a learner that has learned how to learn",
        facts,
        _columns(results),
        _rows(results),
        {f"A task of {where}, one example per class": task for where, task in shown.items()},
        curves,
        learning,
        following,
    )
