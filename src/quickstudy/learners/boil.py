"""BOIL: "body only update in the inner loop". The net adapts to the task, while its head stays as it was where the task begins.

Oh, Yoo, Kim and Yun 2021, "BOIL: Towards Representation Change for Few-shot Learning", section 3: MAML with a rate of 0 for the head.
Deviation: unless `head_ways` fixes a learned head, as in the paper, the head holds the prototypes of the task (Triantafillou et al. 2020,
"Meta-Dataset", Proto-MAML: weights `2 c` and bias `-|c|^2` of class means `c`, here by the net before it adapts), so that it fits any
number of ways, in any order. Statistics as in `maml`.
"""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.call import Parameters
from quickstudy.functional.classes import class_counts, class_means, class_sums, pad_rows
from quickstudy.functional.descent import gradient_descent
from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.task import Examples, Input


@dataclasses.dataclass(eq=False, repr=False)
class BOIL(Learner):
    """State: the net's weights after adaptation, a head of prototypes, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size of the inner loop, alpha.
        inner_steps: gradient steps on the support set; may be raised after training.
        first_order: leave out second derivatives.
        head_ways: number of ways of a learned head; None for a head of prototypes, which fits every task.
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 0.1
    inner_steps: int = 1
    first_order: bool = False
    head_ways: int | None = None
    statistics: _weights.BatchStatistics = "support"

    adapts_head: ClassVar[bool] = False
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"

    def __post_init__(self) -> None:
        self.head, self.ways = _weights.make_head(self), self.head_ways

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        body, seen = _weights.start_net(self, state), _weights.counted(support, state)
        if self.head is not None:
            _weights.check_ways(self.head, support.y.outputs)
            _weights.check_moves(body)
        front = _weights.pass_front(self, support, body)
        own = self._prototypes(front, body, state, seen) if self.head is None else {}
        adapted = gradient_descent(
            lambda moved: _weights.loss(self, {**moved, **own}, front.support, seen, front.depth),
            body,
            inner_lr=self.inner_lr,
            steps=self.inner_steps,
            first_order=self.first_order,
        )
        return _weights.to_state(self, {**adapted, **own}, front, seen)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self, state, self.matched(x))

    def _prototypes(self, front: _weights.Front, body: Parameters, state: State | None, seen: State) -> Parameters:
        """Return the head that compares squared distances to class means, in which the means of an earlier state go on counting."""
        y, weight = front.support.y.rows, front.support.weight
        with batch_statistics(front.support.mask):
            sums = class_sums(_weights.features(self, body, front.support.x, front.depth), y, weight)
        if state is not None:
            earlier = (seen["counts"] - class_counts(y, weight)).unsqueeze(-1)
            sums = sums + earlier * pad_rows(state["head.weight"], sums.shape[0]) / 2
        means = class_means(sums, seen["counts"])
        return {"head.weight": 2 * means, "head.bias": -means.square().sum(-1)}
