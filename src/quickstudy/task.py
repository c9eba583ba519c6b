"""Examples and Task: the only data that flows from the data to a learner."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils._pytree import tree_map

Input = Tensor | Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Examples:
    """Some examples of one task (or, with one more leading axis on every tensor, of a batch of tasks).

    Args:
        x: inputs, `[example, ...]`, or a dict of such tensors (an image and its text).
        y: targets, float `[example, output]`: one-hot rows over the task's ways for classes, plain values for regression. The number
            of ways is a shape, so it traces; a way that no example carries does not exist in the task.
        mask: bool `[example]`, False for padding; None when every example counts.

    >>> Examples(torch.zeros(3, 2), one_hot(torch.tensor([0, 1, 1]), ways=2)).y
    tensor([[1., 0.],
            [0., 1.],
            [0., 1.]])
    """

    x: Input
    y: Float[Tensor, " *task example output"]
    mask: Bool[Tensor, " *task example"] | None = None

    @property
    def weight(self) -> Float[Tensor, " *task example"]:
        """1 for every example that counts and 0 for padding, float `[example]`."""
        return torch.ones_like(self.y[..., 0]) if self.mask is None else self.mask.to(self.y.dtype)


@dataclasses.dataclass(frozen=True)
class Task:
    """One small problem: learn from `support`, be judged on `query`. Both share the meaning of `y`'s columns."""

    support: Examples
    query: Examples

    def to(self, device: torch.device) -> Task:
        """The same task with every tensor on `device`."""
        return tree_map(lambda leaf: leaf.to(device, non_blocking=True), self)

    def __getitem__(self, index: int | slice) -> Task:
        """Task `index` of a batch of tasks (or a smaller batch, by a slice)."""
        return tree_map(lambda leaf: leaf[index], self)


torch.export.register_dataclass(Examples)
torch.export.register_dataclass(Task)


def one_hot(labels: Int[Tensor, " *example"], ways: int) -> Float[Tensor, " *example way"]:
    """Float one-hot rows, `[..., ways]`, by comparison with an arange (`torch.nn.functional.one_hot` does not vmap).

    Args:
        labels: integers in `[0, ways)`, `[...]`.
        ways: number of classes.
    """
    return (labels.unsqueeze(-1) == torch.arange(ways, device=labels.device)).to(torch.get_default_dtype())


def labels(y: Float[Tensor, " *example way"]) -> Int[Tensor, " *example"]:
    """Class index of each one-hot row, int64 `[...]` for `[..., way]`."""
    return y.argmax(-1)


def concatenate(first: Examples, second: Examples) -> Examples:
    """The examples of both, in this order; the mask stays None when neither has padding."""
    mask = None if first.mask is None and second.mask is None else torch.cat([first.weight, second.weight]) > 0
    return Examples(tree_map(lambda a, b: torch.cat([a, b]), first.x, second.x), torch.cat([first.y, second.y]), mask)
