"""Parts that queries lack: no query tells its answer by a name, and what would leave a query with nothing is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from builders import Prototypes

from quickstudy.data import Dataset
from quickstudy.errors import ConfigError, QuickstudyError, TaskError
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.text import TextSpec
from quickstudy.nets.joined import Joined
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.labels import LabelTasks
from quickstudy.tasks.pooled import PooledTasks
from quickstudy.training.evaluate import evaluate

NAMES = ("owl", "cat", "rain", "snow", "bell", "kite")
SPEC = SeveralSpec({"name": TextSpec(8), "numbers": RowsSpec(3)})
FOUR_EACH = np.repeat(NAMES, 4)
NETS = {"text": {"name": "ngrams", "features": 8, "buckets": 256}, "rows": {"name": "mlp", "hidden": [8]}}
HIDDEN = Draw(hide_from_queries="name")


def named(numbers: Any, names: Any = FOUR_EACH) -> Dataset:
    """Return six classes of four examples, each with its name and three numbers."""
    with_names = SPEC.read_all({"numbers": numbers, "name": names})
    return Dataset(with_names, np.full(6, 4), NAMES, NAMES, SPEC, "named", "f")


ALIKE = named(np.ones((24, 3), np.float32))
"""Examples that only names tell apart."""


def test_queries_lack_the_part_in_every_task_and_support_sets_have_it() -> None:
    plain, hidden = (ClassTasks(ALIKE, 3, 1, 2, draw) for draw in (Draw(), HIDDEN))
    one, other = plain.batch(range(40)), hidden.batch(range(40))
    x = other.query.x
    assert isinstance(x, dict)
    assert not x["name"].any()
    assert not x["name_there"].any()
    assert x["numbers_there"].all()
    assert torch.equal(x["numbers"], one.query.x["numbers"])  # type: ignore[index]
    assert other.support.x["name"].any(-1).all()  # type: ignore[index]
    assert all(torch.equal(other.support.x[name], one.support.x[name]) for name in x)  # type: ignore[index]


def test_classes_that_only_names_tell_apart_are_told_apart_by_chance() -> None:
    torch.manual_seed(0)
    learner = Prototypes(Joined(**Joined.fit_to(SPEC), nets=NETS, join="beside"))
    plain, hidden = (evaluate(learner, ClassTasks(ALIKE, 3, 1, 2, draw), 30).mean for draw in (Draw(), HIDDEN))
    assert plain == 1
    assert hidden == pytest.approx(1 / 3)


def test_what_is_hidden_is_a_fact_of_the_tasks() -> None:
    plain, hidden = (ClassTasks(ALIKE, 3, 1, 2, draw) for draw in (Draw(), HIDDEN))
    assert hidden.describe() == plain.describe() | {"hide_from_queries": "name"}
    assert len({plain.fingerprint(5), hidden.fingerprint(5), ClassTasks(ALIKE, 3, 1, 2, HIDDEN, seed=1).fingerprint(5)}) == 3
    other = ClassTasks(ALIKE, ways=(2, 3), shots=1, queries=1, draw=HIDDEN)[0]
    assert not other.query.x["name_there"].any()  # type: ignore[index]
    fewer = ClassTasks(ALIKE, 6, 1, 1, HIDDEN).of_other_ways()
    assert fewer is not None
    assert not fewer.batch([0]).query.x["name_there"].any()  # type: ignore[index]


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("title", ConfigError, "have no part 'title'; they have name, numbers"),
        ("name, title", ConfigError, "have no part 'title'"),
        ("numbers,name", TaskError, "which are all parts of an example; leave queries at least one"),
        ("numbers", TaskError, "but 2 of 24 examples of named have no name, so that nothing would be left"),
    ],
)
def test_what_cannot_be_hidden_is_said(said: str, kind: type[QuickstudyError], words: str) -> None:
    with pytest.warns(match="2 of 24 examples have no name"):
        data = named(np.ones((24, 3), np.float32), [None, None, *FOUR_EACH[2:]])
    with pytest.raises(kind, match=words):
        ClassTasks(data, 3, 1, 2, Draw(hide_from_queries=said))


def test_other_inputs_and_other_tasks_refuse_it(patterns: Dataset) -> None:
    with pytest.raises(ConfigError, match="patterns holds images, which have no parts; leave it out"):
        ClassTasks(patterns, 3, 1, 2, HIDDEN)
    with pytest.raises(TaskError, match="batches of all classes have no support set"):
        PooledTasks(ALIKE, draw=HIDDEN)
    with pytest.raises(TaskError, match="know augment only"):
        LabelTasks(ALIKE, draw=HIDDEN)


def test_parts_are_changed_at_random_each_as_its_kind_and_no_mask_is() -> None:
    spec = SeveralSpec({"name": TextSpec(24), "picture": ImageSpec(8, 8, 1)})
    pictures = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1)).astype(np.uint8)
    stored = spec.read_all({"picture": pictures, "name": np.repeat([f"a very old {name}" for name in NAMES], 4)})
    data = Dataset(stored, np.full(6, 4), NAMES, NAMES, spec, "pictures", "f")
    plain = ClassTasks(data, 3, 1, 2).batch(range(8)).support.x
    for how, changed in {"flip": "picture", "drop": "name"}.items():
        found = ClassTasks(data, 3, 1, 2, Draw(augment=how)).batch(range(8)).support.x
        same = {name: torch.equal(found[name], plain[name]) for name in plain}  # type: ignore[index]
        assert same == {name: name != changed for name in plain}  # type: ignore[union-attr]
    with pytest.raises(
        ConfigError, match=r"augment is 'shift'; expected one of none, affine, drop.* for the parts name, picture"
    ):
        ClassTasks(data, 3, 1, 2, Draw(augment="shift"))
