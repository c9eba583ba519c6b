"""From scratch: the whole net is trained on each task's support set alone, always from the same weights.

The baseline that says what a task can teach without any other task; Chen et al. 2019, "A Closer Look at Few-shot Classification", call
training on the few examples alone what transfer must beat. Left as it is made (`--steps 0`), the net starts from random weights; on a net
that was trained for something else, it is fine-tuning; trained on few-shot tasks, it is MAML with Adam inside. Steps are Adam's without
momentum, over all support examples, as in `reptile`; the head starts at zero and has as many outputs as the task.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.call import Parameters
from quickstudy.functional.descent import adam
from quickstudy.functional.loop import repeat
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input


@dataclasses.dataclass(eq=False, repr=False)
class Scratch(Learner):
    """State: every weight after training on the support set, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size.
        inner_steps: steps on the support set.
        statistics: what batch norm normalises queries by: the `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 0.001
    inner_steps: int = 50
    statistics: _weights.BatchStatistics = "support"
    head_ways: None = dataclasses.field(default=None, init=False)

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"

    def __post_init__(self) -> None:
        self.head = _weights.make_head(self)

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        weights, seen = _weights.start(self, support, state), _weights.counted(support, state)
        front = _weights.pass_front(self, support, weights)

        def step(index: int | Tensor, carried: tuple[Parameters, Parameters]) -> tuple[Parameters, Parameters]:
            gradients = torch.func.grad(lambda w: _weights.loss(self, w, front.support, seen, front.depth))(carried[0])
            return adam(carried[0], gradients, carried[1], self.inner_lr, index + 1)

        moments = {name: torch.zeros_like(value) for name, value in weights.items()}
        weights, _ = repeat(step, (weights, moments), self.inner_steps, "inner_steps")
        return _weights.to_state(self, weights, front, seen)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self, state, self.matched(x))
