"""Harmonic curves: what a task holds follows the paper's formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from quickstudy.tasks.harmonic import HarmonicTasks, _normal


def test_points_without_noise_lie_on_two_waves_of_which_one_is_twice_as_fast() -> None:
    tasks = HarmonicTasks(shots=30, queries=30, noise=0.0)
    for index in range(5):
        task = tasks[index]
        x, y = task.support.x[:, 0].double().numpy(), task.support.y.rows[:, 0].double().numpy()
        asked, right = task.query.x[:, 0].double().numpy(), task.query.y.rows[:, 0].double().numpy()

        def waves(x: np.ndarray, frequency: float) -> np.ndarray:
            return np.stack([wave(k * frequency * x) for k in (1, 2) for wave in (np.sin, np.cos)], 1)

        errors = {}
        for frequency in np.linspace(5, 7, 2001):
            weights, *_ = np.linalg.lstsq(waves(x, frequency), y, rcond=None)
            errors[frequency] = float(((waves(x, frequency) @ weights - y) ** 2).mean())
        best = min(errors, key=errors.__getitem__)
        weights, *_ = np.linalg.lstsq(waves(x, best), y, rcond=None)
        assert waves(asked, best) @ weights == pytest.approx(right, abs=0.05)


def test_numbers_are_normal_and_noise_has_its_spread() -> None:
    grid = (np.arange(400) + 0.5) / 400
    found = _normal(*(part.ravel() for part in np.meshgrid(grid, grid))).ravel()
    assert stats.kstest(found, "norm").statistic < 0.01
    still, noisy = (HarmonicTasks(noise=noise).batch(range(400)).query.y.rows for noise in (0.0, 0.1))
    assert float((noisy - still).std()) == pytest.approx(0.1, rel=0.05)


def test_points_lie_around_a_place_of_each_curve() -> None:
    x = HarmonicTasks(shots=100, queries=100).batch(range(300)).support.x[..., 0]
    assert float(x.std(1).mean()) == pytest.approx(1.0, abs=0.03)
    assert float(x.mean(1).std()) == pytest.approx(8 / 12**0.5, abs=0.25)
