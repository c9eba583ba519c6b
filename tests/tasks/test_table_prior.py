"""Tables that a prior draws: their rows are what a learner of any table gets, and something is to be learned from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier

from quickstudy.errors import ConfigError
from quickstudy.tasks import _mechanisms, table_prior, table_values_prior
from quickstudy.tasks.table_prior import TablePrior


def rows(tasks: TablePrior, index: int) -> tuple[np.ndarray, ...]:
    """Return rows and classes to learn from, and to be asked about, of one table without padding."""
    task = tasks[index]
    parts = ((part.x[part.mask][:, 0].numpy(), part.y.labels[part.mask].numpy()) for part in (task.support, task.query))  # type: ignore[index]
    return tuple(value for part in parts for value in part)


def test_rows_are_scaled_and_coded_as_a_learner_of_any_table_gets_them() -> None:
    """Every number of the rows to learn from has mean 0 and standard deviation 1, or is always zero; `TableSpec` reads the same."""
    tasks = TablePrior(examples=(30, 60), columns=(3, 8), width=30)
    several = 0
    for index in range(30):
        x, *_ = rows(tasks, index)
        used = np.abs(x).max(0) > 0
        several += used.sum() > 8
        bounded = np.abs(x).max(0) < 9.99  # what is cut off moves the mean
        np.testing.assert_allclose(x.mean(0)[bounded], 0, atol=1e-4)
        np.testing.assert_allclose(x.std(0)[used & bounded], 1, atol=1e-3)
        spec = tasks.input.fitted_to(x[:, used & bounded])
        read = spec.read_all(x[:, used & bounded])["table"][:, 0]
        np.testing.assert_allclose(read[:, : (used & bounded).sum()], x[:, used & bounded], atol=1e-3)
    assert several  # categories became several numbers


def test_sizes_are_within_their_ranges_and_padding_says_nothing() -> None:
    tasks = TablePrior(examples=(5, 20), queries=9, columns=(2, 4), classes=(2, 6), width=16)
    batch = tasks.batch(range(60))
    counts = batch.support.weight.sum(1)
    assert counts.min() >= 5
    assert counts.max() <= 20
    assert len(counts.unique()) > 5
    for index in range(60):
        _, y, _, asked = rows(tasks, index)
        assert 2 <= len(np.unique(y)) <= 6
        assert len(asked)
        assert set(asked) <= set(y)  # nobody can know a class that no row has
    assert isinstance(batch.query.x, torch.Tensor)
    assert batch.query.x.shape == (60, 9, 1, 16)
    assert bool(torch.isfinite(batch.support.x).all())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", _mechanisms.MECHANISMS)
def test_every_mechanism_makes_tables_from_which_trees_learn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_prior, "SHARES", {name: 1.0})
    tasks, gains = TablePrior(examples=80, columns=(3, 8), classes=(2, 3), width=40), []
    for index in range(30):
        x, y, asked, right = rows(tasks, index)
        found = ExtraTreesClassifier(25, random_state=0).fit(x, y).predict(asked)
        gains.append((found == right).mean() - (right == np.bincount(y).argmax()).mean())
    assert np.mean(gains) > 0.05


def test_shares_add_up_and_name_every_mechanism() -> None:
    of_classes, of_values = table_prior.SHARES, table_values_prior.SHARES
    assert of_classes.keys() | of_values.keys() == _mechanisms.MECHANISMS.keys()
    assert [sum(shares.values()) for shares in (of_classes, of_values)] == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes is 1; expected 2 or more"),
        ({"examples": (1, 5)}, "examples is 1; expected 2 or more"),
        ({"columns": 30, "width": 20}, "width is 20; expected at least the largest number of columns, 30"),
        ({"queries": 0}, "queries is 0"),
    ],
)
def test_impossible_tables_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TablePrior(**options)  # type: ignore[arg-type]
