"""Count, sum and hide classes, for one-hot targets of any number of ways."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstudy.errors import TaskError

ABSENT = -1e30
"""Logit of a way that the task does not have: below any squared distance of raw features. Finite, because 0 * -inf is not a number in a
cross-entropy with one-hot targets."""


def class_counts(y: Float[Tensor, "example way"], weight: Float[Tensor, " example"]) -> Float[Tensor, " way"]:
    """Return the number of examples of each way, `[way]`, for one-hot `y` `[example, way]`."""
    return (y * weight.unsqueeze(-1)).sum(0)


def class_sums(
    features: Float[Tensor, "example feature"], y: Float[Tensor, "example way"], weight: Float[Tensor, " example"]
) -> Float[Tensor, "way feature"]:
    """Return the sum of the features of each way, `[way, feature]`, for features `[example, feature]` and one-hot `y` `[example, way]`."""
    return (y * weight.unsqueeze(-1)).t() @ features


def class_means(sums: Float[Tensor, "way feature"], counts: Float[Tensor, " way"]) -> Float[Tensor, "way feature"]:
    """Return the mean of each way from the sum and the number of its examples; zeros for a way without any.

    >>> class_means(torch.tensor([[2.0, 4.0], [0.0, 0.0]]), torch.tensor([2.0, 0.0]))
    tensor([[1., 2.],
            [0., 0.]])
    """
    return sums / counts.clamp(min=1.0).unsqueeze(-1)


def hide_absent(logits: Float[Tensor, "example way"], counts: Float[Tensor, " way"]) -> Float[Tensor, "example way"]:
    """Return logits `[example, way]` in which a way without support examples (`counts` is 0, `[way]`) can never win."""
    return torch.where(counts > 0, logits, ABSENT)


def present_ways(logits: Float[Tensor, "task query way"]) -> Int[Tensor, " task"]:
    """Return how many ways of each task have support examples: those that `hide_absent` did not hide.

    >>> present_ways(torch.tensor([[[0.5, ABSENT, 1.0]]]))
    tensor([2])
    """
    return (~(logits.amax(1) <= ABSENT / 2)).sum(-1)  # a way whose logits are no numbers is there


def pad_rows(rows: Tensor, count: int) -> Tensor:
    """Return `rows` `[n, ...]` followed by zero rows up to `count`; unchanged if there are that many already.

    Raises:
        TaskError: there are more rows than that already.
    """
    missing = count - rows.shape[0]
    if missing < 0:
        raise TaskError(
            f"the state knows {rows.shape[0]} ways, but the new examples' y has {count} columns. Give y a column for every way so far."
        )
    return torch.cat([rows, rows.new_zeros((missing, *rows.shape[1:]))]) if missing > 0 else rows


def pad_columns(rows: Tensor, count: int) -> Tensor:
    """Return `rows` `[example, n]` followed by zero columns up to `count`, as `pad_rows` does with rows."""
    return pad_rows(rows.t(), count).t()
