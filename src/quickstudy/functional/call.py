"""Name and select the tensors of a module."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Parameters = dict[str, Tensor]


def under(prefix: str, tensors: Mapping[str, Tensor]) -> Parameters:
    """The tensors whose names begin with the prefix, without it.

    >>> under("net.", {"net.weight": torch.ones(1), "head.weight": torch.zeros(1)})
    {'weight': tensor([1.])}
    """
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
