"""Spoken's tests: its arguments, the shape of one example, a spectrogram, and that words have silence around them."""

import torch
from torch import Tensor

EXAMPLES = [
    ({"image_size": 16, "channels": 6}, (1, 16, 16)),
    ({"in_channels": 3, "image_size": 20, "channels": 6, "levels": (0.5, 0.1), "blur": 2}, (3, 20, 20)),
]
REFUSED = ("grey", "colour", "wide", "rows", "text", "several")
"""Inputs that it does not take."""


def draw(*sizes: int) -> Tensor:
    """Return levels from 0 to 1, which are low before and after a word of random ends."""
    levels = 0.05 + 0.9 * torch.rand(sizes, dtype=torch.float64)
    begin, length = (torch.randint(low, low + sizes[-1] // 2, (*sizes[:-3], 1, 1, 1)) for low in (0, 2))
    place = torch.arange(sizes[-1])
    return torch.where((place >= begin) & (place < begin + length), levels, 0.3 * levels)
