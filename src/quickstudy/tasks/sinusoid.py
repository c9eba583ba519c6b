"""SinusoidTasks: few-shot regression of sine curves, each a pure function of (seed, index).

Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", section 5.1.
"""

from __future__ import annotations

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
from quickstudy.tasks._ranges import Interval, between, positive, shown

RANGES = {"amplitude": (0.1, 5.0), "phase": (0.0, math.pi), "x": (-5.0, 5.0)}
"""Ranges of the curves of the paper, each drawn uniformly."""


class SinusoidTasks:
    """Tasks that fit `y = amplitude * sin(frequency * x - phase)`; amplitude in [0.1, 5], phase in [0, pi] and x in [-5, 5] are uniform.

    Args:
        shots: support points of each curve.
        queries: query points of each curve.
        seed: which stream of tasks.
        frequency: of each curve, or a range `(least, most)` from which it is drawn uniformly. The paper has 1; Li et al. 2017
            ("Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", section 4.1) have the range 0.8 to 1.2.

    >>> tasks = SinusoidTasks(shots=5).batch(range(3))
    >>> tasks.support.x.shape, tasks.query.y.rows.shape
    (torch.Size([3, 5, 1]), torch.Size([3, 10, 1]))
    """

    input: ClassVar[RowsSpec] = RowsSpec(features=1)
    target: ClassVar[str] = "values"

    def __init__(self, shots: int = 10, queries: int = 10, seed: int = 0, frequency: Interval = 1.0) -> None:
        check_at_least("shots", shots, 1)
        check_at_least("queries", queries, 1)
        self.shots, self.queries, self.seed = int(shots), int(queries), int(seed)
        self.frequency = positive("frequency", frequency)

    def __getitem__(self, index: int) -> Task:
        """Return the task of this index."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the tasks of these indices, stacked: every tensor has one more leading axis."""
        index = np.asarray(indices, dtype=np.int64)
        numbers = self._draw(index)
        amplitude, phase, x = numbers[:, :1], numbers[:, 1:2], numbers[:, 2:]
        angle = between(self.seed, index, self.frequency, stream=1) * x - phase
        points = torch.from_numpy(np.stack([x, amplitude * np.sin(angle)])).to(torch.get_default_dtype()).unsqueeze(-1)
        support, query = (Examples(x, Values(y)) for x, y in points.split([self.shots, self.queries], dim=2))
        return Task(support, query, torch.from_numpy(task_keys(self.seed, index)))

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tasks: equal hashes, equal curves and points in equal order."""
        digest = hashlib.sha256(repr(self._facts()).encode())
        for begin in range(0, count, 1024):  # in parts, so that memory does not grow with the number of tasks
            digest.update(self._draw(np.arange(begin, min(begin + 1024, count))).tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        return {"source": "sinusoid", **self._facts()}

    def _facts(self) -> dict[str, Any]:
        """Return what the hash of tasks depends on."""
        drawn = {} if self.frequency == (1.0, 1.0) else {"frequency": shown(self.frequency)}  # hashes of the paper's tasks stay
        return {"dataset": "sinusoid", "shots": self.shots, "queries": self.queries, "seed": self.seed, **drawn}

    def _draw(self, index: np.ndarray) -> np.ndarray:
        """Return amplitude, phase, and x of each point, `[task, 2 + shots + queries]`."""
        numbers = uniform(self.seed, index, 2 + self.shots + self.queries)
        bounds = np.array([RANGES["amplitude"], RANGES["phase"], *[RANGES["x"]] * (self.shots + self.queries)])
        return bounds[:, 0] + numbers * (bounds[:, 1] - bounds[:, 0])
