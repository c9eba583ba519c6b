"""Batch normalisation by the batch at hand, whose second derivative takes as few passes over the data as its first.

Ioffe and Szegedy 2015, algorithm 1. torch's own second derivative is composed of about thirty passes; here its sums are folded into one
number per channel each, so that every derivative is a sum of at most three tensors times numbers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Axis = int | None


def standardize(
    x: Float[Tensor, " example channel *position"],
    weight: Float[Tensor, " channel"],
    bias: Float[Tensor, " channel"],
    eps: float,
) -> tuple[Float[Tensor, " example channel *position"], Float[Tensor, " channel"], Float[Tensor, " channel"]]:
    """Return `weight * (x - mean) / sqrt(var + eps) + bias`, with the mean and (biased) variance of each channel.

    Args:
        x: at least one value per channel.
        weight: scale of each channel.
        bias: shift of each channel.
        eps: added to the variance.

    Returns:
        The normalised `x`, and mean and variance `[channel]`, all with derivatives of every order.

    >>> y, mean, var = standardize(torch.tensor([[1.0], [3.0]]), torch.ones(1), torch.zeros(1), eps=0.0)
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[-1.0], [1.0]], [2.0], [1.0])
    """
    y, mean, inverse = _Standardize.apply(x, weight, bias, eps)  # pyright: ignore[reportGeneralTypeIssues]
    return y, mean, inverse.pow(-2) - eps


class _Standardize(torch.autograd.Function):
    """The normalised `x`, the mean, and one over the standard deviation."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        return _wide(torch.ops.aten.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps), weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight, _, ctx.eps = inputs
        _, mean, inverse = output
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, mean, inverse)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        grad, to_mean, to_inverse = grads
        x, weight, mean, inverse = ctx.saved_tensors
        channels = _Channels(x, axis=1)
        to_x, to_weight, to_bias = None, None, None
        if grad is not None:
            to_x, to_weight, to_bias = _Gradient.apply(grad, x, weight, mean, inverse, ctx.eps)  # pyright: ignore
        if to_mean is not None:
            to_x = (0 if to_x is None else to_x) + channels.spread(to_mean / channels.count).expand_as(x)
        if to_inverse is not None:  # d inverse / d x = -inverse^3 (x - mean) / count
            slope = -to_inverse * inverse**3 / channels.count
            to_x = (0 if to_x is None else to_x) + channels.combined((x, slope), constant=-mean * slope)
        return to_x, to_weight, to_bias, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Axis, ...], *args: Any) -> tuple[Any, Any]:
        x, weight, bias = _by_task(info.batch_size, in_dims, *args[:3])
        eps = args[3]
        channels = _Channels(x, axis=2)
        mean = channels.sum(x) / channels.count
        centred = x - channels.spread(mean)
        inverse = (channels.sum(centred.square()) / channels.count + eps).rsqrt()
        return (channels.combined((centred, inverse * weight), constant=bias), mean, inverse), (0, 0, 0)


class _Gradient(torch.autograd.Function):
    """Gradients with respect to `x`, weight and bias. With `z = (x - mean) * inverse` and sums over the `n` values of a channel:
    `weight * inverse * (grad - (sum(grad) + z * sum(grad * z)) / n)`, `sum(grad * z)` and `sum(grad)`.
    """

    @staticmethod
    def forward(grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor, eps: float) -> tuple[Tensor, ...]:
        wanted = (True, True, True)
        parts = torch.ops.aten.native_batch_norm_backward(grad, x, weight, None, None, mean, inverse, True, eps, wanted)
        return _wide(parts, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        grad, x, weight, mean, inverse, _ = inputs
        _, grad_z, grad_sum = output
        ctx.save_for_backward(grad, x, weight, mean, inverse, grad_z, grad_sum)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        """Return the gradients of `sum(v * dx) + to_weight * dweight + to_bias * dbias`; that of `x` has what goes through its moments."""
        v, to_weight, to_bias = grads
        grad, x, weight, mean, inverse, grad_z, grad_sum = ctx.saved_tensors
        channels = _Channels(x, axis=1)
        n, shift = channels.count, mean * inverse
        scale = weight * inverse / n
        v_sum, v_grad = channels.sum(v), channels.sum(v * grad)
        v_z = channels.sum(v * x) * inverse - v_sum * shift
        total = n * v_grad - v_sum * grad_sum - v_z * grad_z  # sum(v * dx) = scale * total
        by_z = to_weight - scale * v_z  # the gradient with respect to z is by_z * grad - scale * grad_z * v
        z_sum, z_z = by_z * grad_sum - scale * grad_z * v_sum, by_z * grad_z - scale * grad_z * v_z
        slope = -(z_z + scale * total) * inverse / n
        to_grad = channels.combined((v, n * scale), (x, by_z * inverse), constant=to_bias - scale * v_sum - by_z * shift)
        to_x = channels.combined(
            (grad, by_z * inverse),
            (v, -scale * grad_z * inverse),
            (x, slope * inverse),
            constant=-z_sum * inverse / n - slope * shift,
        )
        return to_grad, to_x, total * inverse / n, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Axis, ...], *args: Any) -> tuple[Any, Any]:
        grad, x, weight, mean, inverse = _by_task(info.batch_size, in_dims, *args[:5])
        channels = _Channels(x, axis=2)
        grad_sum = channels.sum(grad)
        grad_z = (channels.sum(grad * x) - grad_sum * mean) * inverse
        scale = weight * inverse / channels.count
        slope = -scale * grad_z * inverse
        to_x = channels.combined((grad, channels.count * scale), (x, slope), constant=-scale * grad_sum - slope * mean)
        return (to_x, grad_z, grad_sum), (0, 0, 0)


class _Channels:
    """Sums over, and numbers for, the channels of a tensor `[..., example, channel, *position]`; `axis` is that of the channels."""

    def __init__(self, like: Tensor, axis: int) -> None:
        self.axes = [axis - 1, *range(axis + 1, like.dim())]
        self.count = math.prod(like.shape[axis] for axis in self.axes)
        self.positions = (1,) * (like.dim() - axis - 1)

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum over each channel, `[..., channel]`."""
        return x.sum(self.axes)

    def spread(self, values: Tensor) -> Tensor:
        """Return `[..., channel]` as `[..., 1, channel, 1, 1]`."""
        return values.reshape(*values.shape[:-1], 1, values.shape[-1], *self.positions)

    def combined(self, *terms: tuple[Tensor, Tensor], constant: Tensor) -> Tensor:
        """Return the sum of tensors, each times a number per channel, and of a constant per channel."""
        result = self.spread(constant)
        for tensor, factor in terms:
            result = torch.addcmul(result, tensor, self.spread(factor))
        return result


def _wide(parts: tuple[Tensor, Tensor, Tensor], weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return numbers per channel in the weight's type, as kernels give them; when a graph is captured, torch says the images' type."""
    images, first, second = parts
    return images, first.to(weight.dtype), second.to(weight.dtype)


def _by_task(size: int, in_dims: tuple[Axis, ...], *tensors: Tensor) -> list[Tensor]:
    """Return the tensors with an axis of tasks first: that of `x`-like ones as long as there are tasks, that of others perhaps 1."""
    return [
        tensor.movedim(axis, 0)
        if axis is not None
        else tensor.unsqueeze(0).expand(size if tensor.dim() > 1 else 1, *tensor.shape)
        for tensor, axis in zip(tensors, in_dims, strict=False)
    ]
