"""ConvNormPool: a convolution, a norm and max-pooling as one layer, which spends no pass over its images on normalising them.

A convolution followed by numbers that scale and shift each channel is a convolution with scaled weights, and a shift. Where statistics are
held, their numbers are known beforehand. Those of the batch at hand are known as well where patches are small, as in a net's first layer:
mean and covariance of the patches, `m` and `S`, give every output channel, with weights `w`, the mean `w m` and the variance `w S w'`,
exactly, without looking at what comes out. Before pooling that is the largest tensor of the net, by far.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.loop import exporting
from quickstudy.layers.batch_norm import BatchNorm
from quickstudy.layers.conv2d import Conv2d
from quickstudy.layers.norm import NormKind, make_norm

SMALL = 32
"""Numbers in a patch up to which their covariance takes less time than the passes that it saves; 27 are three colours and 3x3 pixels."""

Halving = Literal["pool", "stride"]
Images = Float[Tensor, "example channel height width"]


class ConvNormPool(nn.Sequential):
    """3x3 convolution, normalisation, 2x2 max-pooling (or a convolution of stride 2), ReLU.

    Args:
        in_channels: channels of the images.
        channels: filters.
        norm: normalisation.
        halving: `pool` (max-pooling) or `stride` (a convolution of stride 2).
    """

    def __init__(self, in_channels: int, channels: int, norm: NormKind, halving: Halving) -> None:
        bias = norm not in ("batch", "instance")  # which take the mean of each channel, and any bias with it
        convolution = Conv2d(in_channels, channels, 3, stride=2 if halving == "stride" else 1, padding=1, bias=bias)
        # ReLU after pooling equals ReLU before it, on a quarter of the values.
        pooling = [nn.MaxPool2d(2)] if halving == "pool" else []
        super().__init__(convolution, make_norm(norm, channels), *pooling, nn.ReLU())

    def forward(self, input: Images) -> Images:
        convolution, norm, *rest = self
        pools = len(rest) > 0 and type(rest[0]) is nn.MaxPool2d and not hooked(rest[0])
        folded = fold(input, convolution, norm, held=pools)
        if folded is None:
            return super().forward(input)
        images, shift = folded
        if pools:  # which takes the same pixels before the shift
            images = rest.pop(0)(images)
        images = images + shift
        for layer in rest:
            images = layer(images)
        return images


def fold(
    x: Images, convolution: nn.Module, norm: nn.Module, held: bool = True
) -> tuple[Images, Float[Tensor, "channel 1 1"]] | None:
    """Return `norm(convolution(x))` in two parts, whose sum it is: images, and a number per channel, to be added after max-pooling.

    Args:
        x: what is convolved.
        convolution: a layer.
        norm: the layer after it.
        held: fold statistics that are held as well. Tasks that share the convolution, with statistics of their own, share it no more
            then, which pays before pooling only.

    Returns:
        Both parts; or None where there is nothing to be gained: other layers than quickstudy's `Conv2d` and `BatchNorm` (also classes
        made from them, which may do otherwise), statistics of a batch of larger patches, an export, which has its own way, or layers
        with hooks, which are to see what goes through them.

    >>> from quickstudy.layers.batch_norm import batch_statistics
    >>> convolution, norm, x = Conv2d(1, 4, 3, padding=1), BatchNorm(4), torch.rand(2, 1, 8, 8)
    >>> with batch_statistics():
    ...     images, shift = fold(x, convolution, norm)
    ...     torch.allclose(images + shift, norm(convolution(x)), atol=1e-5)
    True
    """
    if type(convolution) is not Conv2d or type(norm) is not BatchNorm or exporting():
        return None
    if hooked(convolution) or hooked(norm):
        return None
    if convolution.weight[0].numel() > SMALL if norm.by_batch() else not held:
        return None
    scale, shift = norm.scale_and_shift(lambda mask: _moments(x, convolution, mask))
    weight = convolution.weight * scale.view(-1, 1, 1, 1)
    if convolution.bias is not None:
        shift = torch.addcmul(shift, scale, convolution.bias)
    images = convolution.convolved(x, weight)
    return images, shift.to(images.dtype).view(-1, 1, 1)


def hooked(layer: nn.Module) -> bool:
    """Return whether somebody watches or changes what goes through the layer."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return any(hooks)


def _moments(x: Images, convolution: Conv2d, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return mean and (biased) variance of each channel that comes out, `[channel]`, over the examples that count and all positions."""
    rows = convolution.weight.flatten(1)
    with torch.autocast(x.device.type, enabled=False):  # differences of products: bfloat16 would leave nothing of them
        patches = _patches(x.to(rows.dtype), convolution)
        kept = None if mask is None else mask.to(rows.dtype).unsqueeze(1)
        examples = len(x) if kept is None else kept.sum().clamp(min=1.0)
        count = examples * patches.shape[2]
        mean = (patches if kept is None else patches * kept).sum((1, 2)) / count
        centred = patches - mean.view(-1, 1, 1)
        centred = (centred if kept is None else centred * kept).flatten(1)
        covariance = centred @ centred.mT / count
        out = rows @ mean if convolution.bias is None else torch.addmv(convolution.bias, rows, mean)
        return out, ((rows @ covariance) * rows).sum(1).clamp(min=0.0)  # which rounding might make negative


def _patches(x: Images, convolution: Conv2d) -> Float[Tensor, "patch example position"]:
    """Return what the kernel sees, `(channel, kernel row, kernel column)`, at every position."""
    (high, wide), (down, right), (rows, columns), _ = convolution.geometry(x)
    padded = nn.functional.pad(x, (right, right, down, down)).transpose(0, 1)
    height, width = (padded.shape[2] - rows) // high * high + 1, (padded.shape[3] - columns) // wide * wide + 1
    shifted = [
        padded[:, :, row : row + height : high, column : column + width : wide]
        for row in range(rows)
        for column in range(columns)
    ]
    return torch.stack(shifted, 1).flatten(3).flatten(0, 1)
