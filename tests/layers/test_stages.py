"""What is computed once counts as if each step computed it, whatever a net of one's own says of its stages, or does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from builders import Descent, Ordered, apart, make_tasks
from torch import Tensor, nn

from quickstudy.layers.batch_norm import BatchNorm
from quickstudy.layers.stages import stages
from quickstudy.learner import Learner


class Shifted(nn.Module):
    """A net that says its stages, one of which is a function with a parameter and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second, self.features = nn.Linear(6, 5), BatchNorm(5), nn.Linear(5, 4), 4
        self.shift = nn.Parameter(torch.zeros(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.shifted(self.first(x)))

    def shifted(self, x: Tensor) -> Tensor:
        return torch.tanh(self.norm(x) + self.shift)

    def stages(self) -> list[Callable[[Tensor], Tensor]]:
        return [self.first, self.shifted, self.second]


class Doubled(Shifted):
    """A net that inherits the stages of another one, and does more."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Named(nn.Module):
    """A net with layers in an attribute `stages`, as some nets of other packages have."""

    def __init__(self) -> None:
        super().__init__()
        self.stages, self.last, self.features = nn.Sequential(nn.Linear(6, 5), nn.Tanh()), nn.Linear(5, 4), 4

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.stages(x))


def check_front(learner: Learner) -> None:
    """Hold what is adapted against what is adapted when somebody watches the net, so that each step computes all of it."""
    learner, task = learner.double(), make_tasks(ragged=True)[0]
    found, loss = learner.adapt(task.support), learner.loss(task)
    net: Any = learner.net
    net.register_forward_hook(lambda *seen: None)
    expected = learner.adapt(task.support)
    assert found.keys() == expected.keys()
    assert all(apart(found[key], expected[key]) < 1e-12 for key in found)
    torch.testing.assert_close(loss, learner.loss(task), rtol=1e-12, atol=1e-12)


LEARNERS: dict[str, Callable[[nn.Module], Learner]] = {
    "steps on all examples": lambda net: Descent(net, inner_lr=0.1, inner_steps=2),
    "steps on mini-batches": lambda net: Ordered(net, inner_lr=0.01, inner_steps=2, adapt_steps=2, inner_batch=4),
}


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
@pytest.mark.parametrize("frozen", [("first",), ("first", "norm"), ("first", "norm", "shift"), ("first", "second")])
@pytest.mark.parametrize("kind", [Shifted, Doubled])
def test_a_net_that_says_its_stages(kind: type[Shifted], frozen: tuple[str, ...], make: Callable[[nn.Module], Learner]) -> None:
    net = kind()
    for name, value in net.named_parameters():
        value.requires_grad_(name.partition(".")[0] not in frozen)
    check_front(make(net))
    assert len(stages(kind())) == (3 if kind is Shifted else 1)


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_a_net_whose_stages_are_no_method(make: Callable[[nn.Module], Learner]) -> None:
    net = Named()
    net.stages.requires_grad_(False)
    check_front(make(net))


def test_a_forward_of_one_object_alone_is_no_composition_of_layers() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    assert len(stages(net)) == 2
    net.forward = lambda x: x  # type: ignore[method-assign, assignment]
    assert stages(net) == [net]
