"""A block of a transformer in which rows read other rows; of plain operations, so that it can be differentiated twice and exported."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.attention import attend
from quickstudy.layers.norm import make_norm


class Block(nn.Module):
    """Multihead attention to other rows, then two linear layers, each after a layer norm and added to what comes in.

    Vaswani et al. 2017, "Attention Is All You Need", section 3, with the norm first (Xiong et al. 2020, "On Layer Normalization in the
    Transformer Architecture").

    Args:
        width: numbers per row, a multiple of `heads`.
        heads: parts that attend apart.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = make_norm("layer", width), make_norm("layer", width)
        self.ask, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(
        self,
        rows: Float[Tensor, "*batch row width"],
        known: Float[Tensor, "*batch known width"],
        weight: Float[Tensor, "*#batch known"],
        bias: Float[Tensor, "head row known"] | None = None,
    ) -> Float[Tensor, "*batch row width"]:
        """Return rows after they have read the known ones.

        Args:
            rows: `[..., row, width]`.
            known: what may be read, `[..., known, width]`.
            weight: 0 for what nobody may read (padding), `[..., known]`, or `[known]` for all batches.
            bias: added to the scores of attention, `[head, row, known]`.
        """
        asked, read = self.ask(of_each(self.before, rows)), of_each(self.before, known)
        rows = rows + self.out(attend(asked, self.key(read), self.value(read), weight, self.heads, bias))
        return rows + self.think(of_each(self.between, rows))


def of_each(norm: nn.Module, rows: Float[Tensor, "*batch row width"]) -> Float[Tensor, "*batch row width"]:
    """Return rows that were normalised each for itself, also those of a batch."""
    return norm(rows.flatten(0, -2)).view(rows.shape)
