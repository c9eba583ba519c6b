"""Pooled batches: every class of the split equally often, nothing of other splits, and each batch a function of (seed, index)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConfigError, TaskError
from quickstudy.inputs.image import ImageSpec
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.pooled import PooledTasks


@pytest.fixture(scope="module")
def numbered() -> Dataset:
    """8 classes of 10 to 13 images; the two pixels of an image are its row and its class."""
    counts = np.array([10, 11, 12, 13, 10, 11, 12, 13])
    images = np.stack([np.arange(counts.sum()), np.repeat(np.arange(8), counts)], axis=1).astype(np.uint8).reshape(-1, 1, 2, 1)
    return Dataset(images, counts, tuple("abcdefgh"), tuple("abcdefgh"), ImageSpec(1, 2), "numbered", "f1")


def drawn(tasks: PooledTasks, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the row in the data set, the class, and the label of every example, `[task, example]`."""
    batch = tasks.batch(range(count))
    pixels = (batch.query.x.flatten(2) * 255).round().long().numpy()
    return pixels[..., 0], pixels[..., 1], batch.query.y.labels.numpy()


def test_shapes(numbered: Dataset) -> None:
    batch = PooledTasks(numbered, batch_size=5).batch(range(3))
    assert batch.query.x.shape == (3, 5, 1, 1, 2)
    assert batch.query.y.rows.shape == (3, 5, 8)
    assert batch.support.x.shape == (3, 0, 1, 1, 2)
    assert batch.support.y.rows.shape == (3, 0, 8)
    assert bool((batch.query.y.rows.sum(-1) == 1).all())


@pytest.mark.parametrize("size", [3, 8, 21])
def test_every_class_comes_up_equally_often_under_its_own_number(numbered: Dataset, size: int) -> None:
    _, classes, labels = drawn(PooledTasks(numbered, size), 40)
    assert (classes == labels).all()
    for end in range(1, classes.size, 7):
        visits = np.bincount(classes.ravel()[:end], minlength=8)
        assert visits.max() - visits.min() <= 1
    orders = classes.ravel()[: classes.size // 8 * 8].reshape(-1, 8)
    assert len(np.unique(orders, axis=0)) > len(orders) * 0.9


def test_examples_of_a_class_are_equally_likely(numbered: Dataset) -> None:
    rows, _, _ = drawn(PooledTasks(numbered, 8), 12_000)
    share = np.bincount(rows.ravel(), minlength=92) / 12_000 * np.repeat(numbered.counts, numbered.counts)
    assert share.min() > 0.85
    assert share.max() < 1.15


def test_it_never_leaves_the_split(numbered: Dataset) -> None:
    """The rows of other classes lie in the same store."""
    part = numbered.select([6, 1, 3])
    rows, classes, labels = drawn(PooledTasks(part, 16), 50)
    assert set(classes.ravel()) == {1, 3, 6}
    assert (np.array([6, 1, 3])[labels] == classes).all()
    assert (np.searchsorted(np.cumsum(numbered.counts), rows, side="right") == classes).all()


def test_a_batch_is_a_function_of_seed_and_index(numbered: Dataset) -> None:
    tasks, again = PooledTasks(numbered, 6, Draw(augment="flip")), PooledTasks(numbered, 6, Draw(augment="flip"))
    for one, other in zip(tree_leaves(tasks.batch([2, 900, 2**41])[1]), tree_leaves(again[900]), strict=True):
        assert torch.equal(one, other)
    assert tasks.fingerprint(70) == again.fingerprint(70)
    others = PooledTasks(numbered, 6, Draw(augment="flip"), seed=1), PooledTasks(numbered, 6), PooledTasks(numbered, 7)
    assert len({source.fingerprint(70) for source in (tasks, *others)}) == 4
    assert not torch.equal(others[0][0].query.x, tasks[0].query.x)


def test_examples_are_changed_as_asked(numbered: Dataset) -> None:
    plain, turned = PooledTasks(numbered, 64)[0].query.x, PooledTasks(numbered, 64, Draw(augment="flip"))[0].query.x
    same = (plain == turned).flatten(1).all(1)
    mirrored = (plain.flip(-1) == turned).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert 10 < int(same.sum()) < 54
    assert PooledTasks(numbered, 64, Draw(augment="flip")).describe()["augment"] == "flip"


def test_what_makes_no_sense_is_refused(numbered: Dataset) -> None:
    with pytest.raises(ConfigError, match="batch_size is 0; expected"):
        PooledTasks(numbered, 0)
    with pytest.raises(TaskError, match="numbered has 1 class; expected at least 2"):
        PooledTasks(numbered.select([3]))
