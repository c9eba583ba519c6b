"""Normalisation layers by name: batch, group, layer, instance, or none."""

from __future__ import annotations

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError
from quickstudy.layers.batch_norm import BatchNorm

NormKind = Literal["batch", "group", "layer", "instance", "none"]


class GroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm` that `vmap` can map over channels-last images as well, the layout of convolutions."""

    def forward(self, input: Float[Tensor, " example channel *position"]) -> Float[Tensor, " example channel *position"]:
        return super().forward(input.contiguous())


def make_norm(kind: NormKind, channels: int) -> nn.Module:
    """Return the normalisation layer of that kind. `layer` and `instance` are group norms of one group and of one channel a group."""
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return BatchNorm(channels)
    up_to_eight = math.gcd(8, channels)
    if up_to_eight == channels:  # a group of one channel would be instance norm, and a constant on rows of numbers
        up_to_eight = max(1, channels // 2)
    groups = {"group": up_to_eight, "layer": 1, "instance": channels}
    if kind not in groups:
        raise ConfigError(f"norm is {kind!r}; expected one of batch, group, layer, instance, none.")
    return GroupNorm(groups[kind], channels)
