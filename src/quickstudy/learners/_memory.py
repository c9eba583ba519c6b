"""Memories of a fixed number of slots: which slot is written is chosen by comparison, so that it maps over tasks and exports."""

import torch
from jaxtyping import Float
from torch import Tensor


def largest(values: Float[Tensor, " slot"]) -> Float[Tensor, " slot"]:
    """Return 1 for the largest value and 0 for the others; of equal ones, the first is taken.

    >>> largest(torch.tensor([0.0, 2.0, 2.0]))
    tensor([0., 1., 0.])
    """
    # in float32, because bfloat16 cannot tell the numbers of slots apart above 256
    turn = values.shape[0] - torch.arange(values.shape[0], dtype=torch.float32, device=values.device)
    candidates = torch.where(values >= values.amax(-1), turn, 0)
    return (candidates >= candidates.amax(-1)).to(values.dtype)


def written(
    rows: Float[Tensor, "slot width"],
    erased: Float[Tensor, " slot"],
    share: Float[Tensor, " slot"],
    new: Float[Tensor, " width"],
) -> Float[Tensor, "slot width"]:
    """Return rows after those that `erased` marks are set to zero, and `new` is added to each in its share."""
    return rows * (1 - erased).unsqueeze(-1) + share.unsqueeze(-1) * new
