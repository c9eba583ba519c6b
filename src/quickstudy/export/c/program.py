"""Request and Code: what a learner is compiled for, and the C that it becomes, for every precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from quickstudy.inputs import InputSpec, TensorLayout
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values


@dataclasses.dataclass(frozen=True)
class Code:
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
    """The target that a learner is compiled for.

    Args:
        ways: classes of a task, or outputs of a regression.
        examples: the most support examples.
        spec: the kind of its inputs, with a single part: C functions take one array of examples.
        answers: kind of targets.
    """

    ways: int
    examples: int
    spec: InputSpec
    answers: type[OneHot] | type[Values] = OneHot

    @property
    def input(self) -> str:
        """Return the name of the input's single part."""
        return next(iter(self.spec.layout()))

    @property
    def layout(self) -> TensorLayout:
        """Return how that part is given to C, and how it enters the net."""
        return self.spec.layout()[self.input]
