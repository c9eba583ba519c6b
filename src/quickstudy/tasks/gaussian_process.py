"""GaussianProcessTasks: few-shot regression of random smooth curves, whose best possible predictions are known.

Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", equations 2.25 and 2.26 (predictions) and section 4.2 (kernels);
as tasks for neural processes by Garnelo et al. 2018, "Conditional Neural Processes", section 4.1.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from quickstudy.errors import ConfigError, check_at_least, check_choice
from quickstudy.inputs.rows import RowsSpec
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task
from quickstudy.tasks._random import task_keys, uniform
from quickstudy.tasks._ranges import between, positive, shown, whole

LEAST_NOISE = 1e-3
"""Standard deviation of the noise below which curves through many points cannot be drawn: rounding spoils their covariance."""


class _Curves(NamedTuple):
    """Curves of some tasks, in double precision; the support set comes before the queries.

    Attributes:
        x: of every point, `[task, point]`.
        y: with noise, `[task, point]`.
        real: 0 for padding, else 1, `[task, shot]`.
        covariance: of the points' values with noise, `[task, point, point]`.
    """

    x: Float[np.ndarray, "task point"]
    y: Float[np.ndarray, "task point"]
    real: Float[np.ndarray, "task shot"]
    covariance: Float[np.ndarray, "task point point"]


@dataclasses.dataclass(frozen=True)
class GaussianProcessTasks:
    """Tasks that fit `y = f(x) + noise`, f drawn from a Gaussian process of mean 0 and variance 1, and x uniform.

    Args:
        shots: support points of each curve, or a range; tasks are then padded to the most, with masks.
        queries: query points of each curve.
        kernel: covariance of two values: `rbf`, exp(-d^2 / 2 l^2) for points that lie d apart; `matern`, the one whose curves can be
            derived twice (nu = 5/2); `periodic`, exp(-2 sin^2(pi d / p) / l^2).
        length_scale: distance l over which curves change, or a range `(least, most)` from which that of each curve is drawn uniformly.
        period: p of the periodic kernel, or a range.
        noise: standard deviation of the noise on every value, at least 0.001.
        x: range `(least, most)` of the points.
        seed: which stream of tasks.

    >>> tasks = GaussianProcessTasks(shots=5, kernel="matern")
    >>> tasks.batch(range(3)).support.x.shape
    torch.Size([3, 5, 1])
    >>> mean, spread = tasks.exact(range(3))
    >>> mean.shape, bool((spread > tasks.noise).all())
    ((3, 10), True)
    """

    shots: int | tuple[int, int] = 10
    queries: int = 10
    kernel: Literal["rbf", "matern", "periodic"] = "rbf"
    length_scale: float | tuple[float, float] = (0.3, 1.0)
    period: float | tuple[float, float] = 1.0
    noise: float = 0.1
    x: tuple[float, float] = (-2.0, 2.0)
    seed: int = 0

    input: ClassVar[RowsSpec] = RowsSpec(features=1)
    target: ClassVar[str] = "values"

    def __post_init__(self) -> None:
        whole("shots", self.shots)
        check_at_least("queries", self.queries, 1)
        check_choice("kernel", self.kernel, KERNELS)
        positive("length_scale", self.length_scale)
        positive("period", self.period)
        check_at_least("noise", self.noise, LEAST_NOISE)
        if not -math.inf < self.x[0] < self.x[1] < math.inf:
            raise ConfigError(f"x is {self.x}; expected a range (least, most), the most greater than the least.")

    def __getitem__(self, index: int) -> Task:
        """Return the task of this index."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the tasks of these indices, stacked: every tensor has one more leading axis."""
        index = np.asarray(indices, dtype=np.int64)
        curves = self._curves(index)
        points = torch.from_numpy(np.stack([curves.x, curves.y])).to(torch.get_default_dtype()).unsqueeze(-1)
        (x, y), (query_x, query_y) = points.split([curves.real.shape[1], self.queries], dim=2)
        mask = None if curves.real.all() and isinstance(self.shots, int) else torch.from_numpy(curves.real > 0)
        key = torch.from_numpy(task_keys(self.seed, index))
        return Task(Examples(x, Values(y), mask), Examples(query_x, Values(query_y)), key)

    def exact(
        self, indices: Sequence[int] | np.ndarray
    ) -> tuple[Float[np.ndarray, "task query"], Float[np.ndarray, "task query"]]:
        """Return mean and standard deviation of each query's value, given the support set and the true kernel and noise.

        No learner predicts better on average: one that is not told the length scale of a curve, if that is drawn, must be worse.
        """
        return _conditioned(self._curves(np.asarray(indices, dtype=np.int64)))

    def exact_log_likelihood(self, indices: Sequence[int] | np.ndarray) -> Float[np.ndarray, " task"]:
        """Return the mean log-density of each task's queries, in nats, under the predictions of `exact`; each query for itself."""
        curves = self._curves(np.asarray(indices, dtype=np.int64))
        mean, spread = _conditioned(curves)
        error = (curves.y[:, -self.queries :] - mean) / spread
        return (-(error**2) / 2 - np.log(spread) - math.log(2 * math.pi) / 2).mean(1)

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tasks: equal hashes, equal curves and points in equal order, up to rounding."""
        digest = hashlib.sha256(repr(self.describe()).encode())
        for begin in range(0, count, 1024):  # in parts, so that memory does not grow with the number of tasks
            index = np.arange(begin, min(begin + 1024, count))
            digest.update(self._numbers(index).tobytes() + self._real(index).tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        return {
            "source": "gaussian_process",
            "dataset": "gaussian_process",
            "shots": shown(whole("shots", self.shots)),
            "queries": self.queries,
            "kernel": self.kernel,
            "length_scale": shown(positive("length_scale", self.length_scale)),
            **({"period": shown(positive("period", self.period))} if self.kernel == "periodic" else {}),
            "noise": self.noise,
            "x": f"{self.x[0]} to {self.x[1]}",
            "seed": self.seed,
        }

    def _numbers(self, index: np.ndarray) -> np.ndarray:
        """Return the uniform numbers that points are made of: three for each, `[task, 3 * point]`."""
        return uniform(self.seed, index, 3 * (whole("shots", self.shots)[1] + self.queries))

    def _real(self, index: np.ndarray) -> np.ndarray:
        """Return 0 for padding and 1 for each support point that a task has, `[task, shot]`."""
        least, most = whole("shots", self.shots)
        shots = between(self.seed, index, (least, most + 1), stream=1).astype(np.int64)  # each number as often
        return (np.arange(most) < shots).astype(np.float64)

    def _curves(self, index: np.ndarray) -> _Curves:
        """Return the curves of these indices."""
        place, radius, angle = np.split(self._numbers(index), 3, axis=1)
        x = self.x[0] + place * (self.x[1] - self.x[0])
        normal = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * math.pi * angle)  # Box and Muller 1958
        length = between(self.seed, index, positive("length_scale", self.length_scale), stream=2)
        period = between(self.seed, index, positive("period", self.period), stream=3)
        apart = np.abs(x[:, :, None] - x[:, None])
        covariance = KERNELS[self.kernel](apart, length[..., None], period[..., None]) + self.noise**2 * np.eye(x.shape[1])
        y = (np.linalg.cholesky(covariance) @ normal[..., None])[..., 0]
        return _Curves(x, y, self._real(index), covariance)


def _conditioned(curves: _Curves) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the queries' values given the support set, `[task, query]` each."""
    shots = curves.real.shape[1]
    real, cov = curves.real[..., None], curves.covariance
    known = cov[:, :shots, :shots] * real * real.swapaxes(1, 2) + (1 - real) * np.eye(shots)  # padding is independent of all
    across = cov[:, :shots, shots:] * real
    gain = np.linalg.solve(known, across)
    mean = (gain.swapaxes(1, 2) @ curves.y[:, :shots, None])[..., 0]
    variance = np.diagonal(cov[:, shots:, shots:], axis1=1, axis2=2) - (across * gain).sum(1)
    return mean, np.sqrt(variance)


def _rbf(apart: np.ndarray, length: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Return the covariance of values at points that lie `apart`."""
    return np.exp(-((apart / length) ** 2) / 2)


def _matern(apart: np.ndarray, length: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Return the covariance of values at points that lie `apart`."""
    scaled = math.sqrt(5) * apart / length
    return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)


def _periodic(apart: np.ndarray, length: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Return the covariance of values at points that lie `apart`."""
    return np.exp(-2 * (np.sin(math.pi * apart / period) / length) ** 2)


KERNELS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "rbf": _rbf,
    "matern": _matern,
    "periodic": _periodic,
}
"""Covariance of each kernel for distances, length scales and periods that broadcast."""
