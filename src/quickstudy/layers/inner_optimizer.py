"""InnerOptimizer: how gradient steps of an inner loop move weights, and what of it all tasks share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from quickstudy.errors import check_choice
from quickstudy.functional.call import Parameters
from quickstudy.functional.descent import BETA2, adam, sgd

InnerOptimizerName = Literal["adam", "shared_adam", "sgd"]
MEASURED_EVERY = 100
"""Number of steps between two measurements of the second moments of `shared_adam`."""


class InnerOptimizer(nn.Module):
    """Plain gradient descent, or Adam without momentum (beta1 = 0), whose second moments begin at zero in each task or are shared.

    Shared ones begin at averages over tasks, as in the authors' code of Reptile, which never resets them. They are buffers, and are
    measured; as long as they are not, second moments begin at zero.

    Args:
        name: `adam`, `shared_adam` or `sgd`.
        shapes: sizes of the second moments by the names of the weights; an axis of length 1 is shared along that axis of the weight.

    >>> optimizer = InnerOptimizer("sgd", {})
    >>> weights = {"w": torch.ones(1)}
    >>> optimizer.step(weights, {"w": torch.ones(1)}, optimizer.begin(weights), 0.25, 0)[0]
    {'w': tensor([0.7500])}
    """

    def __init__(self, name: InnerOptimizerName, shapes: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        check_choice("inner_optimizer", name, get_args(InnerOptimizerName))
        self.name, self.measured_every = name, MEASURED_EVERY if name == "shared_adam" else None
        self._keys = {weight: weight.replace(".", "/") for weight in shapes} if self.measured_every else {}
        for weight, key in self._keys.items():
            self.register_buffer(key, torch.zeros(tuple(shapes[weight])))
        if self._keys:
            self.measured: Tensor
            self.register_buffer("measured", torch.zeros(()))

    def begin(self, weights: Parameters) -> Parameters:
        """Return the second moments with which a task begins."""
        if not self._keys:
            return {name: torch.zeros_like(value) for name, value in weights.items()}
        return {name: self.get_buffer(self._keys[name]).expand_as(value) for name, value in weights.items()}

    def step(
        self, weights: Parameters, gradients: Parameters, moments: Parameters, rate: float | Tensor, index: int | Tensor
    ) -> tuple[Parameters, Parameters]:
        """Return weights and second moments after the step of an index, which begins at 0."""
        if self.name == "sgd":
            return sgd(weights, gradients, rate), moments
        count: int | Tensor = index + 1
        if self._keys:  # averages over many steps need no correction for a beginning at zero
            count = torch.where(self.measured > 0, torch.inf, count)
        return adam(weights, gradients, moments, rate, count)

    @torch.no_grad()
    def measure(self, ended: Iterable[Parameters], steps: int) -> None:
        """Average second moments over tasks, each of which ended with its own after some steps; nothing where none are shared.

        A measurement counts in the average with earlier ones as all its steps do under Adam's beta2.
        """
        ended = list(ended)
        if not self._keys or not ended:
            return
        share = torch.where(self.measured > 0, 1 - BETA2 ** (len(ended) * steps), 1.0)
        for name, key in self._keys.items():
            if name in ended[0]:
                value = self.get_buffer(key)
                squares = [((moments[name] - BETA2**steps * value) / (1 - BETA2**steps)).clamp(min=0) for moments in ended]
                value.lerp_(torch.stack(squares).mean(0).sum_to_size(value.shape) * value.numel() / squares[0].numel(), share)
        self.measured.fill_(1.0)
