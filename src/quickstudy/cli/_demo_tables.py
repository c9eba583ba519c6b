"""A demo of tables, for which nothing is trained: a learner that ships reads a few labelled rows, and answers for others of their table."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import pathlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sklearn.datasets
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quickstudy.cli import _demo, _output
from quickstudy.errors import InputWarning, check_above, check_at_least
from quickstudy.estimators.classifier import FewShotClassifier
from quickstudy.inputs import Shown
from quickstudy.objectives._measure import Measure
from quickstudy.report.page import PicturedTask, Report, write_report
from quickstudy.runtime import skill_file
from quickstudy.runtime.engines import Engine
from quickstudy.storage import write_atomically
from quickstudy.training.evaluate import Result
from quickstudy.training.measures import ACCURACY
from quickstudy.training.progress import counted

TABLE = {"rows": (10, 30, 100)}
"""Number of labelled rows that are learned from, in each row of the results; each class has one of them at least."""
COUNTS = {"asked": 50, "least": 2, "shown": 5, "columns": 4, "given": 30, "tables": 2}
"""Most rows that are asked for in each task; least tasks per cell, as one has no interval; rows of a class that are asked for, and
columns, in the report; labelled rows in the file of examples; tables of which the report shows rows."""
AREA = Measure("area_under_roc", True, "%", 100.0, plain=".4g")
"""Measure of the probabilities: the area under the ROC curve of each class against the others, averaged over classes."""
MEASURE = dataclasses.replace(ACCURACY, beside=(*ACCURACY.beside, AREA))
ROWS, NEW = "rows.csv", "new.csv"
"""Files with labelled rows to adapt to, and with rows to predict."""
LABEL = "class"
"""Name of the column of labels in the first of them."""

Make = Callable[[], Any]
"""Type of a function that returns a new classifier of scikit-learn's kind."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that comes with scikit-learn.

    Args:
        name: its name.
        columns: names of its columns.
        rows: its numbers, `[row, column]`.
        labels: number of the class of each row, `[row]`.
        classes: names of the classes.
    """

    name: str
    columns: Sequence[str]
    rows: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]

    @classmethod
    def load(cls, name: str) -> Table:
        """Return a table of scikit-learn by its name; the classes of `diabetes` are its values below and above the median.

        >>> Table.load("iris").columns[0]
        'sepal length (cm)'
        """
        found = getattr(sklearn.datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
        labels, classes = found.target, [str(one) for one in getattr(found, "target_names", ())]
        if not classes:
            labels, classes = (labels > np.median(labels)).astype(int), ["slower progression", "faster progression"]
        return cls(name.replace("_", " "), [str(one) for one in found.feature_names], found.data, labels, classes)

    def draw(self, count: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of rows to learn from and of rows to be asked for: the task `index` with `count` labelled rows."""
        order = np.random.default_rng((count, index)).permutation(len(self.labels))
        first = np.unique(self.labels[order], return_index=True)[1]  # of each class, so that all are met
        order = np.concatenate([order[first], np.delete(order, first)])
        return order[:count], order[count : count + COUNTS["asked"]]

    def fingerprint(self, count: int, tasks: int) -> str:
        """Return a hash of the first tasks with `count` labelled rows: equal hashes, equal rows in equal order."""
        digest = hashlib.sha256(self.rows.tobytes() + self.labels.tobytes())
        for index in range(tasks):
            for places in self.draw(count, index):
                digest.update(places.tobytes())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class TableDemo:
    """A demo of tables, for which nothing is trained: its minutes are those of comparing.

    Args:
        learner: name of a learner that ships, of any table.
        tables: names of tables that come with scikit-learn; rows of the first one are written to the folder.
        baselines: functions that return a new classifier, by the names of the classifiers in the results.
    """

    learner: str
    tables: Sequence[str]
    baselines: Mapping[str, Make]

    @property
    def ours(self) -> str:
        """Return the name of the learner in the results."""
        return f"quickstudy, the learner {self.learner}"

    def show(self, out: str, minutes: float, tasks: int, as_json: bool) -> None:
        """Compare, report.

        Args:
            out: folder for the examples and the report; an earlier demo is replaced.
            minutes: after which no more tasks are begun; each cell has two at least.
            tasks: most test tasks for each cell of the results.
            as_json: print JSON.
        """
        check_above("minutes", minutes, 0)
        check_at_least("tasks", tasks, 1)
        folder = _demo.cleared(pathlib.Path(out))
        tables = [Table.load(name) for name in self.tables]
        engine = skill_file.engine_of(self.learner)
        with warnings.catch_warnings():
            # of ten rows, some columns are the same in all: they are left out, and nobody has to be told for each of many draws
            warnings.simplefilter("ignore", InputWarning)
            results = self._compare(engine, tables, minutes, tasks)
            shown = {f"Ten rows of {table.name}": picture(engine, table) for table in tables[: COUNTS["tables"]]}
        _write_examples(folder, tables[0])
        following = self._next(folder)
        write_report(folder / "report.html", self._report(results, shown, following))
        self._print(results, folder, following, as_json)

    def _compare(
        self, engine: Engine, tables: Sequence[Table], minutes: float, tasks: int
    ) -> dict[str, dict[str, list[Result]]]:
        """Return results by method and table, one for each of `TABLE`."""
        methods: dict[str, Make] = {self.ours: lambda: FewShotClassifier(engine), **self.baselines}
        cells = [(name, table, size) for table in tables for size in TABLE["rows"] for name in methods]
        scores: dict[tuple[str, str, int], list[tuple[float, float]]] = {(name, of.name, size): [] for name, of, size in cells}

        def meet(index: int) -> float:
            """Judge a task of each cell, so that all cells have as many; return the seconds that it took."""
            begin = time.monotonic()
            for name, table, size in cells:
                scores[name, table.name, size].append(judged(methods[name](), table, size, index))
            return time.monotonic() - begin

        left = 60 * minutes
        left -= (first := meet(0))
        count = max(COUNTS["least"], min(tasks, 1 + int(left / first)))
        with counted("meeting new tables", count) as advance:
            advance(1)
            for index in range(1, count):
                if index >= COUNTS["least"] and left <= 0:
                    break
                left -= meet(index)
                advance(1)
        return {
            name: {
                table.name: [_result(table, size, scores[name, table.name, size]) for size in TABLE["rows"]] for table in tables
            }
            for name in methods
        }

    def _next(self, out: pathlib.Path) -> list[str]:
        """Return the commands to try next; each works as it is printed."""
        return [
            _output.command("info", self.learner),
            _output.command("adapt", self.learner, out / ROWS, "--label", LABEL, "-o", out / "mine.qs"),
            _output.command("predict", out / "mine.qs", out / NEW),
            _output.command("list"),
        ]

    def _report(
        self, results: dict[str, dict[str, list[Result]]], shown: Mapping[str, PicturedTask], following: list[str]
    ) -> Report:
        """Return what the report shows; there is no learning curve, as nothing was trained."""
        columns, first = _columns(results), next(iter(results[self.ours].values()))[0]
        facts = (
            f"The learner {self.learner}, which ships and was trained on synthetic tables alone; nothing was trained here. "
            f"{len(first.scores)} draws of labelled rows per cell, {first.protocol}, tasks hash {first.tasks_hash}."
        )
        means = {
            name: {
                size: round(100 * float(np.mean([found[place].beside[AREA.key].mean() for found in by_table.values()])), 2)
                for place, size in enumerate(TABLE["rows"])
            }
            for name, by_table in results.items()
        }
        return Report(
            "quickstudy: a learner that has learned how to learn",
            facts,
            columns,
            _rows(results, AREA),
            shown,
            means,
            (),
            following,
            "area under the ROC curve, %",
            others={"accuracy, %": _rows(results, ACCURACY)},
            size="labelled rows",
        )

    def _print(
        self, results: dict[str, dict[str, list[Result]]], out: pathlib.Path, following: list[str], as_json: bool
    ) -> None:
        """Print the results and what to try next, or JSON."""
        if as_json:
            plain = {
                name: {where: [one.to_dict() for one in row] for where, row in found.items()} for name, found in results.items()
            }
            _output.as_json({"learner": self.learner, "report": str(out / "report.html"), "results": plain})
            return
        for words, measure in {"Area under the ROC curve": AREA, "Accuracy": ACCURACY}.items():
            title = f"{words}, %, and the 95 % confidence interval over draws of the rows"
            _output.table(_columns(results), _rows(results, measure), title)
        ours = [result for row in results[self.ours].values() for result in row]
        hashes = " ".join(result.tasks_hash for result in ours)
        _output.text(
            f"{len(ours[0].scores)} tasks per cell; protocol: {ours[0].protocol}; tasks hash of each row: {hashes}\n"
            f"look:  {out / 'report.html'}\nnext:"
        )
        _output.text("\n".join(f"  {line}" for line in following))


