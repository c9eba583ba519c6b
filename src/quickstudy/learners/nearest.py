"""Nearest neighbour: a query belongs to the class of the nearest support example. On raw pixels, the baseline of every comparison.

Vinyals et al. 2016, "Matching Networks for One Shot Learning", table 1 ("pixels"). With a trained net, it is the 1-nearest-neighbour form
of metric learning.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.functional.classes import ABSENT
from quickstudy.functional.distances import squared_distances
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, remembered
from quickstudy.task import Examples


@dataclasses.dataclass(eq=False, repr=False)
class Nearest(EmbeddingLearner):
    """State: features `[example, feature]`, one-hot labels `[example, way]` and weights of every support example (zeros for padding).

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.

    >>> from quickstudy.nets.identity import Identity
    >>> from quickstudy.objectives.classes import one_hot
    >>> learner = Nearest(Identity(in_features=1))
    >>> state = learner.adapt(Examples(torch.tensor([[0.0], [4.0]]), one_hot(torch.tensor([0, 1]), ways=2)))
    >>> learner.predict(state, torch.tensor([[3.0]])).argmax(-1)
    tensor([1])
    """

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        return remembered(features, support, state)

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        of_each = -squared_distances(features, state["features"]).unsqueeze(-1)
        return torch.where(state["y"].unsqueeze(0) > 0, of_each, ABSENT).amax(1)
