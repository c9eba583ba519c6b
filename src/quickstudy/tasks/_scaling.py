"""Scaling of a task's inputs by its own support set, in torch; the numbers are those of `TableSpec.fitted_to`."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.inputs.table import BOUND
from quickstudy.task import Examples


def scaled_by_support(support: Examples, query: Examples) -> tuple[Examples, Examples]:
    """Return both sets with inputs whose mean is 0 and whose standard deviation is 1 over the support set of their task.

    Numbers that are the same in the whole support set are only moved. What is cut off lies beyond the bound of `TableSpec`.

    Args:
        support: support sets of some tasks, whose inputs are `[task, example, *shape]`.
        query: query sets of the same tasks.

    >>> from quickstudy.objectives.classes import OneHot
    >>> support = Examples(torch.tensor([[[1.0], [3.0]]]), OneHot(torch.eye(2)[None]))
    >>> query = Examples(torch.tensor([[[4.0]]]), OneHot(torch.tensor([[[1.0, 0.0]]])))
    >>> [part.x.flatten().tolist() for part in scaled_by_support(support, query)]
    [[-1.0, 1.0], [2.0]]
    """
    x, mask = support.x, support.mask
    assert isinstance(x, Tensor)  # rows of a table have a single part
    assert isinstance(query.x, Tensor)
    there = torch.ones(x.shape[:2]) if mask is None else mask.to(x.dtype)
    weight = (there / there.sum(1, keepdim=True)).reshape(*x.shape[:2], *(1 for _ in x.shape[2:]))
    mean = (weight * x).sum(1, keepdim=True)
    spread = (weight * (x - mean).square()).sum(1, keepdim=True).sqrt()
    spread = torch.where(spread > BOUND["same"] * mean.abs().clamp(min=1.0), spread, 1.0)
    return (
        dataclasses.replace(support, x=_scaled(x, mean, spread)),
        dataclasses.replace(query, x=_scaled(query.x, mean, spread)),
    )


def _scaled(
    x: Float[Tensor, "task example *shape"], mean: Float[Tensor, "task 1 *shape"], spread: Float[Tensor, "task 1 *shape"]
) -> Float[Tensor, "task example *shape"]:
    """Return `(x - mean) / spread` within the bound."""
    return ((x - mean) / spread).clamp(-BOUND["spreads"], BOUND["spreads"])
