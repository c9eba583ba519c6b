"""A logistic head for each task, found by a few Newton steps and differentiated through.

Bertinetto, Henriques, Torr and Vedaldi 2019, "Meta-learning with Differentiable Closed-Form Solvers", section 3.4 (LR-D2). Deviations:
every way against the others, where the paper treats two ways only; a learned scale of the logits; and, as in
`protonet`, batch norm uses the batch in meta-training and population statistics afterwards.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_above, check_at_least
from quickstudy.functional.linear import full_precision, once, ridge_solver, with_ones
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, remembered
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.task import Examples


@dataclasses.dataclass(eq=False, repr=False)
class Logistic(EmbeddingLearner):
    """State: the head, how often each way was seen, and features, one-hot labels and weights of every support example.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`; a feature that is always 1 is added.
        penalty: start of lambda, the learned penalty of large weights; above 0.
        newton_steps: steps of Newton's method from a head of zeros, at least 1.
    """

    penalty: float = 1.0
    newton_steps: int = 3

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above("penalty", self.penalty, 0)
        check_at_least("newton_steps", self.newton_steps, 1)
        self.log_penalty = nn.Parameter(torch.tensor(math.log(self.penalty)))
        self.scale = nn.Parameter(torch.ones(()))

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        known = remembered(features.to(support.y.rows.dtype), support, state)
        with full_precision(features):
            head = self._fitted(known)
        return {"head": head, **known, **counted(support, state)}

    def _fitted(self, known: State) -> Float[Tensor, "way number"]:
        """Return the head after some steps of Newton's method on remembered examples."""
        x, y, weight = with_ones(known["features"]), known["y"], known["weight"]
        penalty = self.log_penalty.exp()
        head = x.new_zeros((y.shape[1], x.shape[1]))
        for _ in range(self.newton_steps):
            share = torch.sigmoid(head @ x.t())  # [way, example]
            slope = ((y.t() - share) * weight) @ x - penalty * head
            step = ridge_solver(x, share * (1 - share) * weight, penalty, once)  # a system for each way
            head = head + step(slope.unsqueeze(-1)).squeeze(-1)
        return head

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return hide_unseen(self.scale * with_ones(features) @ state["head"].t(), state)
