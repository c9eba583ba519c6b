"""Train the whole net on each task's support set alone, always from the same weights.

The baseline that says what a task can teach without any other task. Left as it is made (`--steps 0`), the net starts from random weights;
on a net that was trained for something else, it is fine-tuning; trained on few-shot tasks, it is MAML with momentum. Steps are those of
gradient descent with momentum over all support examples; the head starts at zero and has as many outputs as the task.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError, check_at_least
from quickstudy.functional.call import Parameters
from quickstudy.functional.descent import sgd
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
        momentum: fraction of a step that the next one repeats, at least 0 and below 1.
        statistics: what batch norm normalises queries by: the `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 0.01
    inner_steps: int = 50
    momentum: float = 0.9
    statistics: _weights.BatchStatistics = "support"
    head_ways: int | None = dataclasses.field(default=None, init=False)

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"

    def __post_init__(self) -> None:
        check_at_least("momentum", self.momentum, 0)
        if self.momentum >= 1:
            raise ConfigError(f"momentum is {self.momentum}; expected less than 1.", subject="momentum", expected="less than 1")
        self.head = _weights.make_head(self)

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        weights, seen = _weights.start(self, support, state), _weights.counted(support, state)
        front = _weights.pass_front(self, support, weights)

        def step(index: int | Tensor, carried: tuple[Parameters, Parameters]) -> tuple[Parameters, Parameters]:
            gradients = torch.func.grad(lambda w: _weights.loss(self, w, front.support, seen, front.depth))(carried[0])
            pace = {name: self.momentum * value + gradients[name] for name, value in carried[1].items()}
            return sgd(carried[0], pace, self.inner_lr), pace

        still = {name: torch.zeros_like(value) for name, value in weights.items()}
        weights, _ = repeat(step, (weights, still), self.inner_steps, "inner_steps")
        return _weights.to_state(self, weights, front, seen)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self, state, self.matched(x))
