"""Losses of one task, weighted so that padding does not count."""

from __future__ import annotations

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def weighted_mean(values: Float[Tensor, " example"], weight: Float[Tensor, " example"]) -> Float[Tensor, ""]:
    """Return the mean of `values` `[example]` under `weight` `[example]` (0 for padding)."""
    return (values * weight).sum() / weight.sum().clamp(min=1e-12)


def cross_entropy(
    logits: Float[Tensor, "example way"], y: Float[Tensor, "example way"], weight: Float[Tensor, " example"]
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy, in nats: `-sum_way y log softmax(logits)`.

    Args:
        logits: `[example, way]`.
        y: one-hot (or soft) targets, `[example, way]`.
        weight: 0 for padding, `[example]`.
    """
    return weighted_mean(-(y * F.log_softmax(logits, dim=-1)).sum(-1), weight)


def squared_error(
    prediction: Float[Tensor, "example output"], y: Float[Tensor, "example output"], weight: Float[Tensor, " example"]
) -> Float[Tensor, ""]:
    """Return the mean squared error over examples and outputs, for `[example, output]` predictions and targets."""
    return weighted_mean((prediction - y).square().mean(-1), weight)


def normal_log_likelihood(
    y: Float[Tensor, " *shape"], mean: Float[Tensor, " *shape"], spread: Float[Tensor, " *shape"]
) -> Float[Tensor, " *shape"]:
    """Return the log-density of `y`, in nats, under normal distributions with these means and standard deviations (above 0).

    >>> import torch
    >>> normal_log_likelihood(torch.zeros(1), torch.zeros(1), torch.ones(1))
    tensor([-0.9189])
    """
    return -((y - mean) / spread).square() / 2 - spread.log() - math.log(2 * math.pi) / 2
