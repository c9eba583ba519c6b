"""Features of a task's examples by the learner's own net, normalised as the learner normalises them."""

from __future__ import annotations

from torch import Tensor, nn

from quickstudy.functional.features import features_of
from quickstudy.layers.batch_norm import batch_statistics, has_batch_norm
from quickstudy.learner import Learner
from quickstudy.task import Task


def net_of(learner: Learner) -> nn.Module | None:
    """Return the learner's net; None for a learner without one of that name."""
    net = getattr(learner, "net", None)
    return net if isinstance(net, nn.Module) else None


def embedded(learner: Learner, net: nn.Module, task: Task) -> tuple[Tensor, Tensor]:
    """Return features of the support and of the query set, `[example, feature]` both, by the net as it was meta-learned.

    Raises:
        ModelError: the net gives no features.
    """
    if learner.statistics not in ("support", "query") or not has_batch_norm(net):
        return features_of(net, task.support.x), features_of(net, task.query.x)
    with batch_statistics(task.support.mask, keep=True) as recording:
        support = features_of(net, task.support.x)
    if learner.statistics == "support":
        return support, features_of(net, task.query.x, recording.of(net))
    with batch_statistics():
        return support, features_of(net, task.query.x)
