"""draw: the candidates of a budget as a picture, accuracy against size."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence

import matplotlib.figure
import matplotlib.ticker

from quickstudy.export.budget import Candidate, Limit


def draw(tried: Sequence[Candidate], limit: Limit, path: pathlib.Path) -> None:
    """Write a picture of the candidates, with latencies beside the points and the limit as a line.

    Args:
        tried: the candidates; one whose accuracy was not measured is left out.
        limit: the budget.
        path: file to write; its ending says the format.
    """
    figure = matplotlib.figure.Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for one in tried:
        place = (one.bytes / 1024, math.nan if one.accuracy is None else one.accuracy)
        axes.scatter(*place, marker="o" if one.fits(limit) else "x", color="#0969da")
        words = f"{one.name}, {1e3 * one.seconds:.2g} ms"
        axes.annotate(words, place, (0, 8), textcoords="offset points", ha="center", fontsize="small")
    if limit.bytes < math.inf:
        axes.axvline(limit.bytes / 1024, color="#cf222e", linestyle="--")
    axes.set(xlabel="size, KB", ylabel="accuracy, %", xscale="log", title="o within the budget, x beyond it")
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.margins(x=0.3, y=0.2)
    figure.savefig(path)
