"""Siamese networks: learn whether two examples are of the same class; a query belongs to the class of the likeliest partner.

Koch, Zemel and Salakhutdinov 2015, "Siamese Neural Networks for One-shot Image Recognition", section 3 (pairs judged by a logistic
regression of the absolute differences of their features); with `pairs="contrastive"`, Hadsell, Chopra and LeCun 2006, "Dimensionality
Reduction by Learning an Invariant Mapping", eq. 4. Deviations: all pairs of a query and a support example are judged at once, where the
paper draws pairs; equal and unequal pairs weigh one half each, as there.
"""

import dataclasses
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_above, check_choice
from quickstudy.functional.classes import ABSENT
from quickstudy.functional.distances import DISTANCES, Distance
from quickstudy.functional.features import feature_count
from quickstudy.functional.losses import weighted_mean
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, embed_batch, remembered
from quickstudy.task import Examples, Task, concatenate

Pairs = Literal["cross_entropy", "contrastive"]


@dataclasses.dataclass(eq=False, repr=False)
class Siamese(EmbeddingLearner):
    """State: features, one-hot labels and weights of every support example.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        pairs: how pairs are judged: `cross_entropy`, by a learned weight for each feature, or `contrastive`, by a distance.
        margin: distance beyond which an unequal pair costs nothing, with `contrastive`; above 0.
        distance: of two examples, with `contrastive`: `euclidean`, as in the paper, or another; cosine distances are at most 2.
    """

    pairs: Pairs = "cross_entropy"
    margin: float = 1.0
    distance: Distance = "euclidean"

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("pairs", self.pairs, get_args(Pairs))
        check_above("margin", self.margin, 0)
        check_choice("distance", self.distance, get_args(Distance))
        if self.pairs == "cross_entropy":
            self.judge = nn.Linear(feature_count(self.net), 1)

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        return remembered(features, support, state)

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        same = self._same(features, state["features"]).unsqueeze(-1)
        return torch.where(state["y"].unsqueeze(0) > 0, same, ABSENT).amax(1)

    def loss(self, task: Task) -> Float[Tensor, ""]:
        task = self.matched(task)
        both = concatenate(task.support, task.query)
        features, y, weight = embed_batch(self.net, both), both.y.rows, both.weight
        same, counts = y @ y.t(), weight * weight.unsqueeze(1) * (1 - torch.eye(len(y), dtype=y.dtype, device=y.device))
        score = self._same(features, features)
        if self.pairs == "cross_entropy":
            equal, unequal = F.softplus(-score), F.softplus(score)
        else:
            equal, unequal = score.square(), F.relu(self.margin + score).square()
        return (weighted_mean(equal, counts * same) + weighted_mean(unequal, counts * (1 - same))) / 2

    def _same(self, a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
        """Return how likely two examples are of one class: a logit, or their negative distance."""
        if self.pairs == "contrastive":
            return -DISTANCES[self.distance](a, b)
        return self.judge((a.unsqueeze(1) - b.unsqueeze(0)).abs()).squeeze(-1)
