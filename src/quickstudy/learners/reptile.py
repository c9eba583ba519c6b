"""Reptile: move the initial weights towards the weights that training on a task ends with. No query set, no second derivative.

Nichol, Achiam and Schulman 2018, "On First-Order Meta-Learning Algorithms", algorithm 1 (batched: eq. 17), with the inner loop of their
section 6: Adam with beta1 = 0, on mini-batches. The meta-gradient is `start - adapted`, so that an outer step of plain gradient descent
with rate epsilon is the paper's update. Deviation: head as in `maml`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from quickstudy.errors import check_at_least, check_choice
from quickstudy.functional.call import Parameters
from quickstudy.functional.loop import repeat
from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.layers.check import check_net
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.task import Examples, Input, Task


class Reptile(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size of the inner loop.
        inner_steps: mini-batch steps in meta-training, k.
        adapt_steps: mini-batch steps when adapting to a new task.
        inner_batch: examples per mini-batch, taken from the support set in its order, round and round.
        inner_optimizer: `adam` (with beta1 = 0, as in the paper) or `sgd`.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task.
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
        objective: `classification` (cross-entropy) or `regression` (squared error).
    """

    order_free: ClassVar[bool] = False  # the mini-batches follow the order of the support set
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    trains_on_query: ClassVar[bool] = False
    meta_optimizer: ClassVar[Mapping[str, Any]] = {"optimizer": "sgd", "lr": 1.0, "schedule": "linear"}

    statistics: _weights.BatchStatistics
    objective: _weights.Objective

    def __init__(
        self,
        net: nn.Module,
        inner_lr: float = 1e-3,
        inner_steps: int = 5,
        adapt_steps: int = 50,
        inner_batch: int = 10,
        inner_optimizer: Literal["adam", "sgd"] = "adam",
        head_ways: int | None = None,
        statistics: _weights.BatchStatistics = "support",
        objective: _weights.Objective = "classification",
    ) -> None:
        super().__init__()
        _weights.check_hyperparameters(statistics, objective, inner_lr, inner_steps)
        check_at_least("adapt_steps", adapt_steps, 0)
        check_at_least("inner_batch", inner_batch, 1)
        check_choice("inner_optimizer", inner_optimizer, ("adam", "sgd"))
        self.net, self.head = check_net(net), _weights.make_head(net, head_ways)
        self.inner_lr, self.inner_steps, self.adapt_steps = inner_lr, inner_steps, adapt_steps
        self.inner_batch, self.inner_optimizer, self.head_ways = inner_batch, inner_optimizer, head_ways
        self.statistics, self.objective = statistics, objective

    def adapt(self, support: Examples, state: State | None = None) -> State:
        seen = _weights.counted(self.objective, support, state)
        adapted = self._train(self._start(support, state), support, seen, "adapt_steps")
        if self.statistics == "support":
            adapted |= _weights.support_statistics(self.net, adapted, support)
        return adapted | seen

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self.net, self.statistics, state, x)

    def loss(self, task: Task) -> Float[Tensor, ""]:
        """Half the squared distance to the adapted weights, whose gradient is `start - adapted`."""
        start = self._start(task.support, None)
        detached = {name: value.detach() for name, value in start.items()}
        seen = _weights.counted(self.objective, task.support, None)
        adapted = self._train(detached, task.support, seen, "inner_steps")
        return sum(((start[name] - adapted[name].detach()).square().sum() for name in start), torch.zeros(())) / 2

    def criterion(self, prediction: Float[Tensor, "example output"], query: Examples) -> Float[Tensor, ""]:
        return _weights.objective_loss(self.objective, prediction, query)

    @property
    def protocol(self) -> str:
        return _weights.protocol(self.net, self.statistics)

    def _start(self, support: Examples, state: State | None) -> Parameters:
        return _weights.start_net(self.net, state) | _weights.start_head(self.head, self.net, support, state)

    def _train(
        self, weights: Parameters, support: Examples, seen: State, steps: Literal["inner_steps", "adapt_steps"]
    ) -> Parameters:
        """The weights after as many mini-batches as the hyperparameter `steps` says; ways that `seen` does not count are hidden."""

        def train_step(index: int | Tensor, carried: tuple[Parameters, Parameters]) -> tuple[Parameters, Parameters]:
            weights, second_moments = carried
            batch = self._mini_batch(support, index)

            def batch_loss(weights: Parameters) -> Tensor:
                with batch_statistics(batch.mask):
                    prediction = _weights.outputs(self.net, weights, batch.x)
                    return self.criterion(_weights.hide_unseen(prediction, seen), batch)

            return self._update(weights, torch.func.grad(batch_loss)(weights), second_moments, index + 1)

        second_moments = {name: torch.zeros_like(value) for name, value in weights.items()}
        return repeat(train_step, (weights, second_moments), getattr(self, steps), steps)[0]

    def _mini_batch(self, support: Examples, step: int | Tensor) -> Examples:
        """The examples of a step, round and round. Padding takes no place, so that it changes nothing."""
        count = support.y.shape[0]
        if support.mask is None and isinstance(count, int):
            place = torch.arange(min(self.inner_batch, count), device=support.y.device)
            rows = (place + step * len(place)) % count
            return tree_map(lambda leaf: leaf[rows], support)
        place = torch.arange(self.inner_batch, device=support.y.device)
        real = support.weight.sum().long().clamp(min=1)
        fits = torch.minimum(real, torch.ones_like(place).sum())  # tensors, so that both may differ from task to task
        rows = (place + step * fits) % real
        if support.mask is not None:
            rows = torch.argsort(support.weight, descending=True, stable=True)[rows]
        batch = tree_map(lambda leaf: leaf[rows], dataclasses.replace(support, mask=None))
        mask = place < fits
        return dataclasses.replace(batch, mask=mask if support.mask is None else mask & support.mask[rows])

    def _update(
        self, weights: Parameters, gradients: Parameters, moments: Parameters, step: int | Tensor
    ) -> tuple[Parameters, Parameters]:
        if self.inner_optimizer == "sgd":
            return {name: value - self.inner_lr * gradients[name] for name, value in weights.items()}, moments
        beta2 = 0.999
        moments = {name: beta2 * value + (1 - beta2) * gradients[name].square() for name, value in moments.items()}
        corrected = {name: (value / (1 - beta2**step)).sqrt() + 1e-8 for name, value in moments.items()}
        return {name: value - self.inner_lr * gradients[name] / corrected[name] for name, value in weights.items()}, moments
