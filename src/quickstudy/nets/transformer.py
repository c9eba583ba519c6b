"""Transformer: pieces of a text read one another, and their mean is the feature vector; the net makes the pieces of the bytes itself.

Vaswani et al. 2017, "Attention Is All You Need", section 3 (attention, and sinusoids as positions, section 3.5). Clark, Garrette, Turc and
Wieting 2022, "CANINE: Pre-training an Efficient Tokenization-Free Encoder for Language Representation", section 3.2: a convolution with a
stride turns characters into fewer pieces before they attend. Deviations: characters are bytes, each with a vector of its own; capitals of
ASCII are small letters; the norm comes first, as in `layers/transformer.py`; there is no dropout.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError, check_at_least
from quickstudy.inputs import InputSpec
from quickstudy.layers.conv2d import Conv2d
from quickstudy.layers.norm import make_norm
from quickstudy.layers.transformer import Block, of_each
from quickstudy.nets import _sizes
from quickstudy.nets._bytes import lowered


class Transformer(nn.Module):
    """`[example, byte]` to `[example, features]`.

    Args:
        features: numbers per piece, and of the output; a multiple of `heads` and even.
        blocks: blocks of attention.
        heads: heads of attention.
        stride: bytes from one piece to the next; each sees twice as many, and one more.

    >>> net = Transformer(features=8, blocks=1, heads=2)
    >>> text = torch.tensor([[ord(letter) for letter in "where is my card"]], dtype=torch.float32)
    >>> torch.allclose(net(text), net(torch.nn.functional.pad(text, (0, 9))), atol=1e-6)
    True
    """

    width: ClassVar[str] = "features"

    def __init__(self, features: int = 64, blocks: int = 2, heads: int = 4, stride: int = 4) -> None:
        super().__init__()
        for name, value in {"blocks": blocks, "heads": heads, "stride": stride}.items():
            check_at_least(name, value, 1)
        if features < 2 or features % 2 or features % heads:
            raise ConfigError(f"features is {features}; expected an even multiple of heads, which is {heads}.")
        self.features, self.blocks, self.heads, self.stride = features, blocks, heads, stride
        self.vectors = nn.Embedding(256, features)
        self.pieces = Conv2d(features, features, (1, 2 * stride + 1), stride=(1, stride), padding=(0, stride))
        self.layers = nn.ModuleList(Block(features, heads) for _ in range(blocks))
        self.final = make_norm("layer", features)

    def forward(self, x: Float[Tensor, "example byte"]) -> Float[Tensor, "example feature"]:
        rows = self.vectors(lowered(x)) * (x > 0).unsqueeze(-1)
        found = self.pieces(rows.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)  # [example, piece, feature]
        there = (x[:, :: self.stride] > 0).to(found.dtype)  # whether the middle of the piece is in the text
        found = found + sinusoids(found.shape[1], self.features).to(found)
        for block in self.layers:
            found = block(found, found, there)
        share = there / there.sum(1, keepdim=True).clamp(min=1)
        return (share.unsqueeze(1) @ of_each(self.final, found)).squeeze(1)

    @classmethod
    def fit_to(cls, spec: InputSpec) -> dict[str, Any]:
        """Return nothing, as texts of any length fit; refuse other inputs.

        Raises:
            ConfigError: the inputs are no texts.
        """
        _sizes.check_kind(spec, "transformer", "text")
        return {}


def sinusoids(count: int, width: int) -> Float[Tensor, "place width"]:
    """Return sines and cosines of places, whose waves grow from 2 pi to 10,000 times as long.

    >>> sinusoids(2, 4)[0]
    tensor([0., 0., 1., 1.])
    """
    rates = torch.exp(-math.log(1e4) * torch.arange(0, width, 2) / width)
    angles = torch.arange(count).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
