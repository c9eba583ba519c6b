"""Examples and Task: the only data that flows from the data to a learner."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils._pytree import tree_map

from quickstudy.errors import DataError

Input = Tensor | Mapping[str, Tensor]


class Answers(Protocol):
    """Right answers of some examples: the type of `Examples.y`, one kind per file of `quickstudy.objectives`, a frozen pytree."""

    name: ClassVar[str]

    @property
    def rows(self) -> Float[Tensor, " *task example output"]:
        """Return the answers as rows."""
        ...

    @property
    def outputs(self) -> int:
        """Return the number of columns."""
        ...

    def loss(self, prediction: Float[Tensor, "example output"], weight: Float[Tensor, " example"]) -> Float[Tensor, ""]:
        """Return how wrong a prediction is, a scalar to be minimised."""
        ...

    def scores(self, prediction: Float[Tensor, "example output"], weight: Float[Tensor, " example"]) -> dict[str, Tensor]:
        """Return what a prediction is judged by, the most important score first."""
        ...

    def like(self, prediction: Float[Tensor, "example output"]) -> Answers:
        """Return the answers that a prediction stands for, as a teacher gives them."""
        ...


@dataclasses.dataclass(frozen=True)
class Examples:
    """Some examples of one task (or, with one more leading axis on every tensor, of a batch of tasks).

    Args:
        x: inputs, `[example, ...]`, or a dict of such tensors (an image and its text).
        y: right answers, whose type says of which kind they are: `OneHot` for classes, `Values` for numbers.
        mask: bool `[example]`, False for padding; None when every example counts.
        emphasis: how much each example counts in losses, float `[example]`, with the mean 1 over those that are no padding; None when all
            count alike. Training gives it to queries alone (`TrainingSettings.class_weights`).
    """

    x: Input
    y: Answers
    mask: Bool[Tensor, " *task example"] | None = None
    emphasis: Float[Tensor, " *task example"] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.y, Tensor):
            raise DataError(
                f"y is a tensor of shape {list(self.y.shape)}; expected right answers of a kind: one_hot(labels, ways) for class labels, "
                "OneHot(rows) for one-hot rows, Values(rows) for numbers, tokens(texts, symbols) for texts."
            )

    @property
    def count(self) -> int:
        """Return the number of examples (of each task), padding included."""
        return self.y.rows.shape[-2]

    @property
    def device(self) -> torch.device:
        """Return the device of the answers, and so of all tensors."""
        return self.y.rows.device

    @property
    def weight(self) -> Float[Tensor, " *task example"]:
        """Return how much every example counts: 0 for padding, and its emphasis, or 1 if there is none, for others, float `[example]`."""
        rows = self.y.rows
        counted = torch.ones_like(rows[..., 0]) if self.mask is None else self.mask.to(rows.dtype)
        return counted if self.emphasis is None else counted * self.emphasis


@dataclasses.dataclass(frozen=True)
class Task:
    """One small problem: learn from `support`, be judged on `query`. Both share the meaning of `y`'s columns.

    Args:
        support: examples to learn from.
        query: examples to be judged on.
        key: the task's own source of random numbers (`functional/random.py`), int64, a scalar for each task; only a learner's `loss` may
            use it. None for tasks made by hand.
    """

    support: Examples
    query: Examples
    key: Int[Tensor, " *task"] | None = None

    @property
    def count(self) -> int:
        """Return the number of tasks in a batch of tasks."""
        return self.support.y.rows.shape[0]

    @property
    def device(self) -> torch.device:
        """Return the device of the task's tensors."""
        return self.support.device

    def to(self, device: torch.device) -> Task:
        """Return the same task with every tensor on `device`."""
        return tree_map(lambda leaf: leaf.to(device, non_blocking=True), self)

    def __getitem__(self, index: int | slice) -> Task:
        """Return task `index` of a batch of tasks (or a smaller batch, by a slice)."""
        return tree_map(lambda leaf: leaf[index], self)


torch.export.register_dataclass(Examples)
torch.export.register_dataclass(Task)


def check_floating(rows: object, remedy: str) -> None:
    """Raise a DataError for answers that are no floating-point numbers, such as labels or one-hot rows of integers."""
    if isinstance(rows, Tensor) and not rows.is_floating_point():
        raise DataError(f"rows are {str(rows.dtype).removeprefix('torch.')}; expected floating-point numbers: {remedy}.")


def concatenate(first: Examples, second: Examples) -> Examples:
    """Return the examples of both, in this order; mask and emphasis stay None when neither has any."""
    mask = None if first.mask is None and second.mask is None else torch.cat([first.weight, second.weight]) > 0
    plain = first.emphasis is None and second.emphasis is None
    emphasis = None if plain else torch.cat([_emphasis(first), _emphasis(second)])
    x, y = tree_map(lambda a, b: torch.cat([a, b]), (first.x, first.y), (second.x, second.y))
    return Examples(x, y, mask, emphasis)


def _emphasis(examples: Examples) -> Tensor:
    """Return how much each example counts, padding included."""
    return torch.ones_like(examples.y.rows[..., 0]) if examples.emphasis is None else examples.emphasis
