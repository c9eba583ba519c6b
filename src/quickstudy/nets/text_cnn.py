"""TextCNN: every byte of a text is a learned vector, and filters over neighbouring bytes report where in the text they match best.

Kim 2014, "Convolutional Neural Networks for Sentence Classification", section 2: filters of several sizes side by side, each followed by
its maximum over the text. Zhang, Zhao and LeCun 2015, "Character-level Convolutional Networks for Text Classification": characters in
place of words. Deviations: characters are bytes, capitals of ASCII are small letters, and there is no dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError, check_at_least
from quickstudy.inputs import InputSpec
from quickstudy.layers.conv2d import Conv2d
from quickstudy.nets import _sizes
from quickstudy.nets._bytes import lowered


class TextCNN(nn.Module):
    """`[example, byte]` to `[example, filters * len(sizes)]`.

    Args:
        filters: filters of each size.
        sizes: bytes that filters span, odd numbers.
        embedding: numbers per byte.

    >>> net = TextCNN(filters=4, sizes=(3, 5))
    >>> text = torch.tensor([[ord(letter) for letter in "where is my card"]], dtype=torch.float32)
    >>> torch.allclose(net(text), net(F.pad(text, (0, 9))), atol=1e-6)
    True
    """

    width: ClassVar[str] = "filters"

    def __init__(self, filters: int = 64, sizes: Sequence[int] = (3, 5, 7), embedding: int = 16) -> None:
        super().__init__()
        check_at_least("filters", filters, 1)
        check_at_least("embedding", embedding, 1)
        if not sizes or any(size < 1 or size % 2 == 0 for size in sizes):
            raise ConfigError(f"sizes are {tuple(sizes)}; expected odd numbers of bytes, such as 3 5 7.")
        self.filters, self.sizes, self.embedding = filters, tuple(sizes), embedding
        self.features = filters * len(self.sizes)
        self.vectors = nn.Embedding(256, embedding)
        self.convolutions = nn.ModuleList(Conv2d(embedding, filters, (1, size), padding=(0, size // 2)) for size in self.sizes)

    def forward(self, x: Float[Tensor, "example byte"]) -> Float[Tensor, "example feature"]:
        there = x > 0
        rows = self.vectors(lowered(x)) * there.unsqueeze(-1)
        line = rows.transpose(1, 2).unsqueeze(2)  # an image of one row, with the numbers of a byte as its channels
        found = torch.cat([convolution(line) for convolution in self.convolutions], 1).squeeze(2)
        return F.relu(torch.where(there.unsqueeze(1), found, 0.0)).amax(
            -1
        )  # padding is never the maximum of what is above zero

    @classmethod
    def fit_to(cls, spec: InputSpec) -> dict[str, Any]:
        """Return nothing, as texts of any length fit; refuse other inputs.

        Raises:
            ConfigError: the inputs are no texts.
        """
        _sizes.check_kind(spec, "text_cnn", "text")
        return {}
