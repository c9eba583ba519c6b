"""Tasks of labels: every label is shown often enough, no query is a support example, and labels of splits differ."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest
import torch

from quickstudy.data.arrays import from_label_sets
from quickstudy.data.dataset import Dataset, DataWarning
from quickstudy.data.splits import SplitOptions
from quickstudy.errors import ConfigError, DataError, TaskError
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.labels import LabelTasks
from quickstudy.training.doctor import overlap

SHARES = np.linspace(0.05, 0.5, 10)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Return 400 examples of 10 labels of unequal frequency, whose one number is the example."""
    sets = np.random.default_rng(0).random((400, 10)) < SHARES
    return from_label_sets(np.arange(400, dtype=np.float32)[:, None], sets.astype(int), name="drawn")


def test_every_label_is_shown_and_lacking_and_nothing_is_shown_twice(data: Dataset) -> None:
    tasks = LabelTasks(data, ways=4, shots=3, queries=2)
    batch = tasks.batch(range(60))
    assert batch.support.y.rows.shape == (60, 15, 4)
    assert batch.query.y.rows.shape == (60, 10, 4)
    shown = batch.support.y.rows.sum(1)
    assert shown.min() >= 3
    assert shown.max() < 15
    assert batch.query.y.rows.sum(1).min() >= 1
    assert (batch.support.y.rows.sum(2) == 0).any(1).all()  # some example has none of the labels
    assert isinstance(batch.support.x, torch.Tensor)
    rows = torch.cat([batch.support.x, batch.query.x], 1)[..., 0].long().numpy()  # type: ignore[list-item]
    assert all(len(set(one)) == 25 for one in rows)
    assert data.label_sets is not None
    for task in range(60):
        columns = [data.label_names.index(label) for label in tasks.labels_of(task)]
        found = torch.cat([batch.support.y.rows[task], batch.query.y.rows[task]]).numpy()
        np.testing.assert_array_equal(found, data.label_sets[rows[task]][:, columns])


def test_labels_are_drawn_alike(data: Dataset) -> None:
    tasks = LabelTasks(data, ways=2, shots=1, queries=1)
    drawn = [label for index in range(1000) for label in tasks.labels_of(index)]
    counts = np.array([drawn.count(name) for name in data.label_names])
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200 * 0.8)


def test_splits_share_out_labels_and_keep_all_rows(data: Dataset) -> None:
    parts = {split: SplitOptions().select(data, split) for split in ("train", "val", "test")}
    names = [name for part in parts.values() for name in part.label_names]
    assert sorted(names) == sorted(data.label_names)
    assert {len(part.rows) for part in parts.values()} == {400}
    assert len({part.fingerprint for part in parts.values()}) == 3
    assert parts["train"].name == "drawn/train"
    assert repr(parts["test"]) == "<Dataset drawn/test: 400 rows of 2 labels>"
    assert parts["test"].most_ways() == 2


def test_rare_labels_are_left_out_and_named() -> None:
    sets = [["a"]] * 20 + [["b", "c"]] * 20 + [["c"]] + [["rare"]] + [[]] * 20
    with pytest.warns(
        DataWarning, match=r"1 of 4 labels are left out, which no more than 2 of the rows have, or all of them \(rare\)"
    ):
        tasks = LabelTasks(from_label_sets(np.zeros((62, 1), np.float32), sets), ways=3, shots=2, queries=2)
    assert {label for index in range(20) for label in tasks.labels_of(index)} == {"a", "b", "c"}


def test_what_cannot_be_is_refused(data: Dataset) -> None:
    with pytest.raises(TaskError, match=r"has 400 rows, but a task of 4 labels with 60 shots and 60 queries of each needs 600"):
        LabelTasks(data, ways=4, shots=60, queries=60)
    with pytest.raises(TaskError, match=r"has 10 labels .* a task needs 11"):
        LabelTasks(data, ways=11, shots=1, queries=1)
    with pytest.raises(TaskError, match=r"shots is \(1, 2\); expected one number"):
        LabelTasks(data, shots=(1, 2))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="queries is 0"):
        LabelTasks(data, queries=0)
    with pytest.raises(TaskError, match=r"have label sets, and no classes; draw tasks of labels"):
        ClassTasks(data)
    plain = Dataset(np.zeros((4, 1), np.float32), np.array([4]), ("a",), ("",), data.spec, "plain", "f")
    with pytest.raises(TaskError, match=r"plain has no label sets.*labels='COLUMN'"):
        LabelTasks(plain)
    with pytest.raises(DataError, match=r"2 rows, but 1 label sets of 1 labels"):
        from_label_sets(np.zeros((2, 1), np.float32), ["a"])


def test_the_doctor_says_that_splits_share_rows_but_no_labels() -> None:
    sets = np.random.default_rng(0).random((40, 8)) < 0.5
    whole = from_label_sets(np.arange(40, dtype=np.float32)[:, None], sets.astype(int), name="drawn")
    train, test = (SplitOptions().select(whole, split) for split in ("train", "test"))

    def found(**splits: Dataset) -> Any:
        return overlap.check(types.SimpleNamespace(splits=splits))  # type: ignore[arg-type]

    shared = found(train=train, test=test)
    assert shared.verdict == "look"
    assert shared.found == "train and test share 40 equal examples (100.00%)"
    assert "splits of one table differ in their labels alone" in shared.advice
    same = found(train=train, test=train)
    assert same.verdict == "bad"
    assert f"share {len(train.label_names)} labels" in same.found