def scaled(make: Make) -> Any:
    """Return a new classifier behind scikit-learn's scaling of columns.

    >>> from sklearn.linear_model import LogisticRegression
    >>> [name for name, _ in scaled(LogisticRegression).steps]
    ['standardscaler', 'logisticregression']
    """
    return make_pipeline(StandardScaler(), make())


def judged(classifier: Any, table: Table, size: int, index: int) -> tuple[float, float]:
    """Return the accuracy and the area under the ROC curve of a new classifier on the task `index` with `size` labelled rows."""
    known, asked = table.draw(size, index)
    found = classifier.fit(table.rows[known], table.labels[known]).predict_proba(table.rows[asked])
    labels = table.labels[asked]
    met = [way for way in range(len(table.classes)) if 0 < (labels == way).sum() < len(labels)]
    area = np.mean([roc_auc_score(labels == way, found[:, way]) for way in met])
    return float((found.argmax(1) == labels).mean()), float(area)


def picture(engine: Engine, table: Table) -> PicturedTask:
    """Return a task of ten labelled rows, with some answers, to be looked at."""
    known, asked = table.draw(TABLE["rows"][0], 0)
    found = FewShotClassifier(engine).fit(table.rows[known], table.labels[known]).predict_proba(table.rows[asked])
    some = np.concatenate([np.flatnonzero(table.labels[asked] == way)[: COUNTS["shown"]] for way in range(len(table.classes))])
    answers = [
        f" \N{RIGHTWARDS ARROW} {table.classes[int(found[one].argmax())]} ({100 * found[one].max():.0f} %)" for one in some
    ]
    return PicturedTask(
        table.classes,
        [_shown(table, row) for row in known],
        table.labels[known],
        [_shown(table, row, answer) for row, answer in zip(asked[some], answers, strict=True)],
        table.labels[asked[some]],
        found[some].argmax(1),
    )


