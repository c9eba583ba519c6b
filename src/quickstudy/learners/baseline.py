"""Baseline: a net trained by ordinary classification of all training classes; each task gets a new linear head on its frozen features.

Chen, Liu, Kira, Wang and Huang 2019, "A Closer Look at Few-shot Classification", section 3.1 ("Baseline"). Deviations: the head starts at
zero, not at random, and takes steps of the gradient over all support examples, where the paper draws mini-batches and has momentum; so
adapting is deterministic, and the order of the examples does not matter. The penalty of large weights is the paper's weight decay.
Population statistics of batch norm are measured exactly (`calibrate`), as in `protonet`.
"""

import dataclasses
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from quickstudy.errors import check_at_least
from quickstudy.functional.call import Parameters, under
from quickstudy.learner import State
from quickstudy.learners._embedding import remembered
from quickstudy.learners._pooled import PooledLearner, fit_head
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.task import Examples


@dataclasses.dataclass(eq=False, repr=False)
class Baseline(PooledLearner):
    """State: the head, how often each way was seen, and features, one-hot labels and weights of every support example.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        classes: number of training classes, which training fills in; None as long as there is no classifier.
        inner_lr: step size with which a task's head is fitted.
        inner_steps: gradient steps of a task's head. May be raised after training.
        penalty: of large weights and biases of a task's head; half of it, times the sum of their squares, is added to the cross-entropy.
    """

    inner_lr: float = 0.01
    inner_steps: int = 100
    penalty: float = 0.001

    continues: ClassVar[bool] = True
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("inner_lr", self.inner_lr, 0)
        check_at_least("inner_steps", self.inner_steps, 0)
        check_at_least("penalty", self.penalty, 0)

    def logits(self, head: Parameters, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example class"]:
        return F.linear(features, head["weight"], head["bias"])

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        known, seen = remembered(features, support, state), counted(support, state)
        zeros = torch.zeros_like(known["y"].t() @ known["features"])
        head = fit_head(
            self.logits, {"weight": zeros, "bias": zeros[:, 0]}, known, self.penalty, self.inner_lr, self.inner_steps
        )
        return {**{f"head.{name}": value for name, value in head.items()}, **known, **seen}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return hide_unseen(self.logits(under("head.", state), features), state)
