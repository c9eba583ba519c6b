"""Recurrent cells made of plain operations, so that they can be differentiated twice, mapped over tasks and exported inside a `scan`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LSTMCell(nn.Module):
    """One step of a long short-term memory with forget gates (Gers, Schmidhuber and Cummins 2000, "Learning to Forget").

    Args:
        in_features: length of the input of a step.
        features: length of what is remembered.

    >>> hidden, cell = LSTMCell(3, 4)(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 4))
    >>> hidden.shape
    torch.Size([2, 4])
    """

    def __init__(self, in_features: int, features: int) -> None:
        super().__init__()
        self.reading = nn.Linear(in_features, 4 * features)
        self.recurrence = nn.Linear(features, 4 * features, bias=False)

    def forward(
        self, x: Float[Tensor, "row in"], hidden: Float[Tensor, "row feature"], cell: Float[Tensor, "row feature"]
    ) -> tuple[Float[Tensor, "row feature"], Float[Tensor, "row feature"]]:
        """Return the next hidden values and the next cell, `[row, feature]` each."""
        enter, forget, leave, candidate = (self.reading(x) + self.recurrence(hidden)).chunk(4, dim=-1)
        cell = torch.sigmoid(forget + 1) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
        return torch.sigmoid(leave) * torch.tanh(cell), cell
