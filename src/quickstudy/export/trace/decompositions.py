"""What operations that a target does not know are composed of: tables for `make_fx`, from operation to function.

Gradients reach a captured graph as torch's backward operations, which neither ONNX nor anyone else has. Here they become ordinary
convolutions, sums and scatters, chosen for speed in onnxruntime; `core` alone keeps the convolution's and max-pooling's backward
operations, for a target that has kernels for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

from quickstudy.errors import ModelError

Table = Mapping[Any, Callable[..., Any]]
Pair = Sequence[int]

aten = torch.ops.aten


def core() -> Table:
    """Core operations, and the backward operations of convolution and max-pooling."""
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
    """Return what leaves only operations that ONNX has."""
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
    """As a floating-point number also where the exponent is a whole one, which ONNX would take for the type of the result."""
    return aten.pow.Tensor_Tensor(torch.full((), base), exponent.to(torch.get_default_dtype()))


def _add_product(start: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
    """`start` last, and no multiplication by 1: so runtimes see a convolution, a scale and a shift, which they make one."""
    product = a * b
    return (product if value == 1 else product * value) + start


def _batch_norm(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """By statistics of the batch alone, as one product and one sum per value (as torch's kernel computes it); else as torch composes it."""

    def normalised(
        x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float
    ) -> tuple[Tensor, ...]:
        if not training or mean is not None or weight is None or bias is None:
            return otherwise(x, weight, bias, mean, var, training, momentum, eps)
        axes, shape = _but_channels(x)
        mean = x.mean(axes)
        inverse = torch.rsqrt((x - mean.view(shape)).square().mean(axes) + eps)
        scale = weight * inverse
        return x * scale.view(shape) + (bias - mean * scale).view(shape), mean, inverse

    return normalised


def _batch_norm_backward(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Of the above: the gradient is a sum of two tensors, each times a number per channel, and of such a number."""

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
    """Of ReLU, from its output: a multiplication by 0 or 1 is faster than a choice."""
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
    """Gradients of a convolution with respect to input, weight and bias; of a transposed one, which is the derivative of another with
    respect to its input, by that other convolution."""
    if x.dim() != 4:
        raise ModelError(
            f"its derivative, on {x.dim() - 2} spatial axes, has no exported form. Use a two-dimensional one (such as nn.Conv2d) instead, "
            "with axes of length 1, or a learner that takes no gradient of it, such as protonet."
        )
    to_x = to_weight = None
    if wanted[0] and transposed:
        to_x = aten.convolution(grad, weight, None, stride, padding, dilation, False, [0, 0], groups)
        to_x = to_x[:, :, : x.shape[2], : x.shape[3]]  # a long output_padding reaches one window further
    elif wanted[0]:
        to_x = _input_gradient(grad, x, weight, stride, padding, dilation, groups)
    if wanted[1]:
        outer, inner = (x, grad) if transposed else (grad, x)
        to_weight = _weight_gradient(outer, inner, weight, stride, padding, dilation, groups)
    return to_x, to_weight, grad.sum((0, 2, 3)) if wanted[2] else None


def _input_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Tensor:
    """Convolve with the turned kernel if the stride is 1 (which is faster); otherwise use a transposed convolution."""
    reach = [dilation[axis] * (weight.shape[2 + axis] - 1) for axis in (0, 1)]
    left_over = [
        x.shape[2 + axis] - ((grad.shape[2 + axis] - 1) * stride[axis] - 2 * padding[axis] + reach[axis] + 1) for axis in (0, 1)
    ]
    if groups == 1 and all(step == 1 for step in stride) and not any(left_over):
        border = [reach[axis] - padding[axis] for axis in (0, 1)]
        return aten.convolution(grad, _turned(weight), None, [1, 1], border, dilation, False, [0, 0], 1)
    return aten.convolution(grad, weight, None, stride, padding, dilation, True, left_over, groups)


def _turned(weight: Tensor) -> Tensor:
    """Turn a kernel and swap input and output, as `weight.flip(2, 3).transpose(0, 1)`, by a product with a permutation matrix.

    A slice with negative steps copies number by number, which takes several times as long.
    """
    out_channels, channels, rows, columns = weight.shape
    taps = rows * columns
    backwards = torch.eye(taps, dtype=weight.dtype).flip(0)
    flat = weight.reshape(out_channels * channels, taps) @ backwards
    return flat.reshape(out_channels, channels, taps).transpose(0, 1).reshape(channels, out_channels, rows, columns)


def _weight_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Tensor:
    """One matrix product of the output's gradient with the patches of the input, per group."""
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
    """Each gradient goes to the place that was the maximum; where windows do not overlap, the target does it in one operation."""
    overlapping = any(kernel[axis] > (list(stride) or kernel)[axis] for axis in (0, 1))
    if not (overlapping or ceil_mode or any(step > 1 for step in dilation)):
        return NotImplemented
    indices = indices % (x.shape[2] * x.shape[3])  # ONNX counts them over the whole tensor
    places = torch.zeros_like(x).flatten(2)
    return places.scatter_add(2, indices.flatten(2), grad.flatten(2)).reshape(x.shape)


def _avg_pool2d(
    x: Tensor,
    kernel: Pair,
    stride: Pair = (),
    padding: Pair = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Tensor:
    """As it is, but for what ONNX says otherwise (windows over the edge) or not at all (a divisor): there a convolution sums windows."""
    if not ceil_mode and divisor is None:
        return NotImplemented
    stride = list(stride) or list(kernel)
    counts = [_windows(x.shape[2 + axis], kernel[axis], stride[axis], padding[axis], ceil_mode) for axis in (0, 1)]
    share = _shares(x, counts, kernel, stride, padding, count_include_pad, divisor)
    padded = aten.constant_pad_nd(x, _margins(x, counts, kernel, stride, padding))
    ones = x.new_ones((x.shape[1], 1, *kernel))
    return aten.convolution(padded, ones, None, stride, [0, 0], [1, 1], False, [0, 0], x.shape[1]) * share


def _avg_pool2d_backward(
    grad: Tensor,
    x: Tensor,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """Each gradient, divided by the size of its window, goes to all of the window: a transposed convolution, channel by channel."""
    del ceil_mode  # the gradient's shape says it
    stride, counts = list(stride) or list(kernel), [grad.shape[2], grad.shape[3]]
    share = _shares(x, counts, kernel, stride, padding, count_include_pad, divisor)
    ones = grad.new_ones((x.shape[1], 1, *kernel))
    spread = aten.convolution(grad * share, ones, None, stride, [0, 0], [1, 1], True, [0, 0], x.shape[1])
    margins = [-margin for margin in _margins(x, counts, kernel, stride, padding)]
    return aten.constant_pad_nd(spread, margins) if any(margins) else spread


def _windows(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """Windows of a pooling along an axis; with `ceil_mode` the last may reach over the edge, if it does not begin there."""
    room = size + 2 * padding - kernel
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def _margins(x: Tensor, counts: Pair, kernel: Pair, stride: Pair, padding: Pair) -> list[int]:
    """Return what the windows span beyond the image (left, right, top, bottom); negative if they leave something out."""
    over = [(counts[axis] - 1) * stride[axis] + kernel[axis] - x.shape[2 + axis] - padding[axis] for axis in (0, 1)]
    return [padding[1], over[1], padding[0], over[0]]


def _shares(
    x: Tensor, counts: Pair, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool, divisor: int | None
) -> Tensor | float:
    """One divided by the places that count in each window, `[row, column]`; one number where all windows are alike."""
    within = all((counts[a] - 1) * stride[a] + kernel[a] <= x.shape[2 + a] + 2 * padding[a] for a in (0, 1))
    if divisor or (within and (count_include_pad or not any(padding))):
        return 1.0 / (divisor or kernel[0] * kernel[1])
    sizes = []
    for axis in (0, 1):
        first = torch.arange(counts[axis]) * stride[axis] - padding[axis]
        border = padding[axis] if count_include_pad else 0
        sizes.append((first + kernel[axis]).clamp(max=x.shape[2 + axis] + border) - first.clamp(min=-border))
    return 1.0 / (sizes[0].view(-1, 1) * sizes[1]).to(x.dtype)
