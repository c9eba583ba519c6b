"""Relation Networks: a small net, itself learned, compares an embedded query with the embedded support set of each way.

Sung, Yang, Zhang, Xiang, Torr and Hospedales 2018, "Learning to Compare: Relation Network for Few-Shot Learning", eqs. 1 and 2: scores
between 0 and 1, learned by squared error. Deviations: the compared features are rows of numbers, not maps, and the comparing net, of two
linear layers, sees their absolute difference as well; several examples of a way are averaged, where the paper adds them up; and, as in
`protonet`, batch norm uses the batch in meta-training and population statistics afterwards.
"""

import dataclasses
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_at_least, check_choice
from quickstudy.functional.classes import class_counts, class_means, class_sums, hide_absent, pad_rows
from quickstudy.functional.features import feature_count
from quickstudy.functional.losses import weighted_mean
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, embed_task
from quickstudy.task import Examples, Task

Criterion = Literal["squared_error", "cross_entropy"]


@dataclasses.dataclass(eq=False, repr=False)
class Relation(EmbeddingLearner):
    """State: the sum of the embedded support examples of each way, `[way, feature]`, and their counts `[way]`.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: hidden units of the comparing net.
        criterion: what meta-training minimises: `squared_error` of scores between 0 and 1, as in the paper, or `cross_entropy`.
    """

    width: int = 64
    criterion: Criterion = "squared_error"

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("width", self.width, 1)
        check_choice("criterion", self.criterion, get_args(Criterion))
        self.compare = nn.Sequential(nn.Linear(3 * feature_count(self.net), self.width), nn.ReLU(), nn.Linear(self.width, 1))

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        y, weight = support.y.rows, support.weight
        total, counts = class_sums(features, y, weight), class_counts(y, weight)
        if state is not None:
            total, counts = (
                total + pad_rows(state["total"], total.shape[0]),
                counts + pad_rows(state["counts"], counts.shape[0]),
            )
        return {"total": total, "counts": counts}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        ways = class_means(state["total"], state["counts"])
        shape = (features.shape[0], ways.shape[0], features.shape[1])
        known, asked = ways.unsqueeze(0).expand(shape), features.unsqueeze(1).expand(shape)
        scores = self.compare(torch.cat([known, asked, (known - asked).abs()], dim=-1)).squeeze(-1)
        return hide_absent(scores, state["counts"])

    def loss(self, task: Task) -> Float[Tensor, ""]:
        if self.criterion == "cross_entropy":
            return super().loss(task)
        task = self.matched(task)
        support, query = embed_task(self.net, task)
        state = self.learn(support, task.support, None)
        errors = (torch.sigmoid(self.answer(state, query)) - task.query.y.rows).square().sum(-1)
        return weighted_mean(errors, task.query.weight) / (state["counts"] > 0).sum()
