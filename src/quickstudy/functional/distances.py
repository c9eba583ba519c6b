"""Distances between rows."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def squared_distances(a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
    """Return squared Euclidean distances, `[n, m]`, between rows `[n, feature]` and `[m, feature]`.

    By differences, not by `|a|^2 - 2ab + |b|^2`, which cancels badly in bfloat16 and for near rows.
    """
    return (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)


def distances(a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
    """Return Euclidean distances, `[n, m]`; at least 0.001, with no gradient if rows are nearer (the root of 0 has none)."""
    return squared_distances(a, b).clamp(min=1e-6).sqrt()
