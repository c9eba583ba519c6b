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

from quickstudy.errors import check_at_least
from quickstudy.functional.call import trainable
from quickstudy.functional.features import feature_count
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.labels import MultiHot
from quickstudy.objectives.sequences import Tokens
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input


@dataclasses.dataclass(eq=False, repr=False)
class MetaSGD(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`; for sequences to `[example, frame, feature]`.
        inner_lr: start of every learned rate.
        inner_steps: gradient steps on the support set; the paper takes 1. With a head that starts at zero, 2 or more: the first step then
            moves only the head.
        rate_scale: number that multiplies every step; may be changed after training. The loss is a mean over examples, so that on tasks of
            another number of ways, the ratio of the ways keeps the steps of a head as they were in training.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task (of sequences, one that starts
            with learned rows for the blank, for the space, and for all symbols alike).
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
        inner_clip: largest length of the gradient of a step, over all weights together; None for any. Long steps spoil sequences.
    """

    net: nn.Module
    inner_lr: float = 0.1
    inner_steps: int = 2
    rate_scale: float = 1.0
    head_ways: int | None = None
    statistics: _weights.BatchStatistics = "support"
    inner_clip: float | None = None
    first_order: bool = dataclasses.field(default=False, init=False)

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values, Tokens, MultiHot)
    adjustable: ClassVar[tuple[str, ...]] = ("rate_scale",)
    rate: ClassVar[str] = "rate_scale"

    def __post_init__(self) -> None:
        check_at_least("rate_scale", self.rate_scale, 0)
        self.head, self.ways = _weights.make_head(self), self.head_ways
        self.rates = nn.ParameterDict(
            {_weights.key_of(name): torch.full(shape, float(self.inner_lr)) for name, shape in self._shapes().items()}
        )

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        rates = {_weights.name_of(key): self.rate_scale * rate for key, rate in self.rates.items()}
        return _weights.adapt(self, support, state, _weights.start(self, support, state), rates)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example *frame output"]:
        return _weights.predict(self, state, self.matched(x))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of the rates of everything that adapts; those of a head that starts at zero serve every way."""
        shapes = {f"net.{name}": tuple(value.shape) for name, value in trainable(self.net).items()}
        ways = self.head_ways or 1
        return shapes | {"head.weight": (ways, feature_count(self.net)), "head.bias": (ways,)}
