"""Conv2d whose derivatives of every order are plain convolutions, for one task or for many at once.

A convolution is bilinear in its input and its weight, and so are its two gradients. Each of the three operations below therefore has
the other two as its derivatives, and nothing else: second-order meta-gradients run on the same fast kernels as inference. (torch's own
second derivative is a convolution with kernels as large as the image.) Mapped over tasks, an operation whose weight is shared runs once,
on the examples of all tasks; one with a weight per task is a batched matrix product over the patches of the images.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ModelError
from quickstudy.functional.loop import exporting

PATCHES = 2**19
"""Numbers in a task's patches, 2 MB of them, up to which the matrix product is used; larger tasks are convolved one by one."""

Axis = int | None


class Geometry(NamedTuple):
    """What a convolution does, besides its tensors; sizes in pixels, `(height, width)`."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    kernel: tuple[int, int]
    image: tuple[int, int]


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` without groups and dilation, with fast derivatives of every order; the same weights under the same names.

    Raises:
        ModelError: a padding in words.

    >>> Conv2d(3, 8, 3, stride=2, padding=1)(torch.zeros(5, 3, 28, 28)).shape
    torch.Size([5, 8, 14, 14])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        *,
        bias: bool = True,
    ) -> None:
        if isinstance(padding, str):
            raise ModelError(f"padding is {padding!r}; expected a number of pixels, or one for each side: (height, width).")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=bias)

    def forward(self, input: Float[Tensor, "example channel height width"]) -> Float[Tensor, "example channel height width"]:
        out = self.convolved(input, self.weight)
        return out if self.bias is None else out + _autocast(self.bias).view(1, -1, 1, 1)

    def convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the convolved images, without the layer's bias, for these weights `[out, in, height, width]`."""
        return _Convolution.apply(_autocast(x), _autocast(weight), self.geometry(x))  # pyright: ignore[reportReturnType]

    def geometry(self, x: Tensor) -> Geometry:
        """Return what the layer makes of these images."""
        stride, padding, kernel = (self._pair(name) for name in ("stride", "padding", "kernel_size"))
        return Geometry(stride, padding, kernel, (x.shape[2], x.shape[3]))

    def _pair(self, name: str) -> tuple[int, int]:
        first, second = getattr(self, name)
        return int(first), int(second)


class _Convolution(torch.autograd.Function):
    """`out` `[n, o]` is the sum over `i` of `x` `[n, i]` convolved with `weight` `[o, i]`."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        stride, padding = geometry.stride, geometry.padding
        return torch.ops.aten.convolution(_channels_last(x), weight, None, stride, padding, (1, 1), False, (0, 0), 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Geometry], output: Tensor) -> None:
        _keep(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        return _gradients(ctx, grads[0], place=0)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Axis, ...], *args: Any) -> tuple[Tensor, int]:
        x, weight, geometry = args
        x = _leading(x, in_dims[0], info.batch_size)
        if in_dims[1] is None:
            return _Convolution.apply(x.flatten(0, 1), weight, geometry).unflatten(0, x.shape[:2]), 0  # pyright: ignore
        weight = _leading(weight, in_dims[1], info.batch_size)
        if _patch_count(x, geometry) > PATCHES:
            return torch.stack([_Convolution.apply(*each, geometry) for each in zip(x, weight, strict=True)]), 0  # pyright: ignore
        return _as_images(torch.bmm(_patches(x, geometry), _rows(weight).mT), x.shape[1], _out_size(geometry)), 0


class _InputGradient(torch.autograd.Function):
    """The gradient of a convolution with respect to its input, from the gradient of its output."""

    @staticmethod
    def forward(grad: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        shape = (grad.shape[0], weight.shape[1], *geometry.image)
        x = torch.empty(
            shape,
            dtype=grad.dtype,
            device=grad.device,
            memory_format=torch.contiguous_format if exporting() else torch.channels_last,
        )  # only its shape is read
        return _backward(grad, x, weight, geometry, (True, False, False))[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Geometry], output: Tensor) -> None:
        _keep(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        return _gradients(ctx, grads[0], place=1)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Axis, ...], *args: Any) -> tuple[Tensor, int]:
        grad, weight, geometry = args
        grad = _leading(grad, in_dims[0], info.batch_size)
        if in_dims[1] is None:
            return _InputGradient.apply(grad.flatten(0, 1), weight, geometry).unflatten(0, grad.shape[:2]), 0  # pyright: ignore
        weight = _leading(weight, in_dims[1], info.batch_size)
        if grad[0, :, 0].numel() * weight[0, 0].numel() > PATCHES:
            return torch.stack([_InputGradient.apply(*each, geometry) for each in zip(grad, weight, strict=True)]), 0  # pyright: ignore
        patches = torch.bmm(_as_rows(grad), _rows(weight))
        return _summed(patches, grad.shape[1], weight.shape[2], geometry), 0


class _WeightGradient(torch.autograd.Function):
    """The gradient of a convolution with respect to its weight, from the gradient of its output."""

    @staticmethod
    def forward(grad: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        shape = (grad.shape[1], x.shape[1], *geometry.kernel)
        weight = torch.empty(
            shape,
            dtype=grad.dtype,
            device=grad.device,
            memory_format=torch.contiguous_format if exporting() else torch.channels_last,
        )  # only its shape is read
        return _backward(grad, _channels_last(x), weight, geometry, (False, True, False))[1]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Geometry], output: Tensor) -> None:
        _keep(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        return _gradients(ctx, grads[0], place=2)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Axis, ...], *args: Any) -> tuple[Tensor, int]:
        grad, x, geometry = args
        grad, x = (_leading(each, axis, info.batch_size) for each, axis in zip((grad, x), in_dims, strict=False))
        if _patch_count(x, geometry) > PATCHES:
            return torch.stack([_WeightGradient.apply(*each, geometry) for each in zip(grad, x, strict=True)]), 0  # pyright: ignore
        rows = torch.bmm(_as_rows(grad).mT, _patches(x, geometry))
        return rows.unflatten(2, (*geometry.kernel, x.shape[2])).permute(0, 1, 4, 2, 3), 0


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Geometry]) -> None:
    """Keep the tensors and the geometry for the gradients."""
    *tensors, ctx.geometry = inputs
    ctx.save_for_backward(*tensors)


def _gradients(ctx: Any, given: Tensor, place: int) -> tuple[Tensor | None, Tensor | None, None]:
    """Return the gradients of an operation with respect to its two tensors.

    Output (0), input (1) and weight (2) of a convolution belong together: each operation takes two of them, in this order, and returns the
    third. The gradient with respect to one of the two is the operation that returns that one, of the other one and of `given`.

    Args:
        ctx: holds the two tensors.
        given: the gradient of the result, which has the result's shape.
        place: which of the three the result is.
    """
    others = [each for each in range(3) if each != place]
    tensors = dict(zip(others, ctx.saved_tensors, strict=True)) | {place: given}
    operations = (_Convolution, _InputGradient, _WeightGradient)

    def towards(wanted: int) -> Tensor:
        first, second = (tensors[each] for each in range(3) if each != wanted)
        return _apply(operations[wanted], first, second, ctx.geometry)

    needed = zip(others, ctx.needs_input_grad[:2], strict=True)
    to_first, to_second = (towards(wanted) if asked else None for wanted, asked in needed)
    return to_first, to_second, None


def _apply(function: type[torch.autograd.Function], first: Tensor, second: Tensor, geometry: Geometry) -> Tensor:
    """Return the result for both in the smaller of their types: in mixed precision a gradient may come back in the larger one."""
    kind = min(first.dtype, second.dtype, key=lambda kind: kind.itemsize)
    return function.apply(first.to(kind), second.to(kind), geometry)  # pyright: ignore[reportReturnType]


def _backward(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool, bool]) -> list[Tensor]:
    stride, padding = geometry.stride, geometry.padding
    return torch.ops.aten.convolution_backward(grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), 1, wanted)


def _autocast(x: Tensor) -> Tensor:
    """Return the tensor in the type that autocast asks for: it knows torch's convolutions, not ours."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _channels_last(x: Tensor) -> Tensor:
    """Return images whose strides say channels-last even for one channel, for which torch would take its slower layout."""
    if x.shape[1] != 1 or exporting():
        return x
    return x.reshape(x.shape[0], x.shape[2], x.shape[3], 1).permute(0, 3, 1, 2)


