"""Reptile: move the initial weights towards the weights that training on a task ends with. No query set, no second derivative.

Nichol, Achiam and Schulman 2018, "On First-Order Meta-Learning Algorithms", algorithm 1 (batched: eq. 17), with the inner loop of their
section 6: Adam with beta1 = 0, on mini-batches. The meta-gradient is `start - adapted`, so that an outer step of plain gradient descent
with rate epsilon is the paper's update. The authors' code never resets Adam's second moments, so that they are averages over the tasks
seen so far; `shared_adam` measures these averages every 100 steps. Deviation: head as in `maml`.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_at_least, check_choice
from quickstudy.functional.call import Parameters
from quickstudy.functional.descent import BETA2, adam, sgd
from quickstudy.functional.features import feature_count
from quickstudy.functional.loop import repeat
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input, Task

MEASURED_EVERY = 100
"""Number of steps between two measurements of the second moments of `shared_adam`."""


@dataclasses.dataclass(eq=False, repr=False)
class Reptile(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size of the inner loop.
        inner_steps: mini-batch steps in meta-training, k.
        adapt_steps: mini-batch steps when adapting to a new task.
        inner_batch: examples per mini-batch, taken from the support set in its order, round and round.
        inner_optimizer: `adam` (with beta1 = 0, as in the paper), whose second moments begin at zero in each task; `shared_adam`, whose
            second moments begin at their averages over meta-training tasks, so that small gradients make small steps; or `sgd`.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task.
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 1e-3
    inner_steps: int = 5
    adapt_steps: int = 50
    inner_batch: int = 10
    inner_optimizer: Literal["adam", "shared_adam", "sgd"] = "adam"
    head_ways: int | None = None
    statistics: _weights.BatchStatistics = "support"

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    order_free: ClassVar[bool] = False  # the mini-batches follow the order of the support set
    exact_gradient: ClassVar[bool] = False
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"
    trains_on_query: ClassVar[bool] = False
    meta_optimizer: ClassVar[Mapping[str, Any]] = {"optimizer": "sgd", "lr": 1.0, "schedule": "linear"}

    def __post_init__(self) -> None:
        check_at_least("adapt_steps", self.adapt_steps, 0)
        check_at_least("inner_batch", self.inner_batch, 1)
        check_choice("inner_optimizer", self.inner_optimizer, ("adam", "shared_adam", "sgd"))
        self.head, self.ways = _weights.make_head(self), self.head_ways
        if self.inner_optimizer == "shared_adam":
            self.measured_every = MEASURED_EVERY  # pyright: ignore[reportAttributeAccessIssue]
            self.moments = nn.Module()
            for name, value in self._rows().items():
                self.moments.register_buffer(_weights.key_of(name), torch.zeros_like(value))
            self.measured: Tensor
            self.register_buffer("measured", torch.zeros(()))

    def adapt(self, support: Examples, state: State | None = None) -> State:
        start, front, seen = self._begin(support, state)
        return _weights.to_state(self, self._train(start, front, seen, "adapt_steps"), front, seen)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self, state, self.matched(x))

    def loss(self, task: Task) -> Float[Tensor, ""]:
        """Return half the squared distance to the adapted weights, whose gradient is `start - adapted`."""
        start, front, seen = self._begin(task.support, None)
        adapted = self._train({name: value.detach() for name, value in start.items()}, front, seen, "inner_steps")
        first, *others = ((start[name] - adapted[name].detach()).square().sum() for name in start)
        return sum(others, first) / 2

    @torch.no_grad()
    def calibrate(self, tasks: Iterable[Task]) -> None:
        """Measure the second moments of `shared_adam`: mean squared gradients of mini-batches over the steps of all tasks."""
        found = [self._measured(self.matched(task)) for task in tasks] if self.inner_optimizer == "shared_adam" else []
        if not found:
            return
        share = torch.where(
            self.measured > 0, 1 - BETA2 ** (len(found) * self.inner_steps), 1.0
        )  # of these steps in the average
        for key, value in self.moments.named_buffers():
            if (name := _weights.name_of(key)) in found[0]:
                value.lerp_(torch.stack([moments[name] for moments in found]).mean(0), share)
        self.measured.fill_(1.0)

    def _measured(self, task: Task) -> Parameters:
        """Return the mean squared gradients of one task's steps, those of a head that starts at zero as one row."""
        start, front, seen = self._begin(task.support, None)
        before = self._moments(start)
        _, moments = self._trained(start, front, seen, "inner_steps")
        kept = BETA2**self.inner_steps
        squares = {name: ((value - kept * before[name]) / (1 - kept)).clamp(min=0) for name, value in moments.items()}
        rows = self._rows()
        return {
            name: value if value.shape == rows[name].shape else value.mean(0, keepdim=True) for name, value in squares.items()
        }

    def _rows(self) -> Parameters:
        """Return tensors of the shapes that second moments have; a head that starts at zero has one row for all ways."""
        net = {f"net.{name}": value.detach() for name, value in self.net.named_parameters()}
        if self.head is not None:
            return net | {f"head.{name}": value.detach() for name, value in self.head.named_parameters()}
        features = feature_count(self.net)
        return net | {"head.weight": torch.zeros(1, features), "head.bias": torch.zeros(1)}

    def _moments(self, weights: Parameters) -> Parameters:
        """Return the second moments with which a task begins."""
        if self.inner_optimizer != "shared_adam":
            return {name: torch.zeros_like(value) for name, value in weights.items()}
        known = dict(self.moments.named_buffers())
        return {name: known[_weights.key_of(name)].expand_as(value) for name, value in weights.items()}

    def _begin(self, support: Examples, state: State | None) -> tuple[Parameters, _weights.Front, State]:
        """Return the weights at the beginning, the support set after what stays frozen, and how often each way was seen."""
        support = self.matched(support)
        start = _weights.check_moves(_weights.start(self, support, state))
        return start, _weights.pass_front(self, support, start, in_batches=True), _weights.counted(support, state)

    def _train(self, weights: Parameters, front: _weights.Front, seen: State, steps: str) -> Parameters:
        """Return the weights after as many mini-batches as the hyperparameter `steps` says."""
        return self._trained(weights, front, seen, steps)[0]

    def _trained(self, weights: Parameters, front: _weights.Front, seen: State, steps: str) -> tuple[Parameters, Parameters]:
        """Return the weights and Adam's second moments after as many mini-batches as the hyperparameter `steps` says."""

        def step(index: int | Tensor, carried: tuple[Parameters, Parameters]) -> tuple[Parameters, Parameters]:
            batch = _weights.mini_batch(front.support, index, self.inner_batch)
            gradients = torch.func.grad(lambda weights: _weights.loss(self, weights, batch, seen, front.depth))(carried[0])
            if self.inner_optimizer == "sgd":
                return sgd(carried[0], gradients, self.inner_lr), carried[1]
            count: int | Tensor = index + 1
            if self.inner_optimizer == "shared_adam":  # averages over many steps need no correction
                count = torch.where(self.measured > 0, torch.inf, count)
            return adam(carried[0], gradients, carried[1], self.inner_lr, count)

        return repeat(step, (weights, self._moments(weights)), getattr(self, steps), steps)