def _shown(table: Table, row: int, answer: str = "") -> Shown:
    """Return a row in words, its first columns, and perhaps what was answered for it."""
    cells = [f"{name} {number:g}" for name, number in zip(table.columns, table.rows[row], strict=True)]
    more = len(cells) - COUNTS["columns"]
    words = ", ".join(cells[: COUNTS["columns"]]) + (f" and {more} more" if more > 0 else "")
    return Shown("text/plain", f"{words}{answer}".encode())


def _result(table: Table, size: int, scores: Sequence[tuple[float, float]]) -> Result:
    """Return the result of the first tasks, in order."""
    accuracy, area = np.array(scores).T
    about = {"source": "table", "dataset": table.name, "ways": len(table.classes), "rows": size, "queries": COUNTS["asked"]}
    return Result(accuracy, "inductive", about, table.fingerprint(size, len(scores)), MEASURE, beside={AREA.key: area})


def _columns(results: Mapping[str, Any]) -> list[str]:
    """Return the headlines of the results: the tasks, and each method."""
    return ["tables never seen before", *results]


def _rows(results: dict[str, dict[str, list[Result]]], measure: Measure) -> list[list[str]]:
    """Return rows of the results by a measure: one table and number of labelled rows each, with a cell for each method."""
    where = next(iter(results.values()))
    return [
        [f"{name}, {size} rows", *(_cell(found[name][place], measure) for found in results.values())]
        for name in where
        for place, size in enumerate(TABLE["rows"])
    ]


def _cell(result: Result, measure: Measure) -> str:
    """Return a score and its interval, in percent."""
    chosen = dataclasses.replace(result, scores=result.beside.get(measure.key, result.scores))
    return f"{100 * chosen.mean:.1f} ± {100 * chosen.ci95:.1f}"


def _write_examples(out: pathlib.Path, table: Table) -> None:
    """Write some of a table's rows as two files: with labels, to adapt to, and without, to predict."""
    known, asked = table.draw(COUNTS["given"], 0)
    names = [[table.classes[way]] for way in table.labels[known]]
    labelled = [[*table.rows[row], *name] for row, name in zip(known, names, strict=True)]
    _write(out / ROWS, [[*table.columns, LABEL], *labelled])
    _write(out / NEW, [table.columns, *table.rows[asked[: COUNTS["shown"]]]])


def _write(path: pathlib.Path, rows: Sequence[Sequence[Any] | np.ndarray]) -> None:
    """Write rows as a csv file, of which the first one is the names of the columns."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomically(path, text.getvalue().encode())
