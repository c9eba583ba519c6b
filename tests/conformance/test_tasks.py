"""What every source of tasks promises, checked for every source that there is; a new file in `tasks` is checked by being there."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from quickstudy import discovery
from quickstudy.cli._tasks import takes_data
from quickstudy.data import Dataset
from quickstudy.targets import ValueScale
from quickstudy.tasks._random import task_keys
from quickstudy.tasks.source import TaskSource

SIZES = {"ways": 2, "shots": 1, "queries": 1}
"""Sizes of small tasks over data, for sources that have such sizes."""
each_source = pytest.mark.parametrize("name", discovery.names("tasks"))


def make(name: str, patterns: Dataset, seed: int, **options: Any) -> TaskSource:
    """Return a source of this name, with its defaults unless `options` says otherwise."""
    kind = discovery.load("tasks", name)
    if takes_data(kind) and kind.target == "values":  # type: ignore[attr-defined]
        numbers = np.arange(int(patterns.counts.sum()), dtype=np.float64)[:, None]
        patterns = dataclasses.replace(patterns.compact(), values=numbers, scale=ValueScale.of(["number"], numbers))
    if takes_data(kind) and kind.target == "labels":  # type: ignore[attr-defined]
        sets = np.arange(int(patterns.counts.sum()))[:, None] % np.array([2, 3, 4]) == 0
        whole = patterns.compact()
        one = {"counts": np.array([len(sets)]), "classes": ("all",), "groups": ("all",)}
        patterns = dataclasses.replace(whole, **one, label_sets=sets, label_names=("2", "3", "4"))
    sizes = {size: count for size, count in SIZES.items() if size in inspect.signature(kind).parameters}
    return kind(patterns, **sizes, seed=seed, **options) if takes_data(kind) else kind(seed=seed, **options)


@each_source
def test_a_task_is_a_pure_function_of_seed_and_index(name: str, patterns: Dataset) -> None:
    tasks = make(name, patterns, 4)
    later, alone = tasks.batch([3, 2**40])[1], make(name, patterns, 4)[2**40]
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(later), tree_leaves(alone), strict=True))
    for other in (tasks[4], make(name, patterns, 5)[3]):
        assert not torch.equal(tasks[3].query.x, other.query.x)  # type: ignore[arg-type]


@each_source
def test_every_task_has_a_key_of_its_own_from_seed_and_index(name: str, patterns: Dataset) -> None:
    tasks = make(name, patterns, 3)
    found = tasks.batch([0, 7, 2**40]).key
    assert found is not None
    assert found.dtype == torch.int64
    alone = [int(tasks[index].key) for index in (0, 7, 2**40)]  # type: ignore[arg-type]
    assert found.tolist() == alone == task_keys(3, np.array([0, 7, 2**40])).tolist()
    several = [key for seed in (3, 4) for key in make(name, patterns, seed).batch(range(500)).key.tolist()]  # type: ignore[union-attr]
    assert len(set(several)) == 1000


@each_source
def test_a_hash_and_a_description_tell_sources_apart(name: str, patterns: Dataset) -> None:
    tasks = make(name, patterns, 3)
    assert tasks.fingerprint(9) == make(name, patterns, 3).fingerprint(9)
    assert len({tasks.fingerprint(9), tasks.fingerprint(10), make(name, patterns, 4).fingerprint(9)}) == 3
    about = tasks.describe()
    assert about == json.loads(json.dumps(about))  # results are written as JSON
    assert about["source"] == name
    assert {"dataset", "seed", *({"shots", "queries"} & inspect.signature(type(tasks)).parameters.keys())} <= about.keys()


@each_source
def test_answers_are_of_the_kind_that_the_source_names(name: str, patterns: Dataset) -> None:
    tasks = make(name, patterns, 0)
    task = tasks[0]
    for part in (task.support, task.query):
        assert isinstance(part.y, discovery.load("objectives", tasks.target))
    assert isinstance(task.query.x, torch.Tensor)
    (layout,) = tasks.input.layout().values()
    assert task.query.x.shape[1:] == layout.shape
    assert task.query.x.dtype == torch.float32
