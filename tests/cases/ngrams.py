"""The tests of NGrams: its arguments, the shape of one example, a text as bytes, and that features have no derivative in it."""

import torch
from torch import Tensor

EXAMPLES = [({"features": 6, "buckets": 64}, (24,)), ({"features": 3, "buckets": 5}, (9,))]
DISCRETE = True
REFUSED = ("grey", "colour", "wide", "rows", "sound", "several")
"""Inputs that it does not take."""


def draw(*sizes: int) -> Tensor:
    """Return texts of a few letters and blanks, followed by zeros."""
    letters = torch.tensor([ord(letter) for letter in "abcde  XY,"], dtype=torch.float64)
    texts = letters[torch.randint(len(letters), sizes)]
    return texts * (torch.arange(sizes[-1]) < torch.randint(5, sizes[-1] + 1, (*sizes[:-1], 1)))
