"""Attention of plain operations, which can be differentiated twice, mapped over tasks and exported."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.functional.classes import ABSENT


def attend(
    queries: Float[Tensor, "*#batch query width"],
    keys: Float[Tensor, "*#batch key width"],
    values: Float[Tensor, "*#batch key out"],
    weight: Float[Tensor, "*#batch key"],
    heads: int = 1,
    bias: Float[Tensor, "head query key"] | None = None,
) -> Float[Tensor, "*batch query out"]:
    """Return means of values, weighted by how well queries match keys (Vaswani et al. 2017, "Attention Is All You Need", eq. 1).

    Args:
        queries: `[..., query, width]`, or `[query, width]` for all batches of values.
        keys: `[..., key, width]`, or `[key, width]` likewise.
        values: `[..., key, out]`.
        weight: 0 for keys that nobody may read (padding), `[..., key]`, or `[key]` for all batches.
        heads: parts of `width` and of `out` that attend apart; a divisor of both.
        bias: added to the scores, `[head, query, key]`.

    >>> attend(torch.zeros(1, 2), torch.zeros(2, 2), torch.tensor([[1.0], [3.0]]), torch.ones(2))
    tensor([[2.]])
    """
    asked, known = (rows.unflatten(-1, (heads, -1)).transpose(-3, -2) for rows in (queries, keys))  # [..., head, row, part]
    scores = asked @ known.transpose(-2, -1) / math.sqrt(asked.shape[-1])
    scores = scores if bias is None else scores + bias
    shares = torch.where(weight[..., None, None, :] > 0, scores, ABSENT).softmax(-1)  # [..., head, query, key]
    parts = values.unflatten(-1, (heads, -1)).movedim(-2, -3)  # [..., head, key, part]
    return (shares @ parts).movedim(-3, -2).flatten(-2)
