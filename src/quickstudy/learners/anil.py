"""ANIL: "almost no inner loop". The net's features stay as meta-learned; only the head adapts to the task.

Raghu et al. 2020, "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML", section 4. The support set passes
through the net once, whatever the number of steps. Head and statistics as in `maml`.
"""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.labels import MultiHot
from quickstudy.objectives.sequences import Tokens
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input


@dataclasses.dataclass(eq=False, repr=False)
class ANIL(Learner):
    """State: the adapted head, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`; for sequences to `[example, frame, feature]`.
        inner_lr: step size of the inner loop, alpha.
        inner_steps: gradient steps of the head on the support set. May be raised after training.
        first_order: leave out second derivatives.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task (of sequences, one that starts
            with learned rows for the blank, for the space, and for all symbols alike).
        statistics: what batch norm normalises queries by: the `support` set, or the `query` batch (transductive).
        inner_clip: largest length of the gradient of a step, over all weights together; None for any. Long steps spoil sequences.
    """

    net: nn.Module
    inner_lr: float = 0.1
    inner_steps: int = 5
    first_order: bool = False
    head_ways: int | None = None
    statistics: _weights.BatchStatistics = "support"
    inner_clip: float | None = None

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values, Tokens, MultiHot)
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"

    def __post_init__(self) -> None:
        self.head, self.ways = _weights.make_head(self), self.head_ways

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        return _weights.adapt(self, support, state, _weights.start_head(self, support, state))

    def predict(self, state: State, x: Input) -> Float[Tensor, "example *frame output"]:
        return _weights.predict(self, state, self.matched(x))
