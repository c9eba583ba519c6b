"""A training that begins with the network of a trained learner."""

from __future__ import annotations

import pytest
import torch

from quickstudy.errors import ConfigError
from quickstudy.learner import Learner
from quickstudy.learners.maml import MAML
from quickstudy.learners.nearest import Nearest
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.frames import Frames
from quickstudy.nets.identity import Identity
from quickstudy.nets.mlp import MLP
from quickstudy.training.begin import begin_with


def test_weights_and_statistics_are_copied_not_shared() -> None:
    trained, learner = ProtoNet(Conv4(channels=4, size=16)), MAML(Conv4(channels=4, size=16), head_ways=3)
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
            ProtoNet(MLP(in_features=1, hidden=(8,))),
            r"the net of runs/first is MLP with \S+ \[8, 1\], but the training has MLP with \[16, 1\]",
        ),
        (ProtoNet(Frames(bands=4, length=8, channels=8)), r"is Frames with .* choose the same --net and sizes"),
        (Nearest(Identity(in_features=1)), r"is Identity with layers\.0\.0\.weight \[\]"),
    ],
)
def test_another_network_is_refused(trained: Learner, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        begin_with(MAML(MLP(in_features=1, hidden=(16,))), trained, "runs/first")
