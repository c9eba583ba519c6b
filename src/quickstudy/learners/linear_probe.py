"""Linear probe: a logistic regression for each task on the features of a net as it is, untrained or trained for something else.

Alain and Bengio 2017, "Understanding Intermediate Layers Using Linear Classifier Probes", section 3; Tian et al. 2020, "Rethinking
Few-Shot Image Classification: a Good Embedding Is All You Need?", section 3.1, use it on frozen features for few-shot tasks. It needs no
training (`--steps 0`); trained on few-shot tasks, the net learns features that suit such heads. The steps are Newton's with a bound in
place of the second derivative, so that one system serves all steps and all ways, and no step goes too far (Böhning
1992, "Multinomial Logistic Regression Algorithm", section 2). Deviation: the bias has the penalty of the other weights.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.errors import check_above, check_at_least
from quickstudy.functional.linear import ridge_solver, with_ones
from quickstudy.functional.loop import repeat
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, remembered
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.task import Examples


@dataclasses.dataclass(eq=False, repr=False)
class LinearProbe(EmbeddingLearner):
    """State: the head, how often each way was seen, and features, one-hot labels and weights of every support example.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`; a feature that is always 1 is added.
        penalty: of large weights; half of it, times the sum of their squares, is added to the summed cross-entropy. Above 0.
        inner_steps: steps from a head of zeros.
    """

    penalty: float = 1.0
    inner_steps: int = 100

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above("penalty", self.penalty, 0)
        check_at_least("inner_steps", self.inner_steps, 1)

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        known, seen = remembered(features, support, state), counted(support, state)
        x, y, weight = with_ones(known["features"]), known["y"], known["weight"].unsqueeze(-1)
        bounded = ridge_solver(x, known["weight"] / 2, self.penalty)

        def step(index: int | Tensor, head: Tensor) -> Tensor:
            share = hide_unseen(x @ head, seen).softmax(-1)
            return head + bounded(x.t() @ ((y - share) * weight) - self.penalty * head)

        head = repeat(step, torch.zeros_like(x.t() @ y), self.inner_steps, "inner_steps")
        return {"head": head, **known, **seen}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return hide_unseen(with_ones(features) @ state["head"], state)
