"""Distances between rows, chosen by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Distance = Literal["squared", "euclidean", "cosine", "manhattan"]
"""Names of distances, the keys of `DISTANCES`."""


def squared_distances(a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
    """Return squared Euclidean distances, `[n, m]`, between rows `[n, feature]` and `[m, feature]`.

    By differences, not by `|a|^2 - 2ab + |b|^2`, which cancels badly in bfloat16 and for near rows.
    """
    return (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)


def distances(a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
    """Return Euclidean distances, `[n, m]`; at least 0.001, with no gradient if rows are nearer (the root of 0 has none)."""
    return squared_distances(a, b).clamp(min=1e-6).sqrt()


def cosine_distances(a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
    """Return 1 minus the cosine of the angle between rows, `[n, m]`, from 0 to 2."""
    return 1 - unit(a) @ unit(b).t()


def manhattan_distances(a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
    """Return sums of absolute differences, `[n, m]`: the 1-norm."""
    return (a.unsqueeze(1) - b.unsqueeze(0)).abs().sum(-1)


def unit(rows: Float[Tensor, "n feature"]) -> Float[Tensor, "n feature"]:
    """Return rows of length 1; a row of zeros, which has no direction, stays near zero."""
    return rows / rows.square().sum(-1, keepdim=True).clamp(min=max(1e-12, torch.finfo(rows.dtype).tiny)).sqrt()


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": squared_distances,
    "euclidean": distances,
    "cosine": cosine_distances,
    "manhattan": manhattan_distances,
}
"""Functions of two sets of rows, by the names of `Distance`."""
