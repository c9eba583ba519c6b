"""BOIL: "body only update in the inner loop". The net adapts to the task while its head stays where the task begins.

Oh, Yoo, Kim and Yun 2021, "BOIL: Towards Representation Change for Few-shot Learning", section 3: MAML with a rate of 0 for the head.
Deviation: the head starts at the prototypes of the task (Triantafillou et al. 2020, "Meta-Dataset", section 4: weights `2 c`, bias
`-|c|^2`, of class means `c` by the net before it adapts), where the paper learns a head for a fixed number of ways; so any number of ways
fits, and their order does not matter. Statistics as in `maml`.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.call import Parameters
from quickstudy.functional.classes import class_counts, class_sums, pad_rows
from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.task import Examples, Input


@dataclasses.dataclass(eq=False, repr=False)
class BOIL(Learner):
    """State: every weight after adaptation, the head, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size of the inner loop, alpha.
        inner_steps: gradient steps on the support set; may be raised after training.
        first_order: leave out second derivatives.
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 0.1
    inner_steps: int = 1
    first_order: bool = False
    statistics: _weights.BatchStatistics = "support"

    head_ways: ClassVar[int | None] = None
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"

    def __post_init__(self) -> None:
        self.head = _weights.make_head(self)

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        body = {name: value for name, value in _weights.start(self, support, state).items() if name.startswith("net.")}
        head = self._prototypes(support, body, state)
        rates = dict.fromkeys(body, self.inner_lr) | dict.fromkeys(head, 0.0)
        return _weights.adapt(self, support, state, body | head, rates)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self, state, self.matched(x))

    def _prototypes(self, support: Examples, body: Parameters, state: State | None) -> Parameters:
        """Return the head that compares squared distances to class means; ways that only `state` saw keep theirs."""
        with batch_statistics(support.mask):
            features = _weights.features(self, body, support.x)
        y, weight = support.y.rows, support.weight
        counts = class_counts(y, weight).unsqueeze(-1)
        means = class_sums(features, y, weight) / counts.clamp(min=1.0)
        head = {"head.weight": 2 * means, "head.bias": -means.square().sum(-1)}
        if state is None:
            return head
        earlier = {name: pad_rows(state[name], counts.shape[0]) for name in head}
        seen = {"head.weight": counts > 0, "head.bias": counts.squeeze(-1) > 0}
        return {name: torch.where(seen[name], value, earlier[name]) for name, value in head.items()}
