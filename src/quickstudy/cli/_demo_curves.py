"""A demo of curves: meta-train on some people's curves for two minutes, and follow those of others from a few points."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.neighbors import KNeighborsRegressor

from quickstudy import data
from quickstudy.cli import _demo, _output
from quickstudy.data.dataset import Dataset
from quickstudy.learner import Learner
from quickstudy.objectives.values import Values
from quickstudy.report.page import Report, write_report
from quickstudy.storage import LEARNER as LEARNER_FILE
from quickstudy.storage import write_atomically
from quickstudy.task import Examples
from quickstudy.tasks.values import ValueTasks
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.fit import fit
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.progress import counted, progress_line
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import TrainingSettings, ValidationSettings
from quickstudy.training.tracking import read_metrics

TABLE = {"shots": (1, 3, 5, 10)}
"""Points that are learned from in each row of the table."""
COUNTS = {"queries": 12, "shown": 4, "neighbours": 200, "places": 100, "given": 5}
"""Points that are asked for in each test task; curves in the report; training rows whose mean is the average curve at a place; places of a
drawn curve; points in the file of examples."""
POINTS = "points.csv"
TIMES = "times.csv"

Predict = Callable[[Examples, np.ndarray], np.ndarray]
"""Type of a way to predict values from a support set and the column of the queries `[query, 1]`: `[query]`, at the scale of learners."""


@dataclasses.dataclass(frozen=True)
class CurveDemo:
    """A demo of curves, which have one column to learn from and one value.

    Args:
        subject: words about it; its `names` is the value with its unit.
        known: data set of groups, each of which is a curve, with the splits `train`, `val` and `test`.
        ours: what is meta-trained.
        baselines: learners that it is compared with, beside itself untrained, an average curve and Gaussian processes.
        drawn: shots and queries of the training tasks.
    """

    subject: _demo.Subject
    known: str
    ours: _demo.Method
    baselines: Mapping[str, _demo.Method]
    drawn: Mapping[str, Any]

    def show(self, out: str, minutes: float, tasks: int, as_json: bool) -> None:
        """Train, compare, report; as `Demo.show`."""
        keep_freed_memory()
        folder = _demo.cleared(pathlib.Path(out))
        train, test = (data.load(self.known, split) for split in ("train", "test"))
        saved = self._train(train, folder, minutes)
        results = self._compare(saved, train, test, tasks)
        _write_examples(folder, test)
        following = self._next(folder)
        write_report(folder / "report.html", self._report(folder, saved, results, test, following))
        self._print(results, folder, following, as_json)

    def _train(self, train: Dataset, out: pathlib.Path, minutes: float) -> SavedLearner:
        """Meta-train, into a folder."""
        torch.manual_seed(0)
        tasks = ValueTasks(train, **self.drawn)
        validation = ValueTasks(data.load(self.known, "val"), **self.drawn, seed=1)
        settings = TrainingSettings(
            steps=10**6, minutes=minutes, tasks_per_step=16, validation=ValidationSettings(every=200, tasks=100)
        )
        with progress_line() as progress:
            return fit(self.ours.make(tasks.input), tasks, validation, settings, out=out, progress=progress)

    def _compare(self, saved: SavedLearner, train: Dataset, test: Dataset, count: int) -> dict[str, list[Result]]:
        """Return results by method, one for each of `TABLE`."""
        torch.manual_seed(1)
        learners: dict[str, tuple[SavedLearner, int]] = {_demo.OURS: (saved, count)}
        for name, method in {"same net, untrained": self.ours, **self.baselines}.items():
            learner = SavedLearner(method.make(test.spec), scale=test.scale)
            learners[name] = learner, min(count, method.most or count)
        usual = average(train)
        others = {
            "average curve": usual,
            "Gaussian process of each curve": gaussian_process,
            "Gaussian process around the average": functools.partial(gaussian_process, usual=usual),
        }
        total = len(TABLE["shots"]) * (sum(number for _, number in learners.values()) + len(others) * count)
        with counted("meeting new curves", total) as advance:
            found = {
                name: [evaluate(learner, _tasks(test, shots), number, advance) for shots in TABLE["shots"]]
                for name, (learner, number) in learners.items()
            }
            return found | {
                name: [judged(predict, _tasks(test, shots), count, advance) for shots in TABLE["shots"]]
                for name, predict in others.items()
            }

    def _next(self, out: pathlib.Path) -> list[str]:
        """Return the commands to try next; each works as it is printed."""
        return [
            _output.command("info", out),
            _output.command("evaluate", out, "--data", self.known, "--split", "test", "--shots", *TABLE["shots"]),
            _output.command("adapt", out, out / POINTS, "-o", out / "mine.qs"),
            _output.command("predict", out / "mine.qs", out / TIMES),
            _output.command("export", out, "-o", out / "demo.qs"),
            _output.command("list"),
        ]

    def _report(
        self,
        out: pathlib.Path,
        saved: SavedLearner,
        results: dict[str, list[Result]],
        test: Dataset,
        following: list[str],
    ) -> Report:
        """Return what the report shows; the learning curve is read from the run's folder."""
        history = [row for row in read_metrics(out / "metrics.csv") if row.get("validation_mean_squared_error")]
        learning = [(float(row["seconds"]) / 60, float(row["validation_mean_squared_error"]) ** 0.5) for row in history]
        first = results[_demo.OURS][0]
        facts = (
            f"{self.subject.learner}, {saved.info['minutes']} minutes of meta-training on {self.subject.trained_on} "
            f"({saved.info['steps']} steps). {len(first.scores)} test tasks per cell, {first.protocol}, tasks hash {first.tasks_hash}."
        )
        return Report(
            "quickstudy: a learner that has learned how to learn",
            facts,
            ["curves never seen before", *results],
            _rows(results),
            {"Curves from five points each": self._figure(saved.learner, test)},
            {
                name: dict(zip(TABLE["shots"], [_roots(one).mean for one in found], strict=True))
                for name, found in results.items()
            },
            learning,
            following,
            f"root mean squared error, {self.subject.names.partition(', ')[2]}",
            f"root of the mean squared error, {self.subject.names.partition(', ')[2]}",
        )

    def _figure(self, learner: Learner, test: Dataset) -> matplotlib.figure.Figure:
        """Draw a few curves: what was learned from, what is true, what the learner and a Gaussian process say."""
        figure = matplotlib.figure.Figure(figsize=(9, 6), layout="constrained")
        tasks, scale = _tasks(test, COUNTS["given"], seed=7), test.scale
        assert scale is not None
        (column,) = test.spec.names  # pyright: ignore[reportAttributeAccessIssue]
        for axes, task in zip(
            figure.subplots(2, 2, sharex=True).flat, (tasks[one] for one in range(COUNTS["shown"])), strict=True
        ):
            places = torch.linspace(*_ends(test), COUNTS["places"]).unsqueeze(1)
            with torch.no_grad():
                found = learner.outputs(learner.adapt(task.support), places, Values.measure)
            drawn = scale.outputs({name: part.numpy() for name, part in found.items()})
            x, line = _in_unit(test, places.numpy()), drawn["prediction"][:, 0]
            axes.plot(x, line, label="quickstudy")
            if "spread" in drawn:
                axes.fill_between(x, line - 2 * drawn["spread"][:, 0], line + 2 * drawn["spread"][:, 0], alpha=0.2)
            axes.plot(
                x,
                scale.restored(gaussian_process(task.support, places.numpy())[:, None])[:, 0],
                "--",
                label="Gaussian process of this curve",
            )
            axes.plot(*_points(test, task.query), ".", color="grey", label="asked for")
            axes.plot(*_points(test, task.support), "ko", label="learned from")
            axes.set(xlabel=column, ylabel=self.subject.names)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return figure

    def _print(self, results: dict[str, list[Result]], out: pathlib.Path, following: list[str], as_json: bool) -> None:
        """Print the table and what to try next, or JSON."""
        if as_json:
            plain = {name: [_plain(result) for result in found] for name, found in results.items()}
            _output.as_json({"learner": str(out / LEARNER_FILE), "report": str(out / "report.html"), "results": plain})
            return
        title = f"Root mean squared error, {self.subject.names.partition(', ')[2]}, and the 95 % confidence interval"
        _output.table(["curves never seen before", *results], _rows(results), title)
        hashes = " ".join(result.tasks_hash for result in results[_demo.OURS])
        _output.text(f"protocol: {results[_demo.OURS][0].protocol}; tasks hash of each row: {hashes}")
        _demo.tell(out, following)


