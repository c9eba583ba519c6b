"""Tasks whose classes are of unequal size: how many examples each way gets, and support sets that are evened out."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch

from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConfigError, TaskError
from quickstudy.inputs.rows import RowsSpec
from quickstudy.task import Examples
from quickstudy.tasks._draw import Draw
from quickstudy.tasks._imbalance import apportioned
from quickstudy.tasks.classes import ClassTasks

COUNTS = np.array([60, 40, 20, 10, 6])
NATURAL = Draw(frequencies="natural")


@pytest.fixture(scope="module")
def unequal() -> Dataset:
    """Return 5 classes of 60 to 6 rows, whose two numbers are the row and its class."""
    rows = np.stack([np.arange(COUNTS.sum()), np.repeat(np.arange(5), COUNTS)], axis=1).astype(np.float32)
    return Dataset(rows, COUNTS, tuple("abcde"), ("",) * 5, RowsSpec(2), "unequal", "f1")


def drawn(part: Examples, task: int) -> tuple[list[int], list[int], list[int]]:
    """Return row, class and way of every example of one task that is no padding."""
    assert isinstance(part.x, torch.Tensor)
    real = part.weight[task] > 0
    rows = part.x.reshape(*part.weight.shape, 2)[task][real].long()
    return rows[:, 0].tolist(), rows[:, 1].tolist(), part.y.rows[task][real].argmax(-1).tolist()


def test_shares_are_proportional_and_exact() -> None:
    found = apportioned(20, COUNTS[None], COUNTS[None])
    assert found.sum() == 20
    assert np.abs(found - 20 * COUNTS / COUNTS.sum()).max() < 1
    tight = apportioned(12, np.array([[100, 4, 1]]), np.array([[7, 4, 1]]))
    assert tight.tolist() == [[7, 4, 1]]  # no way gives more than it has


def test_numbers_of_examples_follow_the_data(unequal: Dataset) -> None:
    tasks = ClassTasks(unequal, ways=3, shots=4, queries=5, draw=NATURAL)
    batch = tasks.batch(range(40))
    assert batch.support.mask is None  # every task has ways times shots
    for task in range(40):
        parts = [drawn(part, task) for part in (batch.support, batch.query)]
        rows = parts[0][0] + parts[1][0]
        assert len(set(rows)) == len(rows) == 3 * (4 + 5)
        for (_, classes, ways), total in zip(parts, (12, 15), strict=True):
            assert len(set(zip(classes, ways, strict=True))) == 3
            counts = collections.Counter(classes)
            share = {name: total * COUNTS[name] / COUNTS[[*counts]].sum() for name in counts}
            assert all(abs(counts[name] - share[name]) <= 1.5 or counts[name] == 1 for name in counts)


def test_a_task_does_not_depend_on_its_batch(unequal: Dataset) -> None:
    for draw in (NATURAL, Draw(frequencies="natural", resample="over"), Draw(frequencies="natural", resample="under")):
        tasks = ClassTasks(unequal, ways=3, shots=2, queries=2, draw=draw)
        alone, among = tasks[7], tasks.batch(range(9))[7]
        for one, other in ((alone.support, among.support), (alone.query, among.query)):
            assert torch.equal(one.x, other.x)  # pyright: ignore[reportArgumentType]
            assert torch.equal(one.y.rows, other.y.rows)
            assert torch.equal(one.weight, other.weight)
    assert (
        len(
            {ClassTasks(unequal, 3, 2, 2, Draw(frequencies="natural", resample=how)).fingerprint(5) for how in ("none", "over")}
        )
        == 2
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["natural", "unequal"])
@pytest.mark.parametrize("how", ["over", "under"])
def test_support_sets_are_evened_out(unequal: Dataset, how: str, kind: str) -> None:
    choices = {"frequencies": "natural"} if kind == "natural" else {"unequal": True}
    shots = 4 if kind == "natural" else (1, 4)
    bare = ClassTasks(unequal, 3, shots, 2, Draw(**choices)).batch(range(30))
    even = ClassTasks(unequal, 3, shots, 2, Draw(**choices, resample=how)).batch(range(30))  # type: ignore[arg-type]
    for task in range(30):
        before, after = (drawn(batch.support, task) for batch in (bare, even))
        sizes, now = collections.Counter(before[1]), collections.Counter(after[1])
        wanted = max(sizes.values()) if how == "over" else min(sizes.values())
        assert now == dict.fromkeys(sizes, wanted)
        assert set(after[0]) <= set(before[0])  # nothing is shown that the task did not have
        if how == "over":
            assert set(after[0]) == set(before[0])
        assert drawn(bare.query, task) == drawn(even.query, task)


def test_what_cannot_be_is_refused(unequal: Dataset) -> None:
    with pytest.raises(TaskError, match=r"the 3 smallest classes of unequal have 36 .* needs 60"):
        ClassTasks(unequal, ways=3, shots=10, queries=10, draw=NATURAL)
    with pytest.raises(ConfigError, match="shots is a range"):
        ClassTasks(unequal, ways=3, shots=(1, 2), queries=1, draw=NATURAL)
    with pytest.raises(ConfigError, match="every class of a task has as many"):
        ClassTasks(unequal, ways=3, shots=1, queries=1, draw=Draw(resample="over"))
    with pytest.raises(ConfigError, match="frequencies is 'skewed'"):
        Draw(frequencies="skewed")  # type: ignore[arg-type]
    single = Dataset(np.zeros((4, 2), np.float32), np.array([3, 1]), ("a", "b"), ("", ""), RowsSpec(2), "single", "f2")
    with pytest.raises(TaskError, match="class 'b' of single has 1 example"):
        ClassTasks(single, ways=2, shots=1, queries=1, draw=NATURAL)


def test_the_protocol_is_named(unequal: Dataset) -> None:
    about = ClassTasks(unequal, ways=3, shots=2, queries=2, draw=NATURAL).describe()
    assert about["frequencies"] == "natural"
    assert "resample" not in about
    assert "frequencies" not in ClassTasks(unequal, ways=3, shots=2, queries=2).describe()
