"""The life-long memory against steps computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from builders import apart, make_tasks

from quickstudy.learners._memory import largest
from quickstudy.learners.meta_memory import MetaMemory
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples, Task


def examples(*points: tuple[float, float, int]) -> Examples:
    """Return examples of two classes on the unit circle (x, y, class)."""
    data = torch.tensor(points, dtype=torch.float64)
    return Examples(data[:, :2], one_hot(data[:, 2].long(), 2, torch.float64))


def test_right_keys_are_averaged_and_wrong_ones_get_company() -> None:
    learner = MetaMemory(Identity(in_features=2), slots=3)
    state = learner.adapt(examples((1, 0, 0), (0, 1, 1), (0.8, 0.6, 0)))  # the third is nearest to the first, of its class
    expected = torch.tensor([[1.8 / 3.6**0.5, 0.6 / 3.6**0.5], [0, 1], [0, 0]], dtype=torch.float64)
    assert apart(state["keys"], expected) < 1e-12
    assert state["ages"].tolist() == [0, 1, 3]
    state = learner.adapt(examples((0.28, 0.96, 0)), state)  # nearest to the second, which is of the other class
    assert state["keys"][2].tolist() == pytest.approx([0.28, 0.96])
    assert state["answers"].argmax(-1).tolist() == [0, 1, 0]
    assert state["ages"].tolist() == [1, 2, 0]
    state = learner.adapt(examples((-1, 0, 0)), state)  # no slot is empty: the oldest, which is the second, is forgotten
    assert state["keys"][1].tolist() == [-1, 0]
    assert state["ages"].tolist() == [2, 0, 1]
    assert learner.predict(state, torch.zeros(1, 2, dtype=torch.float64))[0, 1] < -1e20


def test_the_loss_is_the_margin_between_right_and_wrong() -> None:
    learner = MetaMemory(Identity(in_features=2), margin=0.3)
    support, query = examples((1, 0, 0), (0, 1, 1)), examples((0.8, 0.6, 0), (0.8, 0.6, 1), (0, 1, 1))
    losses = [0.6 - 0.8 + 0.3, 0.8 - 0.6 + 0.3, 0]
    assert float(learner.loss(Task(support, query))) == pytest.approx(sum(losses) / 3)


def test_a_class_that_was_forgotten_costs_no_more_than_the_farthest() -> None:
    learner = MetaMemory(Identity(in_features=2), slots=1, margin=0.3)
    task = Task(
        examples((1, 0, 0), (0, 1, 1)), examples((1, 0, 0))
    )  # the one key is orthogonal to the query, and of the other class
    assert float(learner.loss(task)) == pytest.approx(0 + 2 + 0.3 - 1)
    learner = MetaMemory(Identity(in_features=2), slots=1, sharpness=5.0, criterion="cross_entropy")
    assert float(learner.loss(task)) == pytest.approx(math.log(1 + math.exp(-5 + 10)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_slot_is_chosen_of_many_that_are_alike(dtype: torch.dtype) -> None:
    """Also in bfloat16, in which numbers above 256 run together."""
    for values in (torch.zeros(600, dtype=dtype), torch.arange(600, dtype=dtype)):
        assert largest(values).nonzero().flatten().tolist() == [int(values.argmax())]


def test_a_life_of_examples_fits_in_the_same_memory_and_rare_ones_are_remembered() -> None:
    """One class is seen once, at the beginning; a hundred others come and go on, each of which has one slot."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(101, 40, generator=generator)
    learner, state = MetaMemory(Identity(in_features=40), slots=110), None
    for _ in range(5):
        order = torch.randperm(100, generator=generator) + 1
        labels = order if state else torch.cat([torch.zeros(1, dtype=torch.int64), order])
        x = centres[labels] + 0.1 * torch.randn(len(labels), 40, generator=generator)
        state = learner.adapt(Examples(x, one_hot(labels, 101)), state)
        assert state["keys"].shape == (110, 40)
    assert state is not None
    assert int((state["answers"].amax(-1) > 0).sum()) == 101  # every other example found its class and was averaged
    assert learner.predict(state, centres).argmax(-1).tolist() == list(range(101))


def test_a_memory_of_one_class_per_slot_is_the_nearest_of_all_examples() -> None:
    task = make_tasks(ways=9, shots=1)[0]
    learner = MetaMemory(Identity(in_features=6))
    found = learner.predict(learner.adapt(task.support), task.query.x)
    x, y = (part / part.norm(dim=1, keepdim=True) for part in (task.query.x, task.support.x))
    assert apart(found, 40 * (x @ y.t() - 1)) < 1e-12
