"""Implicit MAML: learn where weights start that stay near the start, and differentiate where they end without looking back.

Rajeswaran, Finn, Kakade and Levine 2019, "Meta-Learning with Implicit Gradients", algorithms 1 and 2: the inner loop minimises the loss
plus `lambda / 2 |phi - theta|^2` (eq. 3) by gradient descent, and conjugate gradients solve for the meta-gradient (eq. 6), whatever the
number of steps. Deviations: the system that they solve is damped, as it is in the authors' code though not in the paper; head and
statistics as in `maml`, and the statistics of batch norm are differentiated as they are there.
"""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_above, check_at_least
from quickstudy.functional.implicit import Solver, nearby_minimum
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input


@dataclasses.dataclass(eq=False, repr=False)
class ImplicitMAML(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Memory in meta-training does not grow with the number of inner steps.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size of the inner loop.
        inner_steps: gradient steps on the support set. The nearer they come to the minimum, the nearer the meta-gradient is to the
            derivative of the loss.
        proximity: weight of the squared distance to the start, lambda; above 0.
        solver_steps: steps of conjugate gradients for each meta-gradient; with 0, it is the first-order one.
        damping: added to `proximity` where the meta-gradient is solved for, 0 or more; the default is that of the authors' code. With 0
            the meta-gradient is that of eq. 6, which can be very large where the loss of the support set curves downwards.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task.
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 0.1
    inner_steps: int = 16
    proximity: float = 1.0
    solver_steps: int = 5
    damping: float = 10.0
    head_ways: int | None = None
    statistics: _weights.BatchStatistics = "support"

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    exact_gradient: ClassVar[bool] = False  # it is that of the minimum, which the inner loop only comes near to
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"

    def __post_init__(self) -> None:
        check_above("proximity", self.proximity, 0)
        check_at_least("solver_steps", self.solver_steps, 0)
        check_at_least("damping", self.damping, 0)
        self.head, self.ways = _weights.make_head(self), self.head_ways

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        start, seen = _weights.check_moves(_weights.start(self, support, state)), _weights.counted(support, state)
        front = _weights.pass_front(self, support, start)
        adapted = nearby_minimum(
            lambda weights: _weights.loss(self, weights, front.support, seen, front.depth),
            start,
            proximity=self.proximity,
            inner_lr=self.inner_lr,
            steps=self.inner_steps,
            solver=Solver(self.solver_steps, self.damping),
        )
        return _weights.to_state(self, adapted, front, seen)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self, state, self.matched(x))
