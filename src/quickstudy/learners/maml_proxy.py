"""MAML with proxies: a proxy layer sees the learner at every inner step, and says how far each weight steps and how much of it stays.

Baik, Choi, Choi, Kim and Lee 2020, "Meta-Learning with Adaptive Hyperparameters" (ALFA), section 3: a step is `weights = keep * weights -
rate * gradient`, and `rate` (alpha) and `keep` (beta) of each weight tensor come from a small network, which reads the mean of every weight
tensor and of every gradient. Deviations: each tensor has rows of its own in the network's two layers, so that frozen ones fall out; the
network starts with rates of `inner_lr` and with nothing forgotten, as `maml`; the means of a head are those of the ways that were seen;
no rates are learned for each step by themselves, so that the number of steps may be raised after training. Head and statistics are as in
`maml`.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_at_least
from quickstudy.functional.call import Parameters
from quickstudy.functional.loop import repeat
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input


@dataclasses.dataclass(eq=False, repr=False)
class MAMLProxy(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size of the inner loop, which the proxy multiplies, by one before it is trained.
        inner_steps: gradient steps on the support set. May be raised after training.
        width: hidden units of the proxy.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task.
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 0.1
    inner_steps: int = 3
    width: int = 32
    head_ways: int | None = None
    statistics: _weights.BatchStatistics = "support"

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"

    def __post_init__(self) -> None:
        check_at_least("width", self.width, 1)
        self.head, self.ways = _weights.make_head(self), self.head_ways
        names = [f"net.{name}" for name, _ in self.net.named_parameters()] + ["head.weight", "head.bias"]
        keys = [_weights.key_of(name) for name in names]
        self.reads = nn.ParameterDict({key: torch.randn(2, self.width) / len(names) ** 0.5 for key in keys})
        self.hidden = nn.Parameter(torch.zeros(self.width))
        self.writes = nn.ParameterDict({key: torch.zeros(self.width, 2) for key in keys})
        self.says = nn.ParameterDict({key: torch.zeros(2) for key in keys})

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        start = _weights.check_moves(_weights.start(self, support, state))
        seen, front = _weights.counted(support, state), _weights.pass_front(self, support, start)

        def step(_: int | Tensor, weights: Parameters) -> Parameters:
            gradients = torch.func.grad(lambda weights: _weights.loss(self, weights, front.support, seen, front.depth))(weights)
            chosen = self.proxy(weights, gradients, seen)
            return {
                name: chosen[name][1] * value - self.inner_lr * chosen[name][0] * gradients[name]
                for name, value in weights.items()
            }

        return _weights.to_state(self, repeat(step, start, self.inner_steps, "inner_steps"), front, seen)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self, state, self.matched(x))

    def proxy(self, weights: Parameters, gradients: Parameters, seen: State) -> dict[str, Float[Tensor, "2"]]:
        """Return for each weight tensor by what its rate is multiplied in this step, and which fraction of it stays (beta)."""
        keys = {name: _weights.key_of(name) for name in weights}
        read = [
            torch.stack([_mean(name, weights[name], seen), _mean(name, gradients[name], seen)]) @ self.reads[key]
            for name, key in keys.items()
        ]
        hidden = torch.relu(self.hidden + torch.stack(read).sum(0))
        return {name: 1 + self.says[key] + hidden @ self.writes[key] for name, key in keys.items()}


def _mean(name: str, value: Tensor, seen: State) -> Float[Tensor, ""]:
    """Return the mean of a tensor's numbers; of a head, over the ways that were seen."""
    if not name.startswith("head.") or "counts" not in seen:
        return value.mean()
    there = (seen["counts"] > 0).to(value.dtype)
    rows = value.flatten(1).mean(1) if value.dim() > 1 else value
    return (there * rows).sum() / there.sum().clamp(min=1.0)
