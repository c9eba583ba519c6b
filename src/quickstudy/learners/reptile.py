"""Reptile: move the initial weights towards the weights that training on a task ends with. No query set, no second derivative.

Nichol, Achiam and Schulman 2018, "On First-Order Meta-Learning Algorithms", algorithm 1 (batched: eq. 17), with the inner loop of their
section 6: Adam with beta1 = 0, on mini-batches. The meta-gradient is `start - adapted`, so that an outer step of plain gradient descent
with rate epsilon is the paper's update. The authors' code never resets Adam's second moments, so that they are averages over the tasks
seen so far; `shared_adam` measures such averages every 100 steps. Deviation: head as in `maml`.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_at_least
from quickstudy.functional.call import Parameters
from quickstudy.functional.loop import repeat
from quickstudy.layers.inner_optimizer import InnerOptimizer, InnerOptimizerName
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.labels import MultiHot
from quickstudy.objectives.sequences import Tokens
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input, Task


@dataclasses.dataclass(eq=False, repr=False)
class Reptile(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`; for sequences to `[example, frame, feature]`.
        inner_lr: step size of the inner loop.
        inner_steps: mini-batch steps in meta-training, k.
        adapt_steps: mini-batch steps when adapting to a new task.
        inner_batch: examples per mini-batch, taken from the support set in its order, round and round.
        inner_optimizer: `adam` (with beta1 = 0, as in the paper), whose second moments begin at zero in each task; `shared_adam`, whose
            second moments begin at their averages over meta-training tasks, so that small gradients make small steps; or `sgd`.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task (of sequences, one that starts
            with learned rows for the blank, for the space, and for all symbols alike).
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 1e-3
    inner_steps: int = 5
    adapt_steps: int = 50
    inner_batch: int = 10
    inner_optimizer: InnerOptimizerName = "adam"
    head_ways: int | None = None
    statistics: _weights.BatchStatistics = "support"

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values, Tokens, MultiHot)
    order_free: ClassVar[bool] = False  # the mini-batches follow the order of the support set
    exact_gradient: ClassVar[bool] = False
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"
    trains_on_query: ClassVar[bool] = False
    meta_optimizer: ClassVar[Mapping[str, Any]] = {"optimizer": "sgd", "lr": 1.0, "schedule": "linear"}

    def __post_init__(self) -> None:
        check_at_least("adapt_steps", self.adapt_steps, 0)
        check_at_least("inner_batch", self.inner_batch, 1)
        self.head, self.ways = _weights.make_head(self), self.head_ways
        self.optimizer = InnerOptimizer(self.inner_optimizer, _weights.shapes(self))
        self.measured_every = self.optimizer.measured_every  # pyright: ignore[reportAttributeAccessIssue]

    def adapt(self, support: Examples, state: State | None = None) -> State:
        start, front, seen = self._begin(support, state)
        return _weights.to_state(self, self._train(start, front, seen, "adapt_steps")[0], front, seen)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example *frame output"]:
        return _weights.predict(self, state, self.matched(x))

    def loss(self, task: Task) -> Float[Tensor, ""]:
        """Return half the squared distance to the adapted weights, whose gradient is `start - adapted`."""
        start, front, seen = self._begin(task.support, None)
        adapted, _ = self._train({name: value.detach() for name, value in start.items()}, front, seen, "inner_steps")
        return torch.stack([(start[name] - adapted[name].detach()).square().sum() for name in start]).sum() / 2

    def calibrate(self, tasks: Iterable[Task]) -> None:
        """Measure the second moments of `shared_adam`."""
        begun = (self._begin(self.matched(task.support), None) for task in tasks if self.measured_every)
        self.optimizer.measure((self._train(*one, "inner_steps")[1] for one in begun), self.inner_steps)

    def _begin(self, support: Examples, state: State | None) -> tuple[Parameters, _weights.Front, State]:
        """Return the weights at the beginning, the support set after what stays frozen, and how often each way was seen."""
        support = self.matched(support)
        start = _weights.check_moves(_weights.start(self, support, state))
        return start, _weights.pass_front(self, support, start, in_batches=True), _weights.counted(support, state)

    def _train(self, weights: Parameters, front: _weights.Front, seen: State, steps: str) -> tuple[Parameters, Parameters]:
        """Return weights and second moments after as many mini-batches as the hyperparameter `steps` says."""

        def step(index: int | Tensor, carried: tuple[Parameters, Parameters]) -> tuple[Parameters, Parameters]:
            batch = _weights.mini_batch(front.support, index, self.inner_batch)
            gradients = torch.func.grad(lambda weights: _weights.loss(self, weights, batch, seen, front.depth))(carried[0])
            return self.optimizer.step(carried[0], gradients, carried[1], self.inner_lr, index)

        return repeat(step, (weights, self.optimizer.begin(weights)), getattr(self, steps), steps)
