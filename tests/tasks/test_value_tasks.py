"""Tasks of values: support and query come from one group and share no row, short groups are padded, and values are scaled alike for all."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch
from builders import Descent

from quickstudy.data import Dataset, DataWarning, load
from quickstudy.errors import ConfigError, TaskError
from quickstudy.inputs.rows import RowsSpec
from quickstudy.nets.mlp import MLP
from quickstudy.targets import ValueScale
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.pooled import PooledTasks
from quickstudy.tasks.strings import StringTasks
from quickstudy.tasks.values import ValueTasks
from quickstudy.training.evaluate import evaluate
from quickstudy.training.saving import SavedLearner

COUNTS = np.array([2, 4, 9, 30])
NAMES = ("ann", "bob", "cem", "dee")


def curves(counts: np.ndarray = COUNTS) -> Dataset:
    """Return groups whose x is the row's number and whose values are 100 times the group's number plus the row's place in it."""
    group = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    values = np.stack([100.0 * group + place, -place], axis=1)
    x, names = np.arange(len(group), dtype=np.float32)[:, None], NAMES[: len(counts)]
    scale = ValueScale(names=("height", "depth"), location=(10.0, 0.0), spread=(4.0, 2.0))
    return Dataset(x, counts, names, names, RowsSpec(1), "curves", "f", values=values, scale=scale)


@pytest.mark.parametrize("shots", [1, 3, (1, 6)])
def test_a_task_is_of_one_group_and_shares_no_row(shots: int | tuple[int, int]) -> None:
    tasks = ValueTasks(curves(np.array([7, 9, 30])), shots, queries=5)
    values = tasks.dataset.values
    least, most = (shots, shots) if isinstance(shots, int) else shots
    seen, batch = collections.Counter(), tasks.batch(range(200))
    for index in range(200):
        task = batch[index]
        places, parts = [], (task.support, task.query)
        for part in parts:
            real = part.weight > 0
            rows = part.x[real, 0].long().numpy()  # type: ignore[index]
            places.append(set(rows.tolist()))
            assert len(places[-1]) == len(rows), "no row comes twice"
            answers = part.y.rows[real].numpy() * [4.0, 2.0] + [10.0, 0.0]
            np.testing.assert_allclose(answers, values[rows], rtol=1e-5)  # type: ignore[index]
        support, query = places
        assert not support & query
        name = tasks.group_of(index)
        whole = set(np.flatnonzero(np.repeat(np.arange(3), tasks.dataset.counts) == NAMES.index(name)).tolist())
        assert support | query <= whole
        assert least <= len(support) <= most
        assert len(query) == min(5, len(whole) - len(support)) > 0
        seen[name] += 1
    assert min(seen.values()) > 40, "groups are equally likely"


def test_tasks_are_padded_only_if_some_need_it_and_short_groups_are_counted() -> None:
    assert ValueTasks(curves(np.array([8, 9])), 3, 5).batch(range(4)).support.mask is None
    padded = ValueTasks(curves(np.array([7, 9])), 3, 5).batch(range(40))
    assert padded.query.weight.sum(1).unique().tolist() == [4.0, 5.0]
    with pytest.warns(DataWarning, match="curves: 2 of 4 groups have fewer than 6 rows, which 5 shots and a query need"):
        tasks = ValueTasks(curves(), 5, 3)
    assert {tasks.group_of(index) for index in range(50)} == {"cem", "dee"}
    assert tasks.describe()["groups"] == 2
    with pytest.raises(
        TaskError, match=r"the largest group of curves has 30 rows, but 30 shots and a query need 31\. Lower shots"
    ):
        ValueTasks(curves(), 30)
    with pytest.raises(
        TaskError, match=r"digits/train holds classes, but these tasks ask for values. Name the column .* value='COLUMN'"
    ):
        ValueTasks(load("digits", "train"))


def test_the_same_rows_have_the_same_hash_however_they_are_stored() -> None:
    view = curves().select([3, 1])
    assert ValueTasks(view, 2, 2).fingerprint(9) == ValueTasks(view.compact(), 2, 2).fingerprint(9)
    one, other = ValueTasks(view, 2, 2)[3], ValueTasks(view.compact(), 2, 2)[3]
    assert torch.equal(one.query.y.rows, other.query.y.rows)
    assert torch.equal(one.query.y.unit, other.query.y.unit)  # type: ignore[attr-defined]


def test_a_learner_is_judged_in_the_unit_of_the_values_and_only_at_its_own_scale() -> None:
    """A learner that predicts 0 at its scale predicts the scale's location, so that its error is the squared distance from it."""
    tasks = ValueTasks(curves(np.array([8, 9])), 3, 5)
    learner = Descent(MLP(1, (2,)), inner_lr=0.0)
    with torch.no_grad():
        for weight in learner.parameters():
            weight.zero_()
    batch = tasks.batch(range(20))
    values = batch.query.y.rows.numpy() * [4.0, 2.0] + [10.0, 0.0]
    saved = SavedLearner(learner, tasks.input, target="values", scale=tasks.scale)
    expected = np.mean((values - [10.0, 0.0]) ** 2, axis=(1, 2))
    np.testing.assert_allclose(evaluate(saved, tasks, 20).scores, expected, rtol=1e-5)
    other = SavedLearner(learner, tasks.input, target="values")
    with pytest.raises(
        ConfigError, match=r"\(height - 10\) / 4, \(depth - 0\) / 2, but the learner expects values as they are"
    ):
        evaluate(other, tasks, 2)


def test_groups_of_values_are_no_classes_to_tell_apart() -> None:
    for make in (ClassTasks, PooledTasks, StringTasks):
        with pytest.raises(TaskError, match=r"the examples of .* have values, and its classes are only the groups"):
            make(curves())
