"""Scoreboard: learners side by side on the same tasks, as a table in Markdown with plots of accuracy against what it costs."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import matplotlib.figure
import numpy as np

from quickstudy.storage import write_atomically
from quickstudy.training.evaluate import Result
from quickstudy.training.measures import Measure, measure_in

Plain = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One learner of a scoreboard. What is not known is None, or missing.

    Args:
        name: what it is called.
        learner: the algorithm.
        results: of each size of task, as `Result.to_dict` gives them.
        figures: as `quickstudy.report.figures.Figures.to_dict` gives them.
        numbers: weights of the learner.
        training_seconds: seconds of the training.
        megabytes: most memory of the training.
    """

    name: str
    learner: str
    results: Sequence[Plain]
    figures: Plain = dataclasses.field(default_factory=dict)
    numbers: int | None = None
    training_seconds: float | None = None
    megabytes: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)


class Cost(NamedTuple):
    """A cost that accuracy is plotted against.

    Attributes:
        name: of the file, and of the column in tables.
        label: words of the axis, with the unit.
        of: the number of an entry, None if it is not known.
    """

    name: str
    label: str
    of: Callable[[Entry], float | None]


def _scaled(value: float | None, factor: float) -> float | None:
    """Return a number in another unit; None stays None."""
    return None if value is None else factor * value


COSTS = (
    Cost("training", "training, min", lambda entry: _scaled(entry.training_seconds, 1 / 60)),
    Cost("size", "size in ONNX, KB", lambda entry: _scaled(entry.figures.get("onnx_bytes"), 1 / 1024)),
    Cost("adapting", "adapting to a task, ms", lambda entry: _scaled(entry.figures.get("adapt_seconds"), 1000)),
    Cost("memory", "memory of the training, MB", lambda entry: entry.megabytes),
)
"""Costs, one plot and one column of the table each."""


def size_of(result: Plain) -> str:
    """Return the size of a result's tasks in words.

    >>> size_of({"ways": 5, "shots": 1}), size_of({"dataset": "sinusoid", "shots": 10}), size_of({"dataset": "curves"})
    ('5-way 1-shot', 'sinusoid, 10-shot', 'curves')
    """
    if "ways" in result:
        return f"{result['ways']}-way {result['shots']}-shot"
    return str(result.get("dataset", "tasks")) + (f", {result['shots']}-shot" if "shots" in result else "")


def behind(results: Mapping[str, Result]) -> dict[str, tuple[float, float] | None]:
    """Return how far each learner is behind the best one, in the unit of the measure, and half of the 95 % interval over tasks.

    Learners are compared task by task. It is None for one that met other tasks than the best one.

    Args:
        results: result of each learner, by its name.
    """
    measure = next(iter(results.values())).measure
    sign = 1 if measure.higher_is_better else -1
    best = max(results.values(), key=lambda result: sign * float(np.nan_to_num(result.mean, nan=-sign * math.inf)))
    found: dict[str, tuple[float, float] | None] = {}
    for name, result in results.items():
        if result.tasks_hash != best.tasks_hash:
            found[name] = None
            continue
        lost = sign * measure.scale * (best.scores - result.scores)
        half = 1.96 * float(lost.std(ddof=1)) / math.sqrt(len(lost)) if len(lost) > 1 else math.inf
        found[name] = (float(lost.mean()), half)
    return found


def columns(entries: Sequence[Entry]) -> list[str]:
    """Return the headlines of the table."""
    scored = (f"{size}: {measure.name}" for size, measure in _scored(entries))
    return ["name", "learner", *scored, "protocol", *(cost.label for cost in COSTS)]


def rows(entries: Sequence[Entry]) -> list[list[str]]:
    """Return the rows of the table, the best learner of the first size first."""
    return [list(_row(entry, _scored(entries))) for entry in ordered(entries)]


def _scored(entries: Sequence[Entry]) -> list[tuple[str, Measure]]:
    """Return the sizes of tasks in words, each with the measure of the results, and with further ones that some result of it has."""
    found: dict[str, list[Plain]] = {}
    for entry in entries:
        for result in entry.results:
            found.setdefault(size_of(result), []).append(result)
    measure = measure_in(entries[0].results[0])
    return [
        (size, one)
        for size, results in found.items()
        for one in (measure, *measure.beside)
        if any(one.key in result for result in results)
    ]


def ordered(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries, the best one by their first result first."""
    measure = measure_in(entries[0].results[0])
    return sorted(entries, key=lambda entry: entry.results[0][measure.key], reverse=measure.higher_is_better)


def _row(entry: Entry, scored: Sequence[tuple[str, Measure]]) -> Iterator[str]:
    """Yield the cells of an entry."""
    yield from (entry.name, entry.learner)
    by_size = {size_of(result): result for result in reversed(entry.results)}
    main = measure_in(entry.results[0])
    for size, measure in scored:
        result = by_size.get(size, {})
        numbers = (result.get(measure.key), result.get("ci95" if measure is main else f"{measure.key}_ci95"))
        yield " ± ".join(format(number, measure.short) for number in numbers if number is not None) or "-"
    yield str(entry.results[0]["protocol"])
    for cost in COSTS:
        value = cost.of(entry)
        yield "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def write(path: pathlib.Path, entries: Sequence[Entry], title: str, about: str) -> list[pathlib.Path]:
    """Write a page in Markdown, and the plots into the folder beside it that has its name; return all files.

    Args:
        path: the page, such as `scoreboard.md`.
        entries: the learners; at least one.
        title: headline.
        about: paragraph below it.
    """
    folder, written = path.with_suffix(""), [path]
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"# {title}", "", about, "", *_table(columns(entries), rows(entries)), ""]
    for cost in COSTS:
        known = [entry for entry in entries if cost.of(entry) is not None]
        if known:
            file = folder / f"{cost.name}.svg"
            _plot(known, cost, file)
            written.append(file)
            lines += [f"![accuracy against {cost.label}]({folder.name}/{file.name})", ""]
    write_atomically(path, "\n".join(lines).encode())
    return written


def _table(headlines: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [headlines, ["---"] * len(headlines), *cells]
    return [f"| {' | '.join(line)} |" for line in lines]


def _plot(entries: Sequence[Entry], cost: Cost, file: pathlib.Path) -> None:
    """Draw the first result of each entry against a cost; the same entries give the same file."""
    measure = measure_in(entries[0].results[0])
    with matplotlib.rc_context({"svg.hashsalt": cost.name}):
        figure = matplotlib.figure.Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        for entry in entries:
            x, result = float(cost.of(entry) or 0.0), entry.results[0]
            axes.errorbar(x, result[measure.key], result["ci95"] or 0.0, marker="o", color="#0969da", capsize=2)
            place = (x, result[measure.key])
            axes.annotate(entry.name, place, (4, 6), textcoords="offset points", fontsize="small")
        if min(float(cost.of(entry) or 0.0) for entry in entries) > 0:
            axes.set_xscale("log")
        axes.set(xlabel=cost.label, ylabel=f"{size_of(entries[0].results[0])}: {measure.name}")
        axes.grid(alpha=0.3)
        axes.margins(x=0.2, y=0.2)
        figure.savefig(file, metadata={"Date": None})