def average(train: Dataset) -> Predict:
    """Return the prediction of the average curve of training, whatever is known of a task's own."""
    assert train.scale is not None
    assert train.values is not None
    (rows,) = train.examples.values()
    y = train.scale.scaled(train.values[train.rows])[:, 0]
    model = KNeighborsRegressor(min(COUNTS["neighbours"], len(y))).fit(rows.reshape(len(y), 1), y)
    return lambda support, column: np.asarray(model.predict(column))


def gaussian_process(support: Examples, column: np.ndarray, usual: Predict | None = None) -> np.ndarray:
    """Return the prediction of a Gaussian process that is fitted to the support set, scale and noise included.

    Args:
        support: what is known of the curve.
        column: places to predict, `[query, 1]`.
        usual: mean of the process; None for 0, which is the mean of all values of training.
    """
    there = support.weight.numpy() > 0
    x, y = _column(support)[there], _values(support)[there]
    if usual is not None:
        return usual(support, column) + _fitted(x, y - usual(support, x), column)
    return _fitted(x, y, column)


def _fitted(x: np.ndarray, y: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return the prediction at `column` of a Gaussian process that is fitted to points, `[query]`."""
    # two points say nothing of a length scale
    bounds = [(0.1, 100.0), (0.1, 3.0), (1e-3, 1.0)] if len(x) > 2 else ["fixed"] * 3
    kernel = ConstantKernel(1.0, bounds[0]) * RBF(0.5, bounds[1]) + WhiteKernel(0.01, bounds[2])
    model = GaussianProcessRegressor(kernel)
    with warnings.catch_warnings():
        # a best value at a bound, as of curves without noise, is as good as another
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(model.fit(x, y).predict(column))


def judged(predict: Predict, tasks: ValueTasks, count: int, advance: Callable[[int], None]) -> Result:
    """Return the mean squared errors of predictions for the first `count` tasks, as `evaluate` does for learners."""
    scores, scale = [], tasks.scale
    assert scale is not None
    for index in range(count):
        task = tasks[index]
        error = scale.spread[0] * (predict(task.support, _column(task.query)) - _values(task.query))
        scores.append(float(np.average(error**2, weights=task.query.weight.numpy())))
        advance(1)
    return Result(np.array(scores), "inductive", tasks.describe(), tasks.fingerprint(count), Values.measure)


def _tasks(dataset: Dataset, shots: int, seed: int = 0) -> ValueTasks:
    """Return tasks of one curve each, with so many points to learn from."""
    return ValueTasks(dataset, shots=shots, queries=COUNTS["queries"], seed=seed)


def _ends(dataset: Dataset) -> tuple[float, float]:
    """Return the least and the greatest number of the column to learn from, as a learner sees it."""
    (stored,) = dataset.examples.values()
    return float(stored.min()), float(stored.max())


def _column(examples: Examples) -> np.ndarray:
    """Return the column to learn from as a learner sees it, `[..., example, 1]`."""
    assert isinstance(examples.x, torch.Tensor)
    return examples.x.numpy().reshape(*examples.y.rows.shape[:-1], 1)


def _values(examples: Examples) -> np.ndarray:
    """Return the value of each example as a learner sees it, `[..., example]`."""
    return examples.y.rows[..., 0].numpy()


def _in_unit(dataset: Dataset, column: np.ndarray) -> np.ndarray:
    """Return numbers of the column to learn from in their own unit, `[example]`."""
    (known,) = dataset.spec.columns  # pyright: ignore[reportAttributeAccessIssue]
    return column.ravel() * known.scale + known.mean


def _points(dataset: Dataset, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Return the column to learn from and the values, in their own units, `[example]` both."""
    assert dataset.scale is not None
    return _in_unit(dataset, _column(examples)), dataset.scale.restored(_values(examples)[:, None])[:, 0]


def _roots(result: Result) -> Result:
    """Return a result whose scores are the root mean squared error of each task, in the unit of the values."""
    return dataclasses.replace(result, scores=np.sqrt(result.scores))


def _plain(result: Result) -> dict[str, Any]:
    """Return plain values, among them the mean over tasks of the root mean squared error, with its interval."""
    root = _roots(result)
    half = round(root.ci95, 4) if len(root.scores) > 1 else None
    return {"root_mean_squared_error": round(root.mean, 4), "root_ci95": half, **result.to_dict()}


def _rows(results: dict[str, list[Result]]) -> list[list[str]]:
    """Return the table's rows: one number of points each, with a cell for each method."""
    return [
        [
            f"{shots} point{'s' * (shots > 1)}",
            *(f"{root.mean:.1f} ± {root.ci95:.1f}" for found in results.values() if (root := _roots(found[place]))),
        ]
        for place, shots in enumerate(TABLE["shots"])
    ]


def _write_examples(out: pathlib.Path, test: Dataset) -> None:
    """Write a curve as two tables: points to adapt to, and times to ask about."""
    task, scale = _tasks(test, COUNTS["given"], seed=7)[0], test.scale
    assert scale is not None
    (column,) = test.spec.names  # pyright: ignore[reportAttributeAccessIssue]
    _write(out / POINTS, (column, *scale.names), zip(*_points(test, task.support), strict=True))
    _write(out / TIMES, (column,), ((time,) for time in sorted(_points(test, task.query)[0])))


def _write(path: pathlib.Path, names: Sequence[str], rows: Any) -> None:
    """Write a table of numbers."""
    lines = [",".join(names), *(",".join(f"{number:.6g}" for number in row) for row in rows)]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
