"""Nearest neighbour: a query belongs to the class of the nearest support example. On raw pixels, the baseline of every comparison.

Vinyals et al. 2016, "Matching Networks for One Shot Learning", table 1 ("pixels"). With a trained net, it is the 1-nearest-neighbour form
of metric learning.
"""

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.classes import ABSENT, pad_rows
from quickstudy.functional.distances import squared_distances
from quickstudy.functional.features import features_of
from quickstudy.layers.check import check_net
from quickstudy.learner import Learner, State
from quickstudy.learners import _metric
from quickstudy.task import Examples, Input, Task


@dataclasses.dataclass(eq=False, repr=False)
class Nearest(Learner):
    """State: features `[example, feature]` and one-hot labels `[example, way]` of every support example (zero rows for padding).

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.

    >>> from quickstudy.nets.identity import Identity
    >>> from quickstudy.objectives.classes import one_hot
    >>> learner = Nearest(Identity(in_features=1))
    >>> state = learner.adapt(Examples(torch.tensor([[0.0], [4.0]]), one_hot(torch.tensor([0, 1]), ways=2)))
    >>> learner.predict(state, torch.tensor([[3.0]])).argmax(-1)
    tensor([1])
    """

    net: nn.Module

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_net(self.net)

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        features, y = features_of(self.net, support.x), support.y.rows * support.weight.unsqueeze(-1)
        if state is not None:
            earlier = pad_rows(state["y"].t(), y.shape[-1]).t()
            features, y = torch.cat([state["features"], features]), torch.cat([earlier, y])
        return {"features": features, "y": y}

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _logits(features_of(self.net, self.matched(x)), state["features"], state["y"])

    def loss(self, task: Task) -> Float[Tensor, ""]:
        task = self.matched(task)
        support, query = _metric.embed_task(self.net, task)
        logits = _logits(query, support, task.support.y.rows * task.support.weight.unsqueeze(-1))
        return task.query.y.loss(logits, task.query.weight)

    def calibrate(self, tasks: Iterable[Task]) -> None:
        with torch.no_grad():
            _metric.measure_population(self.net, map(self.matched, tasks))


def _logits(
    features: Float[Tensor, "example feature"], known: Float[Tensor, "support feature"], y: Float[Tensor, "support way"]
) -> Float[Tensor, "example way"]:
    """Return the negative squared distance to the nearest support example of each way."""
    of_each = -squared_distances(features, known).unsqueeze(-1)
    return torch.where(y.unsqueeze(0) > 0, of_each, ABSENT).amax(1)
