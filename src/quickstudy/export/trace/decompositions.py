"""Compose operations that a target does not know of others: tables for `make_fx`, from operation to function.

Gradients reach a captured graph as backward operations, which are torch's own. The table of `onnx` makes them ordinary convolutions, sums
and scatters, chosen for speed in onnxruntime. The table of `core` keeps the backward operations of convolution and max-pooling, for a
target that has kernels for them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

from quickstudy.errors import ModelError
from quickstudy.export.facts import having

Table = Mapping[Any, Callable[..., Any]]
Pair = Sequence[int]

aten = torch.ops.aten


@dataclasses.dataclass(frozen=True)
class _Convolution:
    """Options of a convolution over two axes."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


@dataclasses.dataclass(frozen=True)
class _Pooling:
    """Options of an average pooling over two axes, as torch gives them."""

    kernel: Pair
    stride: Pair = ()
    padding: Pair = (0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None

    @property
    def step(self) -> Pair:
        """Return the stride; torch leaves it empty where it is the kernel's size."""
        return list(self.stride) or list(self.kernel)

    def windows(self, size: int, axis: int) -> int:
        """Return the number of windows along an axis; with `ceil_mode` the last may reach over the edge, if it does not begin there."""
        room, step = size + 2 * self.padding[axis] - self.kernel[axis], self.step[axis]
        count = (-(-room // step) if self.ceil_mode else room // step) + 1
        return count - 1 if self.ceil_mode and (count - 1) * step >= size + self.padding[axis] else count

    def reach(self, count: int, axis: int) -> int:
        """Return how many places along an axis so many windows span."""
        return (count - 1) * self.step[axis] + self.kernel[axis]

    def margins(self, x: Tensor, counts: Pair) -> list[int]:
        """Return what the windows span beyond `x` (left, right, top, bottom); negative where they leave something out."""
        over = [self.reach(counts[axis], axis) - x.shape[2 + axis] - self.padding[axis] for axis in (0, 1)]
        return [self.padding[1], over[1], self.padding[0], over[0]]

    def shares(self, x: Tensor, counts: Pair) -> Tensor | float:
        """Return one divided by the places that count in each window, `[row, column]`; a number where all windows are alike."""
        within = all(self.reach(counts[axis], axis) <= x.shape[2 + axis] + 2 * self.padding[axis] for axis in (0, 1))
        if self.divisor or (within and (self.count_include_pad or not any(self.padding))):
            return 1.0 / (self.divisor or self.kernel[0] * self.kernel[1])
        sizes = []
        for axis in (0, 1):
            first = torch.arange(counts[axis]) * self.step[axis] - self.padding[axis]
            border = self.padding[axis] if self.count_include_pad else 0
            sizes.append((first + self.kernel[axis]).clamp(max=x.shape[2 + axis] + border) - first.clamp(min=-border))
        return 1.0 / (sizes[0].view(-1, 1) * sizes[1]).to(x.dtype)


def core() -> Table:
    """Return the table that leaves torch's core operations, and the backward operations of convolution and max-pooling."""
    table = dict(core_aten_decompositions())
    table |= get_decompositions(
        [
            aten._batch_norm_with_update,
            aten._log_softmax_backward_data,
            aten._native_batch_norm_legit,
            aten._native_batch_norm_legit.no_stats,
            aten._softmax_backward_data,
            aten.batch_norm_backward,
            aten.mse_loss_backward,
            aten.native_batch_norm,
            aten.native_batch_norm_backward,
            aten.native_group_norm,
            aten.native_group_norm_backward,
            aten.native_layer_norm,
            aten.native_layer_norm_backward,
            aten.rsub,
        ]
    )
    table[aten.threshold_backward.default] = _threshold_backward
    table[aten.empty_permuted.default] = lambda size, order, **options: torch.zeros(size, dtype=options.get("dtype"))
    table[aten.native_batch_norm.default] = _batch_norm(table[aten.native_batch_norm.default])
    table[aten.native_batch_norm_backward.default] = _batch_norm_backward(table[aten.native_batch_norm_backward.default])
    table[aten.pow.Scalar] = _power
    table[aten.addcmul.default] = _add_product
    for kept in (aten.max_pool2d_with_indices.default, aten.convolution_backward.default):
        table.pop(kept, None)
    return table


def onnx() -> Table:
    """Return the table that leaves only operations that ONNX has."""
    table = dict(core())
    table.pop(aten.squeeze.dim, None)  # which `_squeeze` is composed of
    return {
        **table,
        aten.convolution_backward.default: _convolution_backward,
        aten.max_pool2d_with_indices_backward.default: _max_pool2d_backward,
        aten.avg_pool2d.default: _avg_pool2d,
        aten.avg_pool2d_backward.default: _avg_pool2d_backward,
        aten.squeeze.dims: _squeeze,
        aten.var_mean.correction: _variance_and_mean,
    }


def _squeeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Remove these axes one by one, from the last, where they have length 1."""
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.squeeze(axis)
    return x


def _variance_and_mean(
    x: Tensor, axes: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean over some axes (None is all), by two means."""
    axes = list(range(x.dim())) if axes is None else list(axes)
    mean = x.mean(axes, keepdim=True)
    variance = (x - mean).square().mean(axes, keepdim=keepdim)
    if correction != 0:
        count = math.prod(x.shape[axis] for axis in axes)
        variance = variance * (count / (count - (1 if correction is None else correction)))
    return variance, mean if keepdim else mean.squeeze(axes)


def _power(base: float, exponent: Tensor) -> Tensor:
    """Return a power in floating point, also of a whole exponent, whose type ONNX would give to the result."""
    return aten.pow.Tensor_Tensor(torch.full((), base), exponent.to(torch.get_default_dtype()))


def _add_product(start: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
    """Add `start` last, and leave out a factor of 1: so runtimes see a convolution, a scale and a shift, which they compute as one."""
    product = a * b
    return (product if value == 1 else product * value) + start


def _batch_norm(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Return batch norm by the batch's own statistics as one product and one sum per value, which is how torch's kernel computes it.

    Args:
        otherwise: computes every other batch norm.
    """

    def normalised(x: Tensor, weight: Any, bias: Any, mean: Any, *rest: Any) -> tuple[Tensor, ...]:
        _, training, _, eps = rest
        if not training or mean is not None or weight is None or bias is None:
            return otherwise(x, weight, bias, mean, *rest)
        axes, shape = _but_channels(x)
        mean = x.mean(axes)
        inverse = torch.rsqrt((x - mean.view(shape)).square().mean(axes) + eps)
        scale = weight * inverse
        return x * scale.view(shape) + (bias - mean * scale).view(shape), mean, inverse

    return normalised


def _batch_norm_backward(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Return the derivative of such a batch norm: the sum of two tensors, each times a number per channel, and of a number per channel.

    Args:
        otherwise: computes the derivative of every other batch norm.
    """

    def gradients(grad: Tensor, x: Tensor, weight: Any, *rest: Any) -> tuple[Tensor | None, ...]:
        _, _, mean, inverse, training, _, _ = rest
        if not training or weight is None or mean is None:
            return otherwise(grad, x, weight, *rest)
        axes, shape = _but_channels(x)
        count = x.numel() / x.shape[1]
        grad_sum = grad.sum(axes)
        grad_z = ((grad * x).sum(axes) - grad_sum * mean) * inverse
        scale = weight * inverse
        slope = -scale * inverse * grad_z / count
        constant = -scale * grad_sum / count - slope * mean
        to_x = grad * scale.view(shape) + (x * slope.view(shape) + constant.view(shape))
        return to_x, grad_z, grad_sum

    return gradients


def _but_channels(x: Tensor) -> tuple[list[int], list[int]]:
    """Return the axes other than that of the channels, and the shape of numbers per channel."""
    return [0, *range(2, x.dim())], [1, x.shape[1], *[1] * (x.dim() - 2)]


def _threshold_backward(grad: Tensor, y: Tensor, threshold: float) -> Tensor:
    """Return the derivative of ReLU from its output: to multiply by 0 or 1 is faster than to choose."""
    return grad * torch.sign(y) if threshold == 0 else torch.where(y <= threshold, 0.0, grad)


def _convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    transposed: bool,
    output_padding: Pair,
    groups: int,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of a convolution with respect to input, weight and bias.

    A transposed convolution is the derivative of another convolution with respect to that one's input. So its own derivatives are computed
    by the other convolution.
    """
    if x.dim() != 4:
        raise ModelError(
            f"its derivative, on {x.dim() - 2} spatial axes, has no exported form. Use a two-dimensional one (such as nn.Conv2d) instead, "
            f"with axes of length 1, or a learner that adapts without gradients ({having('gradient_free_adapt')})."
        )
    convolution, to_x, to_weight = _Convolution(stride, padding, dilation, groups), None, None
    if wanted[0] and transposed:
        to_x = aten.convolution(grad, weight, None, stride, padding, dilation, False, [0, 0], groups)
        to_x = to_x[:, :, : x.shape[2], : x.shape[3]]  # a long output_padding reaches one window further
    elif wanted[0]:
        to_x = _input_gradient(grad, x, weight, convolution)
    if wanted[1]:
        outer, inner = (x, grad) if transposed else (grad, x)
        to_weight = _weight_gradient(outer, inner, weight, convolution)
    return to_x, to_weight, grad.sum((0, 2, 3)) if wanted[2] else None


def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor, convolution: _Convolution) -> Tensor:
    """Convolve with the turned kernel if the stride is 1 (which is faster); otherwise use a transposed convolution."""
    stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
    reach = [dilation[axis] * (weight.shape[2 + axis] - 1) for axis in (0, 1)]
    left_over = [
        x.shape[2 + axis] - ((grad.shape[2 + axis] - 1) * stride[axis] - 2 * padding[axis] + reach[axis] + 1) for axis in (0, 1)
    ]
    if convolution.groups == 1 and all(step == 1 for step in stride) and not any(left_over):
        border = [reach[axis] - padding[axis] for axis in (0, 1)]
        return aten.convolution(grad, _turned(weight), None, [1, 1], border, dilation, False, [0, 0], 1)
    return aten.convolution(grad, weight, None, stride, padding, dilation, True, left_over, convolution.groups)


def _turned(weight: Tensor) -> Tensor:
    """Turn a kernel and swap input and output, as `weight.flip(2, 3).transpose(0, 1)`, by a product with a permutation matrix.

    A slice with negative steps copies number by number, which takes several times as long.
    """
    out_channels, channels, rows, columns = weight.shape
    taps = rows * columns
    backwards = torch.eye(taps, dtype=weight.dtype).flip(0)
    flat = weight.reshape(out_channels * channels, taps) @ backwards
    return flat.reshape(out_channels, channels, taps).transpose(0, 1).reshape(channels, out_channels, rows, columns)


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, convolution: _Convolution) -> Tensor:
    """Multiply the output's gradient with the patches of the input, by one matrix product for each group."""
    stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
    groups = convolution.groups
    _, out_channels, rows, columns = grad.shape
    padded = aten.constant_pad_nd(x.transpose(0, 1), [padding[1], padding[1], padding[0], padding[0]])
    patches = []
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            top, left = row * dilation[0], column * dilation[1]
            bottom, right = top + (rows - 1) * stride[0] + 1, left + (columns - 1) * stride[1] + 1
            patches.append(padded[:, :, top : bottom : stride[0], left : right : stride[1]])
    channels, taps = x.shape[1] // groups, len(patches)
    columns_of_patches, outer = torch.stack(patches, 1), grad.transpose(0, 1)
    if groups == 1:
        product = outer.reshape(out_channels, -1) @ columns_of_patches.reshape(channels * taps, -1).t()
    else:
        by_group = columns_of_patches.reshape(groups, channels * taps, -1)
        product = torch.bmm(outer.reshape(groups, out_channels // groups, -1), by_group.transpose(1, 2))
    return product.reshape(weight.shape)


def _max_pool2d_backward(
    grad: Tensor, x: Tensor, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool, indices: Tensor
) -> Tensor:
    """Add each gradient to the place that was the maximum; leave windows that do not overlap to ONNX, which has an operation for them."""
    overlapping = any(kernel[axis] > (list(stride) or kernel)[axis] for axis in (0, 1))
    if not (overlapping or ceil_mode or any(step > 1 for step in dilation)):
        return NotImplemented
    indices = indices % (x.shape[2] * x.shape[3])  # ONNX counts them over the whole tensor
    places = torch.zeros_like(x).flatten(2)
    return places.scatter_add(2, indices.flatten(2), grad.flatten(2)).reshape(x.shape)


def _avg_pool2d(x: Tensor, *options: Any) -> Tensor:
    """Sum windows by a convolution if they reach over the edge or have a divisor, which ONNX computes otherwise or not at all."""
    pooling = _Pooling(*options)
    if not pooling.ceil_mode and pooling.divisor is None:
        return NotImplemented
    counts = [pooling.windows(x.shape[2 + axis], axis) for axis in (0, 1)]
    padded = aten.constant_pad_nd(x, pooling.margins(x, counts))
    ones = x.new_ones((x.shape[1], 1, *pooling.kernel))
    sums = aten.convolution(padded, ones, None, pooling.step, [0, 0], [1, 1], False, [0, 0], x.shape[1])
    return sums * pooling.shares(x, counts)


def _avg_pool2d_backward(grad: Tensor, x: Tensor, *options: Any) -> Tensor:
    """Give each gradient, divided by the size of its window, to all of the window: a transposed convolution, channel by channel."""
    pooling, counts = _Pooling(*options), [grad.shape[2], grad.shape[3]]
    ones = grad.new_ones((x.shape[1], 1, *pooling.kernel))
    given = grad * pooling.shares(x, counts)
    spread = aten.convolution(given, ones, None, pooling.step, [0, 0], [1, 1], True, [0, 0], x.shape[1])
    margins = [-margin for margin in pooling.margins(x, counts)]
    return aten.constant_pad_nd(spread, margins) if any(margins) else spread