def _leading(tensor: Tensor, axis: Axis, size: int) -> Tensor:
    """Return the tensor with the axis of tasks first."""
    return tensor.unsqueeze(0).expand(size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)


def _out_size(geometry: Geometry) -> tuple[int, int]:
    height, width = (
        (size + 2 * padding - kernel) // stride + 1
        for size, padding, kernel, stride in zip(
            geometry.image, geometry.padding, geometry.kernel, geometry.stride, strict=True
        )
    )
    return height, width


def _patch_count(x: Tensor, geometry: Geometry) -> int:
    """Return how many numbers the patches of one task have."""
    (height, width), (rows, columns) = _out_size(geometry), geometry.kernel
    return x.shape[1] * height * width * rows * columns * x.shape[2]


def _patches(x: Float[Tensor, "task example channel height width"], geometry: Geometry) -> Float[Tensor, "task position patch"]:
    """Return what the kernel sees at each position, `(kernel row, kernel column, channel)` in a row."""
    (down, right), (high, wide) = geometry.padding, geometry.stride
    padded = torch.nn.functional.pad(x.permute(0, 1, 3, 4, 2), (0, 0, right, right, down, down))
    windows = padded.unfold(2, geometry.kernel[0], high).unfold(3, geometry.kernel[1], wide)
    return windows.permute(0, 1, 2, 3, 5, 6, 4).flatten(4).flatten(1, 3)


def _summed(patches: Float[Tensor, "task position patch"], examples: int, channels: int, geometry: Geometry) -> Tensor:
    """Return images in which every patch is added where it was cut out, `[task, example, channel, height, width]`."""
    (down, right), (high, wide), (height, width) = geometry.padding, geometry.stride, _out_size(geometry)
    patches = patches.unflatten(2, (*geometry.kernel, channels)).unflatten(1, (examples, height, width))
    sides = geometry.image[0] + 2 * down, geometry.image[1] + 2 * right
    padded = patches.new_zeros((len(patches), examples, *sides, channels))
    for row in range(geometry.kernel[0]):
        for column in range(geometry.kernel[1]):
            rows, columns = slice(row, row + high * height, high), slice(column, column + wide * width, wide)
            padded[:, :, rows, columns] += patches[:, :, :, :, row, column]
    cropped = padded[:, :, down : down + geometry.image[0], right : right + geometry.image[1]]
    return cropped.permute(0, 1, 4, 2, 3)


def _rows(weight: Float[Tensor, "task out channel height width"]) -> Float[Tensor, "task out patch"]:
    """Return the weight as a matrix, which is a view if the weight is channels-last."""
    return weight.permute(0, 1, 3, 4, 2).flatten(2)


def _as_rows(images: Float[Tensor, "task example channel height width"]) -> Float[Tensor, "task position channel"]:
    return images.permute(0, 1, 3, 4, 2).flatten(1, 3)


def _as_images(rows: Tensor, examples: int, size: tuple[int, int]) -> Float[Tensor, "task example channel height width"]:
    return rows.unflatten(1, (examples, *size)).permute(0, 1, 4, 2, 3)
