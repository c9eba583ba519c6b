"""Spoken: Conv4 on words that are stretched to the whole picture, for people who speak them at a pace and in a room of their own."""

from __future__ import annotations

from torch import nn

from quickstudy.layers.align_time import AlignTime
from quickstudy.layers.conv_norm_pool import Halving
from quickstudy.layers.norm import NormKind
from quickstudy.nets.conv4 import Conv4


class Spoken(Conv4):
    """`AlignTime`, then the four blocks of `Conv4`; `[example, in_channels, image_size, image_size]` to `[example, features]`.

    Args:
        in_channels: channels of the picture.
        image_size: mel bands and frames, which are equally many; at least 16 with max-pooling.
        channels: filters of each block.
        norm: normalisation of each block.
        halving: `pool` or `stride`, as in `Conv4`.
        heard: level above which a frame belongs to the word, from 0 (silence) to 1 (the loudest place).
        floor: the lowest level that is told apart, below `heard`.

    >>> import torch
    >>> Spoken(channels=8)(torch.rand(2, 1, 40, 40)).shape
    torch.Size([2, 32])
    """

    def __init__(
        self,
        in_channels: int = 1,
        image_size: int = 40,
        channels: int = 64,
        norm: NormKind = "batch",
        halving: Halving = "pool",
        *,
        heard: float = 0.65,
        floor: float = 0.4,
    ) -> None:
        super().__init__(in_channels, image_size, channels, norm, halving)
        self.heard, self.floor = heard, floor
        self.blocks = nn.Sequential(AlignTime(heard, floor), *self.blocks)
