"""Meta-SGD: learn where gradient descent starts, and for every weight how far it steps, and in which direction.

Li, Zhou, Chen and Li 2017, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", algorithm 1: rates of the form of the weights,
which may become negative. Deviations: head and statistics as in `maml`; a head that starts at zero has a rate for each feature, which all
ways share; all rates start alike, where the paper draws them.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.call import Parameters, trainable
from quickstudy.functional.descent import gradient_descent
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input


@dataclasses.dataclass(eq=False, repr=False)
class MetaSGD(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: start of every learned rate.
        inner_steps: gradient steps on the support set; the paper takes 1. With a head that starts at zero, 2 or more: the first step then
            moves only the head.
        first_order: leave out second derivatives.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task.
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 0.1
    inner_steps: int = 2
    first_order: bool = False
    head_ways: int | None = None
    statistics: _weights.BatchStatistics = "support"

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)

    def __post_init__(self) -> None:
        self.head, self.ways = _weights.make_head(self), self.head_ways
        self.rates = nn.ParameterDict({name.replace(".", "/"): value for name, value in self._shapes()})

    def adapt(self, support: Examples, state: State | None = None) -> State:
        ...
