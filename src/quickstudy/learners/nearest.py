"""Nearest neighbour: a query belongs to the class of the nearest support example. On raw pixels, the baseline of every comparison.

Vinyals et al. 2016, "Matching Networks for One Shot Learning", table 1 ("pixels"). With a trained net, it is the 1-nearest-neighbour form
of metric learning.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional import ABSENT, squared_distances
from quickstudy.learner import Learner, State
from quickstudy.normalization import check_net
from quickstudy.task import Examples, Input


class Nearest(Learner):
    """State: features `[example, feature]` and one-hot labels `[example, way]` of every support example (zero rows for padding).

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.

    >>> from quickstudy.nets.identity import Identity
    >>> from quickstudy.task import one_hot
    >>> learner = Nearest(Identity(in_features=1))
    >>> state = learner.adapt(Examples(torch.tensor([[0.0], [4.0]]), one_hot(torch.tensor([0, 1]), ways=2)))
    >>> learner.predict(state, torch.tensor([[3.0]])).argmax(-1)
    tensor([1])
    """

    gradient_free_adapt: ClassVar[bool] = True

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = check_net(net)

    def adapt(self, support: Examples, state: State | None = None) -> State:
        features, y = self.net(support.x), support.y * support.weight.unsqueeze(-1)
        if state is not None:
            earlier = torch.cat([state["y"], state["y"].new_zeros(len(state["y"]), y.shape[-1] - state["y"].shape[-1])], dim=-1)
            features, y = torch.cat([state["features"], features]), torch.cat([earlier, y])
        return {"features": features, "y": y}

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        similarity = -squared_distances(self.net(x), state["features"])
        of_each_way = torch.where(state["y"].unsqueeze(0) > 0, similarity.unsqueeze(-1), ABSENT)
        return of_each_way.amax(1)
