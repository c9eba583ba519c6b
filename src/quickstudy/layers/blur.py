"""Blur: each place of a picture averaged with those around it, for nets that are trained on pictures without the noise of the world.

A learner of spoken words that was trained on synthetic voices told those of real people apart better by seven points once their pictures
were blurred, and synthetic ones no worse: what they differ in is fine (benchmarks/LOG.md). Zhang 2019, "Making Convolutional Networks
Shift-Invariant Again", section 3, blurs inside of a network, by the same weights, so that a picture's exact place matters less.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_at_least

Pictures = Float[Tensor, "example channel height width"]


class Blur(nn.Module):
    """`[example, channel, height, width]` to the same shape; a constant picture stays as it is.

    Args:
        reach: places on each side that count, by a triangle: 1 weighs 1, 2, 1, along both axes; 0 changes nothing.

    >>> import torch
    >>> Blur(1)(torch.tensor([[[[0.0, 0.0, 4.0, 0.0]]]]))
    tensor([[[[0.0000, 1.0000, 2.0000, 1.3333]]]])
    """

    def __init__(self, reach: int = 1) -> None:
        super().__init__()
        check_at_least("reach", reach, 0)
        self.reach = reach

    def forward(self, x: Pictures) -> Pictures:
        if not self.reach:
            return x
        for _ in range(2):  # along the last axis, which then makes room for the other
            weights = self._weights(x.shape[-1], x).expand(x.shape[0], -1, -1)
            x = (x.flatten(1, 2) @ weights).view_as(x).transpose(2, 3)
        return x

    def _weights(self, size: int, x: Tensor) -> Float[Tensor, "place place"]:
        """Return the share that each place has of each place of the result, `[place, result]`; at the ends fewer share."""
        places = torch.arange(size, dtype=x.dtype, device=x.device)
        weights = (self.reach + 1 - (places[:, None] - places).abs()).relu()
        return weights / weights.sum(0)
