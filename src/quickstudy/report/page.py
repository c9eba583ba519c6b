"""A report as one HTML file: results, a task in pictures, accuracy against shots, the learning curve. Opens anywhere, loads nothing."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import pathlib
from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np
import PIL.Image

from quickstudy.storage import write_atomically

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem } .facts { color: #57606a }
table { border-collapse: collapse } th, td { padding: .35rem .9rem; border-bottom: 1px solid #d8dee4; text-align: right }
th:first-child, td:first-child { text-align: left } thead th { border-bottom: 2px solid #57606a } td:nth-child(2) { font-weight: 600 }
.task { display: flex; flex-wrap: wrap; gap: .8rem } .way { border: 1px solid #d8dee4; border-radius: .5rem; padding: .6rem; width: 10rem }
.way h3 { margin: 0 0 .4rem; font-size: .85rem; overflow-wrap: anywhere }
.way p { margin: .5rem 0 .2rem; font-size: .75rem; color: #57606a }
.way img { image-rendering: pixelated; width: 42px; height: 42px; border-radius: 3px; margin: 1px; border: 3px solid transparent }
img.right { border-color: #1a7f37 !important } img.wrong { border-color: #cf222e !important }
img.plot { max-width: 100% } pre { background: #f6f8fa; padding: 1rem; border-radius: .5rem; overflow-x: auto }
"""


@dataclasses.dataclass(frozen=True)
class PicturedTask:
    """One task, to be looked at.

    Args:
        names: of the ways.
        support: uint8 `[example, height, width, channel]`, and `support_ways` `[example]`.
        query: uint8 `[example, height, width, channel]`, and `query_ways` `[example]`.
        predicted: way predicted for each query, `[example]`.
    """

    names: Sequence[str]
    support: np.ndarray
    support_ways: np.ndarray
    query: np.ndarray
    query_ways: np.ndarray
    predicted: np.ndarray


@dataclasses.dataclass(frozen=True)
class Report:
    """What a report shows.

    Args:
        title: headline.
        facts: a line below it.
        columns: of the table of results; the first one names the tasks, the second is ours.
        rows: of that table.
        tasks: tasks in pictures, by headline.
        shots: accuracy in percent by number of shots, for each named curve.
        learning: (minutes, accuracy in percent) of each validation.
        commands: what to try next.
    """

    title: str
    facts: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    tasks: Mapping[str, PicturedTask]
    shots: Mapping[str, Mapping[int, float]]
    learning: Sequence[tuple[float, float]]
    commands: Sequence[str]


def write_report(path: pathlib.Path, report: Report) -> None:
    """Write the report to one HTML file."""
    title = html.escape(report.title)
    parts = [
        f"<h1>{title}</h1><p class=facts>{html.escape(report.facts)}</p>",
        "<h2>Accuracy, %, and the 95 % confidence interval</h2>",
        _table(report),
    ]
    parts += [f"<h2>{html.escape(headline)}</h2>{_task(task)}" for headline, task in report.tasks.items()]
    parts += ["<h2>Accuracy against shots</h2>", _plot(_shots_figure(report.shots), "accuracy against shots")]
    parts += ["<h2>Learning curve</h2>", _plot(_learning_figure(report.learning), "learning curve")]
    parts += ["<h2>Try next</h2><pre>" + html.escape("\n".join(report.commands)) + "</pre>"]
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style><body>{''.join(parts)}"
    )
    write_atomically(path, page.encode())


def _table(report: Report) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in report.columns)
    body = []
    for row in report.rows:
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        body.append(f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _task(task: PicturedTask) -> str:
    cards = []
    for way, name in enumerate(task.names):
        support = "".join(_image(image, "", name) for image in task.support[task.support_ways == way])
        queries = []
        for index in np.flatnonzero(task.query_ways == way):
            predicted = int(task.predicted[index])
            kind = "right" if predicted == way else "wrong"
            queries.append(_image(task.query[index], kind, f"predicted {task.names[predicted]}"))
        learned, asked = f"<p>learned from</p>{support}", f"<p>asked: green right, red wrong</p>{''.join(queries)}"
        cards.append(f"<div class=way><h3>{html.escape(name)}</h3>{learned}{asked}</div>")
    return f"<div class=task>{''.join(cards)}</div>"


def _image(pixels: np.ndarray, kind: str, title: str) -> str:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    label = html.escape(title, quote=True)
    return f'<img class="{kind}" alt="{label}" title="{label}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _shots_figure(curves: Mapping[str, Mapping[int, float]]) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot(list(points), list(points.values()), marker="o", label=name)
    axes.set(xlabel="shots (examples per class)", ylabel="accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _learning_figure(points: Sequence[tuple[float, float]]) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot([minutes for minutes, _ in points], [accuracy for _, accuracy in points], marker="o")
    axes.set(xlabel="minutes of meta-training", ylabel="validation accuracy, %")
    axes.grid(alpha=0.3)
    return figure


def _plot(figure: matplotlib.figure.Figure, alt: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return f'<img class=plot alt="{alt}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
