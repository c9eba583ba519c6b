"""MAML: learn initial weights from which a few gradient steps on the support set reach weights that predict the query set.

Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", algorithm 1; `first_order` is the
variant of section 5.2. Deviations: unless `head_ways` fixes it, the head starts at zero and has as many outputs as the task (Kao et al.
2022, "MAML is a Noisy Contrastive Learner", section 4), which makes the learner indifferent to the order of the classes; and queries are
normalised by the statistics of the adapted support set unless `statistics="query"` asks for the paper's transductive protocol.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.call import Parameters
from quickstudy.functional.descent import gradient_descent
from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.layers.check import check_net
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.task import Examples, Input


class MAML(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size of the inner loop, alpha.
        inner_steps: gradient steps on the support set, at least 2 with a head that starts at zero: the first step then moves only
            the head. May be raised after training.
        first_order: leave out second derivatives.
        recompute: compute each inner step again when differentiating, instead of remembering it: for many inner steps in little memory.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task.
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
        objective: `classification` (cross-entropy) or `regression` (squared error).

    >>> import torch
    >>> from quickstudy.nets.mlp import MLP
    >>> learner = MAML(MLP(in_features=1), objective="regression", inner_lr=0.01)
    >>> state = learner.adapt(Examples(torch.zeros(5, 1), torch.ones(5, 1)))
    >>> learner.predict(state, torch.zeros(3, 1)).shape
    torch.Size([3, 1])
    """

    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)

    statistics: _weights.BatchStatistics
    objective: _weights.Objective

    def __init__(
        self,
        net: nn.Module,
        inner_lr: float = 0.1,
        inner_steps: int = 3,
        first_order: bool = False,
        recompute: bool = False,
        head_ways: int | None = None,
        statistics: _weights.BatchStatistics = "support",
        objective: _weights.Objective = "classification",
    ) -> None:
        super().__init__()
        _weights.check_hyperparameters(statistics, objective, inner_lr, inner_steps)
        self.net, self.head = check_net(net), _weights.make_head(net, head_ways)
        self.inner_lr, self.inner_steps = inner_lr, inner_steps
        self.first_order, self.recompute = first_order, recompute
        self.head_ways, self.statistics, self.objective = head_ways, statistics, objective

    def adapt(self, support: Examples, state: State | None = None) -> State:
        seen = _weights.counted(self.objective, support, state)
        start = _weights.start_net(self.net, state) | _weights.start_head(self.head, self.net, support, state)

        def support_loss(weights: Parameters) -> Tensor:
            with batch_statistics(support.mask):
                return self.criterion(_weights.hide_unseen(_weights.outputs(self.net, weights, support.x), seen), support)

        adapted = gradient_descent(
            support_loss,
            start,
            inner_lr=self.inner_lr,
            steps=self.inner_steps,
            first_order=self.first_order,
            recompute=self.recompute,
        )
        if self.statistics == "support":
            adapted |= _weights.support_statistics(self.net, adapted, support)
        return adapted | seen

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self.net, self.statistics, state, x)

    def criterion(self, prediction: Float[Tensor, "example output"], query: Examples) -> Float[Tensor, ""]:
        return _weights.objective_loss(self.objective, prediction, query)

    @property
    def protocol(self) -> str:
        return _weights.protocol(self.net, self.statistics)
