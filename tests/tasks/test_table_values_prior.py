"""Tables of values that a prior draws: scaled by the rows to learn from, and something is to be learned from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesRegressor

from quickstudy.errors import ConfigError
from quickstudy.objectives.values import Values
from quickstudy.tasks import _mechanisms, table_values_prior
from quickstudy.tasks.table_prior import TablePrior
from quickstudy.tasks.table_values_prior import TableValuesPrior


def rows(tasks: TableValuesPrior, index: int) -> tuple[np.ndarray, ...]:
    """Return rows and values to learn from, and to be asked about, of one table without padding."""
    task = tasks[index]
    parts = ((part.x[part.mask][:, 0].numpy(), part.y.rows[part.mask][:, 0].numpy()) for part in (task.support, task.query))  # type: ignore[index]
    return tuple(value for part in parts for value in part)


def test_values_are_scaled_by_the_rows_to_learn_from_and_bounded() -> None:
    tasks = TableValuesPrior(examples=(20, 60), columns=(2, 6), width=20)
    for index in range(40):
        _, y, asked, right = rows(tasks, index)
        assert 20 <= len(y) <= 60
        assert asked.shape == (80, 20)
        assert np.abs(np.concatenate([y, right])).max() <= table_values_prior.VALUES["farthest"]
        if np.abs(y).max() < table_values_prior.VALUES["farthest"]:  # what is cut off moves the mean
            np.testing.assert_allclose([y.mean(), y.std()], [0, 1], atol=1e-3)
    assert isinstance(tasks[0].support.y, Values)


@pytest.mark.parametrize("name", _mechanisms.MECHANISMS)
def test_every_mechanism_makes_values_that_trees_learn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_values_prior, "SHARES", {name: 1.0})
    tasks, errors = TableValuesPrior(examples=80, columns=(3, 8), width=40), []
    for index in range(30):
        x, y, asked, right = rows(tasks, index)
        found = ExtraTreesRegressor(25, random_state=0).fit(x, y).predict(asked)
        errors.append(((found - right) ** 2).mean() / ((y.mean() - right) ** 2).mean())
    assert np.quantile(errors, 0.25) < 0.9  # of the variance; many tables are nearly noise


def test_one_index_is_one_table_in_every_batch_and_seeds_differ() -> None:
    tasks = TableValuesPrior(examples=(5, 9), columns=3, width=8)
    several = tasks.batch([4, 2])
    assert torch.equal(several.query.y.rows[1], tasks[2].query.y.rows)
    assert tasks.fingerprint(5) == TableValuesPrior(examples=(5, 9), columns=3, width=8).fingerprint(5)
    assert tasks.fingerprint(5) != TableValuesPrior(examples=(5, 9), columns=3, width=8, seed=1).fingerprint(5)
    assert tasks.input == TablePrior(width=8, columns=3).input


def test_a_sum_of_columns_has_one_of_them_at_least() -> None:
    for seed in range(200):
        _, scores = _mechanisms.additive(np.random.default_rng(seed), 20, 2, 3)
        assert scores.std() > 0


def test_no_tables_are_an_empty_batch() -> None:
    tasks = TableValuesPrior(examples=5, columns=3, width=8).batch([])
    assert tasks.query.y.rows.shape == (0, 80, 1)
    assert tasks.query.y.rows.dtype == torch.float32


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="width is 20; expected at least the largest number of columns, 30"):
        TableValuesPrior(columns=30, width=20)
    with pytest.raises(ConfigError, match="examples is 1; expected 2 or more"):
        TableValuesPrior(examples=1)
