"""Compose operations that this target has no kernel for of others, so that one pass over the examples computes each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import get_decompositions

from quickstudy.export.trace import decompositions

aten = torch.ops.aten

ACTIVATIONS = ("elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "silu")
"""Functions that are composed of others, with their derivatives."""


def table() -> decompositions.Table:
    """Return the table that leaves core operations, with reductions and normalisations spelled out."""
    return {
        **decompositions.core(),
        **get_decompositions(
            [operation for name in ACTIVATIONS for operation in (getattr(aten, name), getattr(aten, f"{name}_backward"))]
        ),
        aten.var.correction: lambda x, dim=None, **options: _var_mean(x, dim, **options)[0],
        aten.var_mean.correction: _var_mean,
        aten.mean.default: _mean,
        aten.mean.dim: _mean,
        aten._log_softmax.default: _log_softmax,
        aten._softmax.default: lambda x, dim, half: torch.exp(_log_softmax(x, dim, half)),
        aten.sigmoid_backward.default: lambda grad, y: grad * (y * (1 - y)),
        aten.tanh_backward.default: lambda grad, y: grad * (1 - y * y),
        **{
            operation: _without_alpha(operation)
            for operation in (aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar)
        },
        aten.split_with_sizes.default: _split,
        aten.addmm.default: lambda bias, a, b, *, beta=1, alpha=1: a @ b * alpha + bias * beta,
    }


def _without_alpha(operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Write a sum or difference with `alpha` as a product of its own."""

    def composed(a: Tensor, b: Any, alpha: Any = None) -> Tensor:
        return NotImplemented if alpha is None else operation(a, b * alpha)

    return composed


def _split(x: Tensor, sizes: Sequence[int], dim: int = 0) -> list[Tensor]:
    """Return the pieces of a tensor along an axis, each as a slice."""
    ends = list(itertools.accumulate(sizes))
    return [aten.slice.Tensor(x, dim, end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _mean(x: Tensor, dim: Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    axes = list(range(x.dim())) if not dim else list(dim)
    return x.sum(axes, keepdim=keepdim) / math.prod(x.shape[axis] for axis in axes)


def _var_mean(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    axes = list(range(x.dim())) if not dim else list(dim)
    count = math.prod(x.shape[axis] for axis in axes)
    mean = x.sum(axes, keepdim=True) / count
    var = (x - mean).square().sum(axes, keepdim=keepdim) / (count - (1 if correction is None else correction))
    return var, mean if keepdim else mean.sum(axes)


def _log_softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    shifted = x - x.amax(dim, keepdim=True)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()
