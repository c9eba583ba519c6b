"""Outer optimizers by name: those of torch, and Muon for matrices beside AdamW for all else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

LEAST = {"side": 16}
"""Number of rows and of columns from which a matrix counts as one for Muon: embeddings of a few numbers, and heads of a few classes, have
fewer."""


class MuonAdamW(torch.optim.Optimizer):
    """Muon for matrices, AdamW for every other parameter, both with one learning rate.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": the momentum of a matrix is made orthogonal before
    it is added. The step is scaled to the size of AdamW's, so that one learning rate fits both (Liu et al. 2025, "Muon is Scalable
    for LLM Training", section 2.2).

    Args:
        params: parameters, or one group of them as a dict with the key `params`.
        lr: learning rate.
        weight_decay: subtracted with each step, as a part of the parameters and of `lr`.

    >>> layer = torch.nn.Linear(32, 16)
    >>> [len(group["params"]) for group in MuonAdamW(layer.parameters(), lr=1e-3).param_groups]
    [1, 1]
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[Mapping[str, Any]], lr: float = 1e-3, weight_decay: float = 0.0
    ) -> None:
        given: list[Any] = list(params)
        flat = [value for one in given for value in (one["params"] if isinstance(one, Mapping) else (one,))]
        matrices = [value for value in flat if value.dim() == 2 and min(value.shape) >= LEAST["side"]]
        others = [value for value in flat if all(value is not matrix for matrix in matrices)]
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(torch.optim.Muon(matrices, lr, weight_decay, adjust_lr_fn="match_rms_adamw"))
        if others or not matrices:
            self.parts.append(torch.optim.AdamW(others, lr, weight_decay=weight_decay))
        super().__init__([dict(group) for part in self.parts for group in part.param_groups], {})

    def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Do a step of both; they work on the parameters, rates and moments of this object, also after these were loaded."""
        loss = None if closure is None else closure()
        for part, group in zip(self.parts, self.param_groups, strict=True):
            part.param_groups, part.state = [group], self.state
            part.step()
        return loss


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "muon": MuonAdamW,
}
