"""repeat: the loop of an algorithm, which runs as Python and exports as one loop, whatever the number of steps.

Written as a Python `for`, five inner steps would be five copies of the step in every exported program, and their number could not be
changed on the device. While `as_loops` is open, `repeat` runs its step once, between operations that mark where the loop's values enter
and leave; whoever reads the captured graph finds the loop between its marks, and what does not depend on them before it.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

Values = TypeVar("Values")

_loops: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("loops", default=None)


def repeat(step: Callable[[Any, Values], Values], values: Values, times: int, name: str) -> Values:
    """`times` times `values = step(index, values)`.

    Args:
        step: from the index (0, 1, ..., a number or, in an exported loop, a tensor) and the values to the next values, of the same
            structure and shapes.
        values: where to start, a pytree of tensors.
        times: 0 or more.
        name: the hyperparameter that holds `times`; an input of the exported program.

    >>> repeat(lambda index, x: x + index, torch.tensor(0), 4, "steps")
    tensor(6)
    """
    names = _loops.get()
    if names is None:
        for index in range(times):
            values = step(index, values)
        return values
    loop = len(names)
    names.append(name)
    leaves, structure = tree_flatten(values)
    index, *inside = (
        enter(leaf.contiguous(), loop, place) for place, leaf in enumerate([torch.zeros((), dtype=torch.int64), *leaves])
    )
    results, _ = tree_flatten(step(index, tree_unflatten(inside, structure)))
    return tree_unflatten([leave(leaf.contiguous(), loop, place) for place, leaf in enumerate(results, 1)], structure)


@contextlib.contextmanager
def as_loops() -> Iterator[list[str]]:
    """Inside, `repeat` marks its loop instead of running it; yields the names of the loops met, in their order."""
    names: list[str] = []
    token = _loops.set(names)
    try:
        yield names
    finally:
        _loops.reset(token)


def exporting() -> bool:
    """True while a learner is captured for export, where memory layouts are the target's own affair."""
    return _loops.get() is not None


@torch.library.custom_op("quickstudy::enter", mutates_args=())
def enter(value: Tensor, loop: int, place: int) -> Tensor:
    """Marks a value that enters a loop: place 0 is the index, the others are what the loop carries."""
    return value.clone()


@torch.library.custom_op("quickstudy::leave", mutates_args=())
def leave(value: Tensor, loop: int, place: int) -> Tensor:
    """Marks the value that a step of the loop hands on in that place."""
    return value.clone()


@enter.register_fake
def _(value: Tensor, loop: int, place: int) -> Tensor:
    return torch.empty_like(value)


@leave.register_fake
def _(value: Tensor, loop: int, place: int) -> Tensor:
    return torch.empty_like(value)
