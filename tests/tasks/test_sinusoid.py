"""Sine curves: their closed form, their distribution, and that a task depends on seed and index alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.utils._pytree import tree_leaves

from quickstudy.errors import ConfigError
from quickstudy.tasks.sinusoid import SinusoidTasks

RARE = 1e-4


def curves(tasks: SinusoidTasks, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Amplitude and phase of each task, recovered from its points: `y = a sin x + b cos x` is linear in a and b; and the residual."""
    task = tasks.batch(range(count))
    x = torch.cat([task.support.x, task.query.x], dim=1)
    y = torch.cat([task.support.y.rows, task.query.y.rows], dim=1)
    found = torch.linalg.lstsq(torch.cat([x.sin(), x.cos()], dim=-1), y).solution
    residual = (torch.cat([x.sin(), x.cos()], dim=-1) @ found - y).abs().max()
    a, b = found[:, 0, 0].numpy(), found[:, 1, 0].numpy()
    return np.hypot(a, b), np.arctan2(-b, a), float(residual)


@pytest.fixture
def _doubles() -> object:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_doubles")
def test_every_task_is_a_sine_and_its_parameters_are_uniform() -> None:
    amplitude, phase, residual = curves(SinusoidTasks(shots=10, queries=15), 3000)
    assert residual < 1e-9
    assert scipy.stats.kstest(amplitude, scipy.stats.uniform(0.1, 4.9).cdf).pvalue > RARE
    assert scipy.stats.kstest(phase, scipy.stats.uniform(0, math.pi).cdf).pvalue > RARE
    assert scipy.stats.pearsonr(amplitude, phase).pvalue > RARE
    x = SinusoidTasks(shots=10).batch(range(3000)).support.x.flatten().numpy()
    assert scipy.stats.kstest(x, scipy.stats.uniform(-5, 10).cdf).pvalue > RARE


@pytest.mark.usefixtures("_doubles")
def test_frequencies_are_uniform_between_their_bounds() -> None:
    """A sine of known frequency w is linear in sin(w x) and cos(w x), so its frequency is the one that leaves no residual."""
    tasks = SinusoidTasks(shots=10, queries=15, frequency=(0.8, 1.2))
    task, found = tasks.batch(range(400)), []
    x = torch.cat([task.support.x, task.query.x], dim=1)
    y = torch.cat([task.support.y.rows, task.query.y.rows], dim=1)
    grid = torch.linspace(0.78, 1.22, 441)
    for curve in range(400):
        bases = torch.stack([(grid.view(-1, 1) * x[curve].T).sin(), (grid.view(-1, 1) * x[curve].T).cos()], dim=-1)
        fitted = bases @ torch.linalg.lstsq(bases, y[curve].expand(len(grid), -1, -1)).solution
        found.append(float(grid[(fitted - y[curve]).square().sum((1, 2)).argmin()]))
    assert scipy.stats.kstest(found, scipy.stats.uniform(0.8, 0.4).cdf).pvalue > RARE
    same = SinusoidTasks(shots=10, queries=15).batch(range(400))
    assert torch.equal(same.query.x, task.query.x)  # points, amplitudes and phases stay
    assert SinusoidTasks(frequency=1.0).fingerprint(3) == SinusoidTasks().fingerprint(3)
    assert tasks.describe()["frequency"] == "0.8-1.2"
    assert tasks.fingerprint(3) != SinusoidTasks(shots=10, queries=15).fingerprint(3)
    for wrong in (0.0, (1.2, 0.8), (-1.0, 1.0), math.nan):
        with pytest.raises(ConfigError, match=r"frequency is .*expected a number above 0, or a range"):
            SinusoidTasks(frequency=wrong)


def test_shapes() -> None:
    task = SinusoidTasks(shots=3, queries=7).batch(range(4))
    assert task.support.x.shape == task.support.y.rows.shape == (4, 3, 1)
    assert task.query.x.shape == task.query.y.rows.shape == (4, 7, 1)
    assert task.support.x.dtype == task.query.y.rows.dtype == torch.float32
    assert task.support.mask is None
    assert SinusoidTasks(shots=3)[5].support.x.shape == (3, 1)


def test_a_task_is_a_pure_function_of_seed_and_index() -> None:
    tasks = SinusoidTasks(seed=4)
    later, same = tasks.batch([3, 2**40])[1], SinusoidTasks(seed=4)[2**40]
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(later), tree_leaves(same), strict=True))
    for other in (tasks[4], SinusoidTasks(seed=5)[3]):
        assert not any(torch.equal(a, b) for a, b in zip(tree_leaves(tasks[3]), tree_leaves(other), strict=True))


def test_hash_and_description() -> None:
    assert SinusoidTasks(5, 6, 7).describe() == {
        "source": "sinusoid",
        "dataset": "sinusoid",
        "shots": 5,
        "queries": 6,
        "seed": 7,
    }
    hashes = [SinusoidTasks(*arguments).fingerprint(9) for arguments in ((5, 6, 7), (6, 5, 7), (5, 6, 8), (5, 7, 7))]
    assert len({*hashes, SinusoidTasks(5, 6, 7).fingerprint(10)}) == 5
    assert SinusoidTasks(5, 6, 7).fingerprint(9) == hashes[0]


def test_hashes_stay_the_same_from_version_to_version() -> None:
    assert SinusoidTasks().fingerprint(2000) == "829e507b489368cc"


@pytest.mark.parametrize("name", ["shots", "queries"])
def test_at_least_one_point(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 0; expected 1 or more"):
        SinusoidTasks(**{name: 0})
