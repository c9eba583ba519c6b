"""MAML: learn initial weights from which a few gradient steps on the support set reach weights that predict the query set.

Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", algorithm 1; `first_order` is the
variant of section 5.2. Deviations: unless `head_ways` fixes it, the head starts at zero and has as many outputs as the task (Kao et al.
2022, "MAML is a Noisy Contrastive Learner in Classification", section 4), which makes the learner indifferent to the order of the classes;
and queries are normalised by the statistics of the adapted support set unless `statistics="query"` asks for the paper's transductive
protocol.
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
class MAML(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`; for sequences to `[example, frame, feature]`.
        inner_lr: step size of the inner loop, alpha.
        inner_steps: gradient steps on the support set, at least 2 with a head that starts at zero: the first step then moves only
            the head. May be raised after training.
        first_order: leave out second derivatives.
        recompute: compute each inner step again when differentiating, instead of remembering it: for many inner steps in little memory.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task (of sequences, one that starts
            with learned rows for the blank, for the space, and for all symbols alike).
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
        inner_clip: largest length of the gradient of a step, over all weights together; None for any. Long steps spoil sequences.

    >>> import torch
    >>> from quickstudy.nets.mlp import MLP
    >>> learner = MAML(MLP(in_features=1), inner_lr=0.01)
    >>> state = learner.adapt(Examples(torch.zeros(5, 1), Values(torch.ones(5, 1))))
    >>> learner.predict(state, torch.zeros(3, 1)).shape
    torch.Size([3, 1])
    """

    net: nn.Module
    inner_lr: float = 0.1
    inner_steps: int = 3
    first_order: bool = False
    recompute: bool = False
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
        return _weights.adapt(self, support, state, _weights.start(self, support, state), recompute=self.recompute)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example *frame output"]:
        return _weights.predict(self, state, self.matched(x))
