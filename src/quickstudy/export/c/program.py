"""Request and source: the target that a learner is compiled for and the C that it becomes, for every precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from quickstudy.inputs import TensorLayout
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values


@dataclasses.dataclass(frozen=True)
class Source:
    """C files by name, and the bytes of memory that they take.

    Args:
        files: content of each file.
        state: bytes of one adapted task.
        arena: bytes of working memory.
        weights: bytes of constants.
        grows: whether memory grows with the number of support examples.
    """

    files: Mapping[str, str]
    state: int
    arena: int
    weights: int
    grows: bool


@dataclasses.dataclass(frozen=True)
class Request:
    """What a learner is built for.

    Args:
        ways: classes of a task, or outputs of a regression.
        examples: the most support examples.
        shape: of one input, as the net sees it.
        spec: what an image is, so that inputs are bytes; None for rows of float32.
        answers: kind of targets.
    """

    ways: int
    examples: int
    shape: tuple[int, ...]
    spec: ImageSpec | None
    answers: type[OneHot] | type[Values] = OneHot

    @property
    def layout(self) -> Mapping[str, TensorLayout]:
        """Return how the input enters the net; C takes inputs of a single part."""
        return self.spec.layout() if self.spec is not None else RowsSpec(self.shape[0]).layout()

    @property
    def input(self) -> str:
        """Return the name of the input's single part."""
        return next(iter(self.layout))
