"""Prototypes that queries refine: those that look alike move the mean of the class that they are likely of. This is transductive.

Ren et al. 2018, "Meta-Learning for Semi-Supervised Few-Shot Classification", section 3.1.1 (soft k-means, eq. 4); with
`refinement="bd_cspn"`, Liu, Song and Qin 2020, "Prototype Rectification for Few-Shot Learning", section 3: queries are moved so that their
mean is that of the support set, and each joins the class of the nearest prototype, weighted by the cosine of their angle. With
`balance_steps`, the answers to all queries are balanced between the ways by Sinkhorn's iteration, as in Huang, Larochelle and
Lacoste-Julien 2019, "Are Few-Shot Learning Benchmarks Too Simple?" (Sinkhorn k-means), for tasks whose queries are as many of each way.
Deviations: the queries themselves are the unlabelled examples, where Ren et al. have others; all queries join, where Liu et al. take the
surest; and both refine in meta-training too. Batch norm as in `protonet`.
"""

import contextlib
import dataclasses
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from quickstudy.errors import check_above, check_at_least, check_choice
from quickstudy.functional.classes import ABSENT, class_means, class_sums, hide_absent
from quickstudy.functional.distances import DISTANCES, Distance, cosine_distances
from quickstudy.functional.features import features_of
from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, remembered
from quickstudy.learners._weights import counted
from quickstudy.task import Examples, Input

Refinement = Literal["soft_kmeans", "bd_cspn", "none"]
Statistics = Literal["population", "query"]


@dataclasses.dataclass(eq=False, repr=False)
class SoftKMeans(EmbeddingLearner):
    """State: features, one-hot labels and weights of every support example, and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        refinement: how queries move the prototypes: `soft_kmeans`, each by its share in every class; `bd_cspn`, each in its nearest class;
            or `none`, which is a prototypical network.
        refine_steps: how often; with 0 it is a prototypical network as well.
        distance: of a query to a prototype.
        scale: factor of the distance; cosine distances, which are at most 2, need about 10.
        sharpness: factor of the cosines by which examples are weighted, with `bd_cspn`, epsilon.
        balance_steps: how often the answers are balanced, so that every way gets the same share of all queries; 0 to answer each query
            by its distances alone. Only for tasks that are known to hold as
            many queries of each way and are answered whole: others become worse by it, and a query alone is then of all ways alike.
        statistics: what batch norm normalises by once trained: `population` (of the meta-training tasks), or `query` (the support set and
            the queries each by themselves, for tasks that look unlike those of meta-training).
    """

    refinement: Refinement = "soft_kmeans"
    refine_steps: int = 1
    distance: Distance = "squared"
    scale: float = 1.0
    sharpness: float = 10.0
    balance_steps: int = 0
    statistics: Statistics = "population"

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("refinement", self.refinement, get_args(Refinement))
        check_at_least("refine_steps", self.refine_steps, 0)
        check_choice("distance", self.distance, get_args(Distance))
        check_above("scale", self.scale, 0)
        check_above("sharpness", self.sharpness, 0)
        check_at_least("balance_steps", self.balance_steps, 0)
        check_choice("statistics", self.statistics, get_args(Statistics))

    @property
    def transductive(self) -> bool:
        refined = self.refinement != "none" and self.refine_steps > 0
        return refined or self.balance_steps > 0 or super().transductive

    def features(self, x: Input, mask: Bool[Tensor, " example"] | None) -> Float[Tensor, "example feature"]:
        with batch_statistics(mask) if self.statistics == "query" else contextlib.nullcontext():
            return features_of(self.net, x)

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        return {**remembered(features, support, state), **counted(support, state)}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return self.answer_padded(state, features, None)

    def answer_padded(
        self, state: State, features: Float[Tensor, "example feature"], mask: Bool[Tensor, " example"] | None
    ) -> Float[Tensor, "example output"]:
        weight = torch.ones_like(features[:, 0]) if mask is None else mask.to(features.dtype)
        sums = class_sums(state["features"], state["y"], state["weight"])
        prototypes = class_means(sums, state["counts"])
        if self.refinement == "bd_cspn" and self.refine_steps > 0:
            features = features + _mean(state["features"], state["weight"]) - _mean(features, weight)
        for _ in range(self.refine_steps):
            if self.refinement == "soft_kmeans":
                share = self._logits(features, prototypes, state, weight).softmax(-1) * weight.unsqueeze(-1)
                prototypes = class_means(sums + share.t() @ features, state["counts"] + share.sum(0))
            elif self.refinement == "bd_cspn":
                prototypes = self._rectified(features, weight, prototypes, state)
        return self._logits(features, prototypes, state, weight)

    def _logits(
        self,
        features: Float[Tensor, "example feature"],
        prototypes: Float[Tensor, "way feature"],
        state: State,
        weight: Float[Tensor, " example"],
    ) -> Float[Tensor, "example way"]:
        """Return negative distances to the prototypes, balanced between the ways if asked; ways that were never seen are hidden."""
        logits = hide_absent(-self.scale * DISTANCES[self.distance](features, prototypes), state["counts"])
        absent = torch.where(weight > 0, 0.0, ABSENT).unsqueeze(-1)
        for _ in range(self.balance_steps):
            logits = hide_absent(logits - (logits + absent).logsumexp(0), state["counts"]).log_softmax(-1)
        return logits

    def _rectified(
        self,
        features: Float[Tensor, "example feature"],
        weight: Float[Tensor, " example"],
        prototypes: Float[Tensor, "way feature"],
        state: State,
    ) -> Float[Tensor, "way feature"]:
        """Return the mean of all examples of each way, weighted by the softmax of their cosines; queries are of the nearest one."""
        nearest = hide_absent(-cosine_distances(features, prototypes), state["counts"]).argmax(-1, keepdim=True)
        joined = (nearest == torch.arange(prototypes.shape[0], device=features.device)) * weight.unsqueeze(-1)
        everything, member = torch.cat([state["features"], features]), torch.cat([state["y"], joined])
        likeness = self.sharpness * (1 - cosine_distances(everything, prototypes))
        return torch.where(member > 0, likeness, ABSENT).softmax(0).t() @ everything


def _mean(features: Float[Tensor, "example feature"], weight: Float[Tensor, " example"]) -> Float[Tensor, " feature"]:
    """Return the mean of the features that count."""
    return (features * weight.unsqueeze(-1)).sum(0) / weight.sum().clamp(min=1.0)
