"""Spoken: Conv4 on words that are stretched to the whole picture, for people who speak them at a pace and in a room of their own."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.inputs import InputSpec
from quickstudy.layers.align_time import AlignTime
from quickstudy.layers.blur import Blur
from quickstudy.layers.norm import NormKind
from quickstudy.nets import _sizes
from quickstudy.nets.conv4 import Conv4


class Spoken(nn.Module):
    """`Blur`, `AlignTime`, then `Conv4` with max-pooling; `[example, in_channels, image_size, image_size]` to `[example, features]`.

    Args:
        in_channels: channels of the log-mel picture.
        image_size: mel bands and frames, which are equally many; at least 16.
        channels: filters of each block.
        norm: normalisation of each block.
        levels: level above which a frame belongs to the word, from 0 (silence) to 1 (the loudest place), and the lowest level that is
            told apart, below it.
        blur: places on each side with which a place is averaged, as fine details of recordings tell rooms and throats rather than
            words; 0 leaves pictures as they are.

    >>> import torch
    >>> Spoken(channels=8)(torch.rand(2, 1, 40, 40)).shape
    torch.Size([2, 32])
    """

    from_data: ClassVar[tuple[str, ...]] = ("in_channels", "image_size")
    width: ClassVar[str] = "channels"

    def __init__(
        self,
        in_channels: int = 1,
        image_size: int = 40,
        channels: int = 64,
        norm: NormKind = "batch",
        levels: tuple[float, float] = (0.65, 0.4),
        blur: int = 1,
    ) -> None:
        super().__init__()
        self.smooth = Blur(blur)
        self.align = AlignTime(*levels)
        self.conv = Conv4(in_channels, image_size, channels, norm)
        self.in_channels, self.image_size, self.channels, self.norm = in_channels, image_size, channels, norm
        self.levels, self.blur = tuple(levels), blur
        self.features = self.conv.features
        """Length of the output."""

    def forward(self, x: Float[Tensor, "example channel band time"]) -> Float[Tensor, "example feature"]:
        return self.conv(self.align(self.smooth(x)))

    def stages(self) -> list[nn.Module]:
        """Return the layers one after the other, so that frozen ones are run once."""
        return [self.smooth, self.align, *self.conv.stages()]

    @classmethod
    def fit_to(cls, spec: InputSpec) -> dict[str, Any]:
        """Return the hyperparameters that inputs of the spec decide."""
        _sizes.check_kind(spec, "spoken", "sound")
        channels, size = _sizes.square(spec, "spoken")
        return {"in_channels": channels, "image_size": size}
