"""Frames: convolutions along the time of a spectrogram, which give features for each frame: a net for sequences of symbols."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_at_least
from quickstudy.inputs import InputSpec
from quickstudy.layers.blur import Blur
from quickstudy.layers.conv2d import Conv2d
from quickstudy.layers.norm import NormKind, make_norm
from quickstudy.nets import _sizes


class Frames(nn.Module):
    """`[example, 1, band, time]` to `[example, frame, features]`: two convolutions, and three with a residual connection.

    Each sees five places in time, and all bands or channels. The first `halvings` of them have a stride of 2, so that a frame stands for
    2 or 4 times the time of a column of the input. The columns of other pictures are taken for time too, from left to right.

    Args:
        bands: bands of the input; channels times rows of a picture.
        length: columns of the input.
        channels: features of each frame.
        halvings: how often time is halved, from 0 to 2.
        norm: normalisation of each layer.
        blur: places on each side with which a place of the picture is averaged; 0 leaves it as it is.

    >>> import torch
    >>> Frames(bands=40, length=80, channels=16, halvings=2)(torch.zeros(3, 1, 40, 80)).shape
    torch.Size([3, 20, 16])
    """

    from_data: ClassVar[tuple[str, ...]] = ("bands", "length")
    width: ClassVar[str] = "channels"

    def __init__(
        self,
        bands: int = 40,
        length: int = 40,
        channels: int = 96,
        halvings: int = 1,
        norm: NormKind = "group",
        blur: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("bands", bands, 1),
            ("length", length, 1),
            ("channels", channels, 1),
            ("halvings", halvings, 0),
        ):
            check_at_least(name, value, least)
        self.bands, self.length, self.channels, self.halvings, self.norm = bands, length, channels, halvings, norm
        self.smooth, self.blur = Blur(blur), blur
        self.features = channels
        """Length of a frame's features."""
        strides = [2 if place < halvings else 1 for place in range(2)]
        self.frames = -(-length // 2 ** sum(stride == 2 for stride in strides))
        """Number of frames of the output."""
        self.first = nn.ModuleList(
            _convolution(before, channels, stride, norm) for before, stride in zip((bands, channels), strides, strict=True)
        )
        self.residual = nn.ModuleList(_convolution(channels, channels, 1, norm) for _ in range(3))

    def forward(self, x: Float[Tensor, "example channel band time"]) -> Float[Tensor, "example frame feature"]:
        x = self.smooth(x).flatten(1, 2).unsqueeze(2)
        for layer in self.first:
            x = layer(x)
        for layer in self.residual:
            x = x + layer(x)
        return x.squeeze(2).transpose(1, 2)

    @classmethod
    def fit_to(cls, spec: InputSpec) -> dict[str, Any]:
        """Return the hyperparameters that inputs of the spec decide."""
        channels, rows, columns = _sizes.input_shape(spec, "frames", axes=3)
        return {"bands": channels * rows, "length": columns}


def _convolution(before: int, after: int, stride: int, norm: NormKind) -> nn.Sequential:
    """Return a convolution over five places in time, with a normalisation and ReLU."""
    return nn.Sequential(Conv2d(before, after, (1, 5), (1, stride), (0, 2)), make_norm(norm, after), nn.ReLU())
