"""Curves of Gaussian processes: their covariance, and the exact predictions beside scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ExpSineSquared, Matern, WhiteKernel

from quickstudy.errors import ConfigError
from quickstudy.task import Task
from quickstudy.tasks.gaussian_process import GaussianProcessTasks

THEIRS = {
    "rbf": RBF(0.7),
    "matern": Matern(0.7, nu=2.5),
    "periodic": ExpSineSquared(0.7, periodicity=1.5),
}
"""The kernels of scikit-learn with length scale 0.7 and period 1.5."""


@pytest.fixture
def _doubles() -> object:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def arrays(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs and values of the support set without padding, and of the queries."""
    real = task.support.weight > 0
    parts: tuple[Any, ...] = (task.support.x[real], task.support.y.rows[real, 0], task.query.x, task.query.y.rows[:, 0])
    return tuple(part.numpy() for part in parts)  # type: ignore[return-value]


@pytest.mark.usefixtures("_doubles")
@pytest.mark.parametrize("kernel", THEIRS)
@pytest.mark.parametrize("shots", [6, (1, 9)])
def test_exact_predictions_are_those_of_scikit_learn(kernel: Any, shots: int | tuple[int, int]) -> None:
    tasks = GaussianProcessTasks(shots, 7, kernel, length_scale=0.7, period=1.5, noise=0.2)
    mean, spread = tasks.exact(range(10))
    likelihood = tasks.exact_log_likelihood(range(10))
    for index in range(10):
        x, y, queries, answers = arrays(tasks[index])
        process = GaussianProcessRegressor(THEIRS[kernel] + WhiteKernel(0.2**2), alpha=0, optimizer=None).fit(x, y)
        their_mean, their_spread = process.predict(queries, return_std=True)
        np.testing.assert_allclose(mean[index], their_mean, atol=1e-8)
        np.testing.assert_allclose(spread[index], their_spread, atol=1e-8)
        assert likelihood[index] == pytest.approx(scipy.stats.norm(their_mean, their_spread).logpdf(answers).mean(), abs=1e-8)


@pytest.mark.usefixtures("_doubles")
@pytest.mark.parametrize("kernel", THEIRS)
def test_curves_have_the_covariance_of_scikit_learn(kernel: Any) -> None:
    """Whitened by scikit-learn's covariance of its points, every curve is independent standard normal numbers."""
    tasks, white = GaussianProcessTasks(5, 5, kernel, length_scale=0.7, period=1.5, noise=0.2), []
    for index in range(300):
        x, y, queries, answers = arrays(tasks[index])
        points = np.concatenate([x, queries])
        covariance = THEIRS[kernel](points) + 0.2**2 * np.eye(10)
        white.append(np.linalg.solve(np.linalg.cholesky(covariance), np.concatenate([y, answers])))
    found = np.array(white)
    assert scipy.stats.kstest(found.ravel(), "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(found.T) - np.eye(10)).max() < 0.25  # four standard errors of 300 curves


def test_the_exact_prediction_is_calibrated_and_better_than_one_that_knows_no_example() -> None:
    tasks = GaussianProcessTasks(length_scale=(0.4, 0.8))
    task, (mean, spread) = tasks.batch(range(2000)), tasks.exact(range(2000))
    scaled = (task.query.y.rows[..., 0].numpy() - mean) / spread
    assert abs((scaled**2).mean() - 1) < 0.05
    assert (spread > tasks.noise).all()
    nothing = scipy.stats.norm(0, np.sqrt(1 + 0.1**2)).logpdf(task.query.y.rows[..., 0].numpy()).mean(1)
    assert (tasks.exact_log_likelihood(range(2000)) - nothing).mean() > 1


def test_points_lengths_and_shots_are_drawn_uniformly() -> None:
    tasks = GaussianProcessTasks((2, 5), length_scale=(0.3, 1.0), x=(-1.0, 3.0))
    task = tasks.batch(range(3000))
    assert scipy.stats.kstest(task.query.x.flatten().numpy(), scipy.stats.uniform(-1, 4).cdf).pvalue > 1e-4
    assert task.support.mask is not None
    counts = np.bincount(task.support.mask.sum(1).numpy(), minlength=6)[2:]
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
    assert GaussianProcessTasks(4).batch(range(2)).support.mask is None


def test_hashes_stay_the_same_from_version_to_version() -> None:
    assert GaussianProcessTasks().fingerprint(2000) == "595e5a67c1c5bfc9"
    assert len({GaussianProcessTasks(kernel=kernel).fingerprint(2) for kernel in THEIRS}) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shots": 0}, r"shots is 0; expected a number of at least 1, or a range"),
        ({"queries": 0}, "queries is 0; expected 1 or more"),
        ({"kernel": "linear"}, "kernel is 'linear'; expected one of rbf, matern, periodic"),
        ({"length_scale": (1.0, 0.5)}, r"length_scale is \(1.0, 0.5\); expected a number above 0, or a range"),
        ({"period": -1.0}, "period is -1.0; expected a number above 0"),
        ({"noise": 0.0}, "noise is 0.0; expected 0.001 or more"),
        ({"x": (2.0, 2.0)}, r"x is \(2.0, 2.0\); expected a range \(least, most\)"),
    ],
)
def test_options_that_make_no_curve_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        GaussianProcessTasks(**options)
