"""R2D2: the head of each task is a ridge regression, solved in closed form and differentiated through.

Bertinetto, Henriques, Torr and Vedaldi 2019, "Meta-learning with Differentiable Closed-Form Solvers", sections 3.2 and 3.3. The penalty
lambda, and the scale and shift that turn regressed values into logits (eq. 6), are learned. Deviations: the system has one row for each
feature, not for each example (the paper's eq. 4), so that more examples can be added to what was learned; and, as in `protonet`, batch
norm uses the batch in meta-training and population statistics afterwards.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_above
from quickstudy.functional.linear import with_ones
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, regressed
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples


@dataclasses.dataclass(eq=False, repr=False)
class R2D2(EmbeddingLearner):
    """State: the sums `X'X` and `X'Y` over the support set, the head that solves them, and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`; a feature that is always 1 is added.
        penalty: start of lambda, the learned penalty of large weights; above 0.

    >>> from quickstudy.nets.identity import Identity
    >>> from quickstudy.objectives.classes import one_hot
    >>> learner = R2D2(Identity(in_features=1))
    >>> state = learner.adapt(Examples(torch.tensor([[0.0], [4.0]]), one_hot(torch.tensor([0, 1]), ways=2)))
    >>> learner.predict(state, torch.tensor([[3.0]])).argmax(-1)
    tensor([1])
    """

    penalty: float = 1.0

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above("penalty", self.penalty, 0)
        self.log_penalty = nn.Parameter(torch.tensor(math.log(self.penalty)))
        self.scale = nn.Parameter(torch.ones(()))
        self.shift = nn.Parameter(torch.zeros(()))

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        return {**regressed(features, support, state, self.log_penalty.exp()), **counted(support, state)}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        values = with_ones(features) @ state["head"]
        return hide_unseen(self.scale * values + self.shift, state)
