"""HarmonicTasks: few-shot regression of two sine waves, of which one is twice as fast; each a pure function of (seed, index).

Lacoste, Oreshkin, Chung, Boquet, Rostamzadeh and Krueger 2018, "Uncertainty in Multitask Transfer Learning", section 5.1: the points of
each curve lie around a place of its own, so that a learner sees a part of the curve only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from quickstudy.errors import check_at_least
from quickstudy.inputs.rows import RowsSpec
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task
from quickstudy.tasks._random import task_keys, uniform

RANGES = {"frequency": (5.0, 7.0), "middle": (-4.0, 4.0)}
"""Ranges of the paper, drawn uniformly: of the frequency, in radians per unit of x, and of the place around which x lies."""


@dataclasses.dataclass(frozen=True)
class HarmonicTasks:
    """Tasks that fit `y = a sin(f x + p) + b sin(2 f x + q) + noise`.

    Of each curve, f is uniform in [5, 7], p and q are uniform in [0, 2 pi], and a and b are normal, as is x around a place that is uniform
    in [-4, 4].

    Args:
        shots: support points of each curve.
        queries: query points of each curve.
        noise: standard deviation of the noise on every value.
        seed: which stream of tasks.

    >>> tasks = HarmonicTasks(shots=5).batch(range(3))
    >>> tasks.support.x.shape, tasks.query.y.rows.shape
    (torch.Size([3, 5, 1]), torch.Size([3, 10, 1]))
    """

    shots: int = 10
    queries: int = 10
    noise: float = 0.1
    seed: int = 0

    input: ClassVar[RowsSpec] = RowsSpec(features=1)
    target: ClassVar[str] = "values"

    def __post_init__(self) -> None:
        check_at_least("shots", self.shots, 1)
        check_at_least("queries", self.queries, 1)
        check_at_least("noise", self.noise, 0)

    def __getitem__(self, index: int) -> Task:
        """Return the task of this index."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the tasks of these indices, stacked: every tensor has one more leading axis."""
        index = np.asarray(indices, dtype=np.int64)
        points = torch.from_numpy(np.stack(self._points(index))).to(torch.get_default_dtype()).unsqueeze(-1)
        support, query = (Examples(x, Values(y)) for x, y in points.split([self.shots, self.queries], dim=2))
        return Task(support, query, torch.from_numpy(task_keys(self.seed, index)))

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tasks: equal hashes, equal curves and points in equal order."""
        digest = hashlib.sha256(repr(self.describe()).encode())
        for begin in range(0, count, 1024):  # in parts, so that memory does not grow with the number of tasks
            digest.update(self._numbers(np.arange(begin, min(begin + 1024, count))).tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        return {"source": "harmonic", "dataset": "harmonic", **dataclasses.asdict(self)}

    def _numbers(self, index: np.ndarray) -> np.ndarray:
        """Return the uniform numbers of these tasks: eight of the curve, then two for each x and two for each noise, `[task, number]`."""
        return uniform(self.seed, index, 8 + 4 * (self.shots + self.queries))

    def _points(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of every point, `[task, shot + query]` both."""
        numbers, count = self._numbers(index), self.shots + self.queries
        frequency, middle = (
            least + (most - least) * numbers[:, place, None] for place, (least, most) in enumerate(RANGES.values())
        )
        phases, amplitudes = 2 * math.pi * numbers[:, 2:4], _normal(numbers[:, 4:6], numbers[:, 6:8])
        drawn, noise = (
            _normal(*np.split(part, 2, axis=1)) for part in (numbers[:, 8 : 8 + 2 * count], numbers[:, 8 + 2 * count :])
        )
        x = middle + drawn
        waves = [amplitudes[:, wave, None] * np.sin((wave + 1) * frequency * x + phases[:, wave, None]) for wave in range(2)]
        return x, sum(waves, self.noise * noise)


def _normal(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return standard normal numbers, each from two uniform ones in [0, 1) (Box and Muller 1958)."""
    return np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * math.pi * second)
