"""Tables of the recorded learners beside the rows of their papers: accuracy with the difference, and what else was measured."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

HERE = pathlib.Path(__file__).parent
PAPERS = json.loads((HERE / "papers.json").read_text())
"""Published figures, by benchmark, paper and size of the tasks."""
BENCHMARKS = json.loads((HERE / "recipes.json").read_text())
"""Benchmarks by name: what they train on (`train`) and measure on (`test`, in `sizes`), the `usual` recipe, and all recipes by name."""

ACCURACY = ("learner", "task", "ours, % ± 95 % CI", "paper", "difference", "protocol", "options", "the paper's protocol")
FIGURES = (
    "learner",
    "training, min",
    "adapting, ms",
    "in onnxruntime, ms",
    "ONNX, KB",
    "calibration error before, after, %",
    "AUROC of unknown",
)
"""Columns of the two tables. Adapting is to one 1-shot task of the size that AUROC has too: 5 ways, or those of a fixed head."""

Table = tuple[str, Sequence[str], list[tuple[str, ...]]]


def tables(benchmark: str, runs: dict[str, Any]) -> Iterator[Table]:
    """Yield title, columns and rows of each table."""
    rows = [row for name, run in runs.items() for row in _accuracies(benchmark, name, run)]
    yield BENCHMARKS[benchmark]["title"], ACCURACY, rows
    measured = [_figures(name, run) for name, run in runs.items() if run.get("figures")]
    if measured:
        yield "Time, size and confidence", FIGURES, measured


def in_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def mean_of(published: str | float) -> float:
    """Return the mean of a published figure.

    >>> mean_of("98.7 ± 0.4"), mean_of(98.8)
    (98.7, 98.8)
    """
    return float(str(published).partition("±")[0])


def _accuracies(benchmark: str, name: str, run: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each size of task on which a run was measured."""
    paper = PAPERS[benchmark].get(run.get("paper"), {})
    for result in run["results"]:
        options = "".join(result["command"].partition("--json ")[2].partition("--learner")[1:])
        for row in result["rows"]:
            task = f"{row['ways']}-way {row['shots']}-shot"
            ours, published = row["accuracy"], paper.get(task)
            difference = "-" if published is None else f"{ours - mean_of(published):+.2f}"
            shown = (f"{ours:.2f} ± {row['ci95']:.2f}", str(published or "-"), difference, row["protocol"], options)
            yield (name, task, *shown, paper.get("protocol", "-"))


def _figures(name: str, run: dict[str, Any]) -> tuple[str, ...]:
    """Return what else was measured of a run."""
    figures = run["figures"]
    errors = [
        f"{row['ways']}-way {row['ece_uncalibrated']:.1f}, {row['ece']:.1f}"
        for row in run["results"][0]["rows"]
        if row["shots"] == 1 and "ece" in row
    ]
    size, onnx = figures.get("onnx_bytes"), figures.get("onnx_adapt_seconds")
    return (
        name,
        f"{run['training_seconds'] / 60:.1f}",
        f"{1000 * figures['adapt_seconds']:.1f}",
        "-" if onnx is None else f"{1000 * onnx:.1f}",
        "-" if size is None else f"{size / 1024:.0f}",
        "; ".join(errors) or "-",
        "-" if figures.get("auroc") is None else f"{figures['auroc']:.3f}",
    )
