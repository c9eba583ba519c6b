"""A report as one HTML file: results, a task in pictures, accuracy against shots, the learning curve. Opens anywhere, loads nothing."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import pathlib
import string
from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np

from quickstudy.inputs import Shown
from quickstudy.storage import write_atomically

PAGE, WAY = (
    string.Template((pathlib.Path(__file__).parent / name).read_text(encoding="utf-8")) for name in ("page.html", "way.html")
)
"""Templates of the page, and of one class in a pictured task."""


@dataclasses.dataclass(frozen=True)
class PicturedTask:
    """One task, to be looked at.

    Args:
        names: names of the ways.
        support: the examples that were learned from, as their spec shows them; `support_ways` says the way of each.
        query: the examples that were asked for, as their spec shows them; `query_ways` says the way of each.
        predicted: way predicted for each query, `[example]`.
    """

    names: Sequence[str]
    support: Sequence[Shown]
    support_ways: np.ndarray
    query: Sequence[Shown]
    query_ways: np.ndarray
    predicted: np.ndarray


@dataclasses.dataclass(frozen=True)
class Report:
    """Content of a report.

    Args:
        title: headline of the page.
        facts: line below the headline.
        columns: headlines of the table of results; the first one names the tasks, the second is ours.
        rows: rows of that table.
        tasks: tasks that are shown, by headline: their examples, or a figure.
        shots: score by number of shots, for each named curve.
        learning: (minutes, score) of each validation; none if nothing was trained, and then no learning curve is shown.
        commands: what to try next.
        score: what the scores are, with their unit.
        judged_by: what those of validations are, if that is another.
        others: rows of further tables of results with the same columns, by what their scores are.
        size: what `shots` counts.
    """

    title: str
    facts: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    tasks: Mapping[str, PicturedTask | matplotlib.figure.Figure]
    shots: Mapping[str, Mapping[int, float]]
    learning: Sequence[tuple[float, float]]
    commands: Sequence[str]
    score: str = "accuracy, %"
    judged_by: str | None = None
    others: Mapping[str, Sequence[Sequence[str]]] = dataclasses.field(default_factory=dict)
    size: str = "shots (examples, per class if there are classes)"


def write_report(path: pathlib.Path, report: Report) -> None:
    """Write the report to one HTML file."""
    tables = {report.score: report.rows, **report.others}
    page = PAGE.substitute(
        title=html.escape(report.title),
        facts=html.escape(report.facts),
        results="".join(_results(report.columns, rows, score) for score, rows in tables.items()),
        name=html.escape(_capital(report.score.partition(",")[0])),
        size=html.escape(report.size.partition(" (")[0]),
        tasks="".join(f"<h2>{html.escape(headline)}</h2>{_shown(headline, task)}" for headline, task in report.tasks.items()),
        shots=_plot(_shots_figure(report), f"{report.score} against {report.size}"),
        learning=_learning(report),
        commands=html.escape("\n".join(report.commands)),
    )
    write_atomically(path, page.encode("utf-8", "backslashreplace"))  # names of files may be no text


def _capital(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def _results(columns: Sequence[str], rows: Sequence[Sequence[str]], score: str) -> str:
    """Return a table of results, with its headline."""
    head, body = _cells("th", columns), "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    headline = f"<h2>{html.escape(_capital(score))}, and the 95 % confidence interval</h2>"
    return f"{headline}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _learning(report: Report) -> str:
    """Return the learning curve, with its headline; nothing if nothing was trained."""
    if not report.learning:
        return ""
    figure = _learning_figure(report.learning, report.judged_by or report.score)
    return f"<h2>Learning curve, in validation</h2>{_plot(figure, 'learning curve')}"


def _cells(tag: str, texts: Sequence[str]) -> str:
    """Return a row of a table."""
    return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)


def _shown(headline: str, task: PicturedTask | matplotlib.figure.Figure) -> str:
    """Return a task in pictures, or as a figure."""
    return _task(task) if isinstance(task, PicturedTask) else _plot(task, headline)


def _task(task: PicturedTask) -> str:
    """Return a task in pictures: of each class what was learned from, and what was asked."""
    ways = []
    for way, name in enumerate(task.names):
        queries = []
        for index in np.flatnonzero(task.query_ways == way).tolist():
            predicted = int(task.predicted[index])
            kind = "right" if predicted == way else "wrong"
            queries.append(_example(task.query[index], kind, f"predicted {task.names[predicted]}"))
        support = "".join(
            _example(task.support[index], "", name) for index in np.flatnonzero(task.support_ways == way).tolist()
        )
        ways.append(WAY.substitute(name=html.escape(name), support=support, queries="".join(queries)))
    return f"<div class=task>{''.join(ways)}</div>"


def _example(example: Shown, kind: str, title: str) -> str:
    """Return an example for the page, with a class for its frame and words that are shown beside the mouse."""
    label = html.escape(title, quote=True)
    if example.media.startswith("image/"):
        heard = (
            f'<audio controls preload=none src="{_inline(Shown("audio/wav", example.sound))}"></audio>' if example.sound else ""
        )
        return f'<img class="{kind}" alt="{label}" title="{label}" src="{_inline(example)}">{heard}'
    return f'<span class="{kind}" title="{label}">{html.escape(example.content.decode())}</span>'


def _plot(figure: matplotlib.figure.Figure, alt: str) -> str:
    """Return a figure for the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return f'<img class=plot alt="{html.escape(alt, quote=True)}" src="{_inline(Shown("image/png", buffer.getvalue()))}">'


def _inline(file: Shown) -> str:
    """Return the address of a file that the page itself holds."""
    return f"data:{file.media};base64,{base64.b64encode(file.content).decode()}"


def _shots_figure(report: Report) -> matplotlib.figure.Figure:
    """Draw scores against the number of examples that are learned from."""
    figure = matplotlib.figure.Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, points in report.shots.items():
        axes.plot(list(points), list(points.values()), marker="o", label=name)
    axes.set(xlabel=report.size, ylabel=report.score)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _learning_figure(points: Sequence[tuple[float, float]], score: str) -> matplotlib.figure.Figure:
    """Draw scores of validations against minutes."""
    figure = matplotlib.figure.Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([minutes for minutes, _ in points], [of_score for _, of_score in points], marker="o")
    axes.set(xlabel="minutes of meta-training", ylabel=score)
    axes.grid(alpha=0.3)
    return figure
