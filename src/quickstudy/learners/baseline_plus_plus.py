"""Baseline++: as `baseline`, but a head compares directions: a logit is the scaled cosine between features and a class's weights.

Chen, Liu, Kira, Wang and Huang 2019, "A Closer Look at Few-shot Classification", section 3.2 ("Baseline++") and figure 1, after Gidaris
and Komodakis 2018, "Dynamic Few-Shot Visual Learning without Forgetting". Deviations: weights of a task's head start at the mean direction
of each class's examples (Qi, Brown and Lowe 2018, "Low-Shot Learning with Imprinted Weights"), not at random, and have no penalty, since
their length does not count; the heads of tasks have the same scale as the classifier; gradient steps as in `baseline`.
"""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from quickstudy.errors import check_above, check_at_least
from quickstudy.functional.call import Parameters, under
from quickstudy.functional.classes import class_counts, class_means, class_sums
from quickstudy.functional.distances import unit
from quickstudy.learner import State
from quickstudy.learners._embedding import remembered
from quickstudy.learners._pooled import PooledLearner, fit_head
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.task import Examples


@dataclasses.dataclass(eq=False, repr=False)
class BaselinePlusPlus(PooledLearner):
    """State: the head, how often each way was seen, and features, one-hot labels and weights of every support example.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        classes: number of training classes, which training fills in; None as long as there is no classifier.
        scale: factor of the cosines; the authors' code takes 2 for a head of up to 200 classes, so for every task's, and 10 for more.
        inner_lr: step size with which a task's head is fitted.
        inner_steps: gradient steps of a task's head. May be raised after training.
    """

    scale: float = 10.0
    inner_lr: float = 0.01
    inner_steps: int = 100

    continues: ClassVar[bool] = True
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above("scale", self.scale, 0)
        check_at_least("inner_lr", self.inner_lr, 0)
        check_at_least("inner_steps", self.inner_steps, 0)

    def logits(self, head: Parameters, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example class"]:
        return self.scale * unit(features) @ unit(head["weight"]).t()

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        known, seen = remembered(features, support, state), counted(support, state)
        sums = class_sums(unit(known["features"]), known["y"], known["weight"])
        start = class_means(sums, class_counts(known["y"], known["weight"]))
        head = fit_head(self.logits, {"weight": start}, known, 0.0, self.inner_lr, self.inner_steps)
        return {"head.weight": head["weight"], **known, **seen}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return hide_unseen(self.logits(under("head.", state), features), state)
