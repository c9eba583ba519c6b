"""Bytes of texts as nets look at them: whole numbers, without capitals."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def lowered(x: Float[Tensor, "example byte"]) -> Int[Tensor, "example byte"]:
    """Return bytes as whole numbers, with small letters in place of the capitals of ASCII, and blanks in place of other white space."""
    found = x.to(torch.int64)
    found = torch.where((found >= 65) & (found <= 90), found + 32, found)
    return torch.where((found >= 9) & (found <= 13), 32, found)
