"""Both protocols of few-shot papers for one learner: each query on its own, and all normalised together."""

from __future__ import annotations

import typing
from typing import get_args

from quickstudy.layers.batch_norm import has_batch_norm
from quickstudy.learner import Learner, changed


def under_each_protocol(learner: Learner) -> list[Learner]:
    """Return the learner as it is and, if batch norm makes a difference, as it would be under the other protocol.

    Without batch norm, or without a choice of `statistics`, that is the learner alone. The learners share their tensors.

    >>> from quickstudy.learners.protonet import ProtoNet
    >>> from quickstudy.nets.conv4 import Conv4
    >>> [learner.protocol for learner in under_each_protocol(ProtoNet(Conv4(channels=4)))]
    ['inductive', 'transductive']
    """
    choices = get_args(typing.get_type_hints(type(learner).__init__).get("statistics"))
    if not choices or not has_batch_norm(learner):
        return [learner]
    others = [changed(learner, statistics=choice) for choice in ("support", "query") if choice in choices]
    return [learner, *(other for other in others if other.protocol != learner.protocol)]
