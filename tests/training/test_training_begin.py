"""A training that begins with the network of a trained learner."""

from __future__ import annotations

import pytest
import torch
from builders import Descent, Prototypes

from quickstudy.errors import ConfigError
from quickstudy.learner import Learner
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.frames import Frames
from quickstudy.nets.identity import Identity
from quickstudy.nets.mlp import MLP
from quickstudy.training.begin import begin_with


def test_weights_and_statistics_are_copied_not_shared() -> None:
    trained, learner = Prototypes(Conv4(channels=4)), Descent(Conv4(channels=4), head_ways=3)
    for buffer in trained.net.buffers():
        buffer.add_(1)
    head = learner.head.weight.clone()  # type: ignore[union-attr]
    begin_with(learner, trained, "runs/first")
    for ours, theirs in zip(learner.net.state_dict().values(), trained.net.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.data_ptr() != theirs.data_ptr()
    assert torch.equal(learner.head.weight, head)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("trained", "message"),
    [
        (
            Prototypes(MLP(in_features=1, hidden=(8,))),
            r"the net of runs/first is MLP with hidden \[8\], but the training has one with hidden \[16\]",
        ),
        (
            Prototypes(MLP(in_features=1, hidden=(16,), norm="layer")),
            r"is MLP with norm layer, but the training has one with norm none",
        ),
        (
            Prototypes(Frames(bands=4, length=8, channels=8)),
            r"is Frames, but the training has MLP; choose the same --net and sizes",
        ),
        (Prototypes(Identity(in_features=1)), r"is Identity, but the training has MLP"),
    ],
)
def test_another_network_is_refused(trained: Learner, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        begin_with(Descent(MLP(in_features=1, hidden=(16,))), trained, "runs/first")


def test_a_head_of_sequences_begins_with_what_means_the_same_everywhere() -> None:
    trained, learner = (Descent(Frames(bands=4, length=8, channels=8), head_ways=ways) for ways in (5, None))
    begin_with(learner, trained, "runs/first")
    ours, theirs = learner.head.weight, trained.head.weight  # type: ignore[union-attr]
    assert torch.equal(ours[:2], theirs[:2])  # the blank and the space
    torch.testing.assert_close(ours[2], theirs[2:].mean(0))


def test_strides_are_compared_though_they_change_no_weight() -> None:
    once, twice = (Descent(Frames(bands=4, length=8, channels=8, halvings=halvings)) for halvings in (1, 2))
    with pytest.raises(ConfigError, match="is Frames with halvings 2, but the training has one with halvings 1"):
        begin_with(once, twice, "runs/first")


def test_a_head_that_is_fixed_to_the_same_symbols_begins_whole() -> None:
    learner, trained = (Descent(Frames(bands=4, length=8, channels=8), head_ways=5) for _ in range(2))
    begin_with(learner, trained, "runs/first")
    assert not torch.equal(learner.head.weight, trained.head.weight)  # type: ignore[union-attr]  # their columns may mean other symbols
    begin_with(learner, trained, "runs/first", same_symbols=True)
    assert torch.equal(learner.head.weight, trained.head.weight)  # type: ignore[union-attr]


@pytest.mark.parametrize(("ours", "theirs"), [(3, 5), (None, 2)])
def test_other_heads_begin_as_always(ours: int | None, theirs: int) -> None:
    learner, trained = (Descent(Frames(bands=4, length=8, channels=8), head_ways=ways) for ways in (ours, theirs))
    before = learner.head.weight.clone()  # type: ignore[union-attr]
    begin_with(learner, trained, "runs/first")
    assert torch.equal(learner.head.weight, before)  # type: ignore[union-attr]
