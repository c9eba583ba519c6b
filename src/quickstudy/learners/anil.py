"""ANIL: "almost no inner loop". The net's features stay as meta-learned; only the head adapts to the task.

Raghu et al. 2020, "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML", section 4. The support set passes
through the net once, whatever the number of steps. Head and statistics as in `maml`.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.call import Parameters
from quickstudy.functional.descent import gradient_descent
from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.layers.check import check_net
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.task import Examples, Input


class ANIL(Learner):
    """State: the adapted head, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size of the inner loop, alpha.
        inner_steps: gradient steps of the head on the support set. May be raised after training.
        first_order: leave out second derivatives.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task.
        statistics: what batch norm normalises queries by: the `support` set, or the `query` batch (transductive).
        objective: `classification` (cross-entropy) or `regression` (squared error).
    """

    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)

    statistics: _weights.BatchStatistics
    objective: _weights.Objective

    def __init__(
        self,
        net: nn.Module,
        inner_lr: float = 0.1,
        inner_steps: int = 5,
        first_order: bool = False,
        head_ways: int | None = None,
        statistics: _weights.BatchStatistics = "support",
        objective: _weights.Objective = "classification",
    ) -> None:
        super().__init__()
        _weights.check_hyperparameters(statistics, objective, inner_lr, inner_steps)
        self.net, self.head = check_net(net), _weights.make_head(net, head_ways)
        self.inner_lr, self.inner_steps, self.first_order = inner_lr, inner_steps, first_order
        self.head_ways, self.statistics, self.objective = head_ways, statistics, objective

    def adapt(self, support: Examples, state: State | None = None) -> State:
        with batch_statistics(support.mask, keep=self.statistics == "support") as recording:
            features = self.net(support.x)

        seen = _weights.counted(self.objective, support, state)

        def support_loss(head: Parameters) -> Tensor:
            prediction = F.linear(features, head["head.weight"], head["head.bias"])
            return self.criterion(_weights.hide_unseen(prediction, seen), support)

        start = _weights.start_head(self.head, self.net, support, state)
        head = gradient_descent(
            support_loss, start, inner_lr=self.inner_lr, steps=self.inner_steps, first_order=self.first_order
        )
        statistics = {f"net.{name}": value for name, value in recording.of(self.net).items()}
        return head | statistics | seen

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self.net, self.statistics, state, x)

    def criterion(self, prediction: Float[Tensor, "example output"], query: Examples) -> Float[Tensor, ""]:
        return _weights.objective_loss(self.objective, prediction, query)

    @property
    def protocol(self) -> str:
        return _weights.protocol(self.net, self.statistics)
