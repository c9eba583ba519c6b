"""Layers over sequences in which a row sees earlier rows only; what they find is appended to what comes in.

They are the blocks of Mishra, Rohaninejad, Chen and Abbeel 2018, "A Simple Neural Attentive Meta-Learner", section 3 and figure 2.
Either they read one sequence, or rows of which each is the next after a sequence that they have read before, so that rows of this sort do
not see each other.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from quickstudy.functional.attention import attend
from quickstudy.functional.classes import ABSENT


class CausalConvolution(nn.Module):
    """Causal convolution over two places, `dilation` apart, whose gated result is appended to what comes in (the paper's dense block).

    Args:
        in_features: numbers per row that come in.
        filters: numbers per row that are appended.
        dilation: how many places before a row the other one lies.
    """

    def __init__(self, in_features: int, filters: int, dilation: int) -> None:
        super().__init__()
        self.in_features, self.dilation = in_features, dilation
        self.now, self.before = nn.Linear(in_features, 2 * filters), nn.Linear(in_features, 2 * filters, bias=False)
        for part in (self.now, self.before):
            nn.init.xavier_normal_(part.weight, nn.init.calculate_gain("tanh"))  # signals do not shrink from layer to layer

    def forward(
        self, rows: Float[Tensor, "column row width"], known: Tensor | None, allowed: Bool[Tensor, "row key"]
    ) -> Float[Tensor, "column row longer"]:
        """Return rows with what they and their predecessors amount to; before the first row there are zeros.

        Args:
            rows: a sequence, or, with `known`, rows of which each is the next after the known ones.
            known: the sequence that came before, `[column, known, width]`.
            allowed: not used here.
        """
        sequence = rows if known is None else known
        padded = torch.cat([sequence.new_zeros((sequence.shape[0], self.dilation, self.in_features)), sequence], 1)
        count = sequence.shape[1]
        before = padded[:, :count] if known is None else padded[:, count : count + 1]
        value, gate = (self.now(rows) + self.before(before)).chunk(2, dim=-1)
        return torch.cat([rows, torch.tanh(value) * torch.sigmoid(gate)], -1)


class CausalAttention(nn.Module):
    """Attention of every row to itself and to earlier rows, whose result is appended to what comes in.

    Args:
        in_features: numbers per row that come in.
        width: length of keys and of values, and so how many numbers per row are appended.
    """

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.ask, self.key, self.value = (nn.Linear(in_features, width) for _ in range(3))
        self.key.load_state_dict(self.ask.state_dict())  # at first, rows attend to those that are like them

    def forward(
        self, rows: Float[Tensor, "column row width"], known: Tensor | None, allowed: Bool[Tensor, "row key"]
    ) -> Float[Tensor, "column row longer"]:
        """Return rows with what they read.

        Args:
            rows: a sequence, or, with `known`, rows of which each is the next after the known ones.
            known: the sequence that came before, `[column, known, width]`.
            allowed: which of the known rows and of the rows themselves (keys, in this order) each row may read.
        """
        sequence = rows if known is None else torch.cat([known, rows], 1)
        bias = torch.where(allowed, torch.zeros((), dtype=rows.dtype, device=rows.device), ABSENT).unsqueeze(0)
        every = torch.ones_like(sequence[0, :, 0])
        read = attend(self.ask(rows), self.key(sequence), self.value(sequence), every, bias=bias)
        return torch.cat([rows, read], -1)
