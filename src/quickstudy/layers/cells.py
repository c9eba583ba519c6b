"""A block of a transformer whose tokens are cells of a table; of plain operations, so that it can be differentiated twice and exported."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.attention import attend
from quickstudy.functional.looking import may_look


class CellBlock(nn.Module):
    """Attention over the columns of each row, then over the rows of each column, then two linear layers, each after a layer norm.

    Args:
        width: numbers per token, a multiple of `heads`.
        heads: parts that attend apart, with keys and values that they share.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, part = heads, width // heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.ask = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(2))
        self.read = nn.ModuleList(nn.Linear(width, 2 * part, bias=False) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def across(
        self, cells: Float[Tensor, "token row width"], there: Float[Tensor, " token"]
    ) -> Float[Tensor, "token row width"]:
        """Return cells after they have read the others of their row, of which `there` is 0 for padding."""
        rows = self.norms[0](cells).transpose(0, 1)
        found = self._attended(0, rows, self.read[0](rows), there)
        return cells + found.transpose(0, 1)

    def keys(self, cells: Float[Tensor, "token row width"]) -> Float[Tensor, "token row read"]:
        """Return what other rows may read of cells: keys and values, one after the other."""
        return self.read[1](self.norms[1](cells))

    def down(
        self, cells: Float[Tensor, "token row width"], known: Float[Tensor, "token known read"], weight: Float[Tensor, " known"]
    ) -> Float[Tensor, "token row width"]:
        """Return cells after they have read the known ones of the same column, of which `weight` is 0 for padding."""
        cells = cells + self._attended(1, self.norms[1](cells), known, weight)
        return cells + self.think(self.norms[2](cells))

    def _attended(
        self, place: int, asking: Float[Tensor, "batch row width"], read: Float[Tensor, "batch known read"], there: Tensor
    ) -> Float[Tensor, "batch row width"]:
        """Return what each row finds: all heads ask the same keys, so that they are rows of one product."""
        keys, values = read.chunk(2, -1)
        asked = self.ask[place](asking).unflatten(-1, (self.heads, -1)).flatten(1, 2)
        if may_look():  # torch's own kernel takes a third of the time, but can be neither mapped nor exported
            mask = None if bool((there > 0).all()) else there > 0
            asked, keys, values = (part.unsqueeze(1) for part in (asked, keys, values))
            found = F.scaled_dot_product_attention(asked, keys, values, mask).squeeze(1)
        else:
            found = attend(asked, keys, values, there)
        return self.out[place](found.unflatten(1, (-1, self.heads)).flatten(2))
