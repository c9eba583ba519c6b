"""ResNet12: four residual blocks of three 3x3 convolutions, the larger backbone of few-shot papers.

Oreshkin et al. 2018, "TADAM", section 4; widths of Lee et al. 2019, "MetaOptNet" (64, 160, 320, 640). Deviation: no DropBlock, since a
learner is a pure function.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.inputs import InputSpec
from quickstudy.layers.conv2d import Conv2d
from quickstudy.layers.norm import NormKind, make_norm
from quickstudy.nets import _sizes


class ResNet12(nn.Module):
    """`[example, in_channels, height, width]` to `[example, features]`, by global average pooling, so any image size will do.

    Args:
        in_channels: channels of the image.
        widths: filters of each block; each halves the image.
        norm: normalisation after each convolution.

    >>> import torch
    >>> ResNet12(widths=(4, 8, 8, 16))(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 16])
    """

    from_data: ClassVar[tuple[str, ...]] = ("in_channels",)
    width: ClassVar[str] = "widths"

    def __init__(self, in_channels: int = 3, widths: Sequence[int] = (64, 160, 320, 640), norm: NormKind = "batch") -> None:
        super().__init__()
        self.in_channels, self.widths, self.norm = in_channels, tuple(widths), norm
        self.blocks = nn.Sequential(
            *(_Block(before, after, norm) for before, after in itertools.pairwise((in_channels, *widths)))
        )
        # faster; shapes and results do not change
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.features = self.widths[-1]
        """Length of the output."""

    def forward(self, x: Float[Tensor, "example channel height width"]) -> Float[Tensor, "example feature"]:
        return self.blocks(x).mean((2, 3))

    def stages(self) -> list[Callable[[Tensor], Tensor]]:
        """Return the layers one after the other, so that frozen ones are run once."""
        return [*self.blocks, lambda x: x.mean((2, 3))]

    @classmethod
    def fit_to(cls, spec: InputSpec) -> dict[str, Any]:
        """Return the hyperparameters that inputs of the spec decide."""
        return {"in_channels": _sizes.input_shape(spec, "resnet12", axes=3)[0]}


class _Block(nn.Module):
    def __init__(self, in_channels: int, channels: int, norm: NormKind) -> None:
        super().__init__()
        widths = [in_channels, channels, channels, channels]
        self.convolutions = nn.ModuleList(Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(make_norm(norm, channels) for _ in range(3))
        self.shortcut = nn.Sequential(Conv2d(in_channels, channels, 1, bias=False), make_norm(norm, channels))

    def forward(self, x: Tensor) -> Tensor:
        residual = self.shortcut(x)
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(convolution(x))
            if index < 2:
                x = F.leaky_relu(x, 0.1)
        return F.leaky_relu(F.max_pool2d(x + residual, 2, ceil_mode=True), 0.1)
