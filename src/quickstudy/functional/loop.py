"""scan and repeat: the loops of an algorithm, which run as Python and export as one loop, whatever the number of steps.

Written as a Python `for`, five inner steps would be five copies of the step in every exported program, and their number could not be
changed on the device. While `as_loops` is open, `scan` runs its step once, between operations that mark the loop. Loops are numbered in
the order in which they begin, and so are the values of each mark within a loop (`place`). Whoever reads the captured graph finds:

| mark | stands for |
|---|---|
| `enter(value, loop, 0)` | the index of the step: 0, 1, ...; its argument is the first one |
| `enter(value, loop, place)`, from 1 | what the loop carries, as the step finds it; its argument is where the loop starts |
| `leave(value, loop, place)`, from 1 | what the step hands on in that place; as a result, the value after the last step |
| `take(values, loop, place)`, from 0 | the row of the step, `values[index]`; its argument is all rows |
| `collect(value, rows, loop, place)`, from 0 | what the step puts out; as a result, one row per step. `rows` has as many |

The step itself is what lies between them: every operation that depends on an `enter` or a `take` and that a `leave` or a `collect`
depends on. All others are computed once, before the loop. The number of steps is the leading axis of what is taken; if nothing is
taken, it is the setting whose name `as_loops` yields for this loop. A `scan` inside the step of another is refused while `as_loops` is
open.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from quickstudy.errors import ModelError

Carry = TypeVar("Carry")

_loops: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("loops", default=None)
_around: contextvars.ContextVar[str] = contextvars.ContextVar("around", default="")
"""Words for the loop whose step is being marked; empty outside of a step."""


def repeat(step: Callable[[Any, Carry], Carry], carry: Carry, times: int, name: str) -> Carry:
    """Return the value after `times` times `carry = step(index, carry)`.

    Args:
        step: from the index (0, 1, ..., a number or, in an exported loop, a tensor) and the carried value to the next value, of the
            same structure and shapes.
        carry: where to start, a pytree of tensors.
        times: 0 or more.
        name: the hyperparameter that holds `times`; an input of the exported program.

    >>> repeat(lambda index, x: x + index, torch.tensor(0), 4, "steps")
    tensor(6)
    """
    return scan(lambda index, carry, _: (step(index, carry), ()), carry, (), times=times, name=name)[0]


def scan(
    step: Callable[[Any, Carry, Any], tuple[Carry, Any]], carry: Carry, xs: Any, *, times: int | None = None, name: str = ""
) -> tuple[Carry, Any]:
    """Return the carried value after all steps `carry, y = step(index, carry, x)`, and the `y` of all steps, stacked.

    Args:
        step: from the index (0, 1, ..., a number or, in an exported loop, a tensor), the carried value and a row of `xs` to the next
            carried value, of the same structure and shapes, and to what this step puts out, a pytree of tensors (`()` for nothing).
        carry: where to start, a pytree of tensors.
        xs: a pytree of tensors with a leading axis, one row for each step; `()` for a loop that is counted.
        times: number of steps of a loop that is counted.
        name: the hyperparameter that holds `times`; an input of the exported program.

    Raises:
        ModelError: on export, of a loop inside the step of another, or of a counted loop that puts something out, whose size would
            depend on a setting.

    >>> scan(lambda index, total, x: (total + x, total), torch.tensor(0), torch.tensor([1, 2, 3]))
    (tensor(6), tensor([0, 1, 3]))
    """
    rows = tree_leaves(xs)
    loops = _loops.get()
    if loops is not None:
        return _marked(step, carry, xs, "" if rows else name, loops)
    outs = []
    for index in range(rows[0].shape[0] if rows else times or 0):
        row = tree_map(lambda values: values[index], xs) if rows else xs  # noqa: B023 (used at once)
        carry, out = step(index, carry, row)
        outs.append(out)
    if outs:
        return carry, tree_map(lambda *each: torch.stack(each), *outs)
    if not rows:
        return carry, ()
    _, out = step(0, carry, tree_map(lambda row: row.new_zeros(row.shape[1:]), xs))  # for its shapes
    return carry, tree_map(lambda leaf: leaf.new_zeros((0, *leaf.shape)), out)


def _marked(step: Callable[..., Any], carry: Any, xs: Any, name: str, loops: list[str]) -> tuple[Any, Any]:
    """Return what `scan` returns, from one run of the step between marks."""
    called = f"a loop of {name} steps" if name else "a loop over the rows of a tensor"
    if _around.get():
        raise ModelError(
            f"{called} stands inside {_around.get()}, and an exported program holds no loop inside another. Write the inner one as a "
            "Python loop of fixed length (`for index in range(5)`) instead of scan or repeat."
        )
    loop = len(loops)
    loops.append(name)
    starts, structure = tree_flatten(carry)
    index, *inside = (
        enter(leaf.contiguous(), loop, place) for place, leaf in enumerate([torch.zeros((), dtype=torch.int64), *starts])
    )
    rows, rows_structure = tree_flatten(xs)
    taken = [take(leaf.contiguous(), loop, place) for place, leaf in enumerate(rows)]
    token = _around.set(called)
    try:
        carried, out = step(index, tree_unflatten(inside, structure), tree_unflatten(taken, rows_structure))
    finally:
        _around.reset(token)
    ends = [leave(leaf.contiguous(), loop, place) for place, leaf in enumerate(tree_leaves(carried), 1)]
    outs, outs_structure = tree_flatten(out)
    if outs and not rows:
        raise ModelError(
            f"{called} puts out a row per step, whose number would depend on a setting, so that it cannot be exported. Let "
            "it go over the rows of a tensor, or put nothing out."
        )
    stacked = [collect(leaf.contiguous(), rows[0], loop, place) for place, leaf in enumerate(outs)]
    return tree_unflatten(ends, structure), tree_unflatten(stacked, outs_structure)


@contextlib.contextmanager
def as_loops() -> Iterator[list[str]]:
    """Let `scan` mark its loops instead of running them; yields, for each loop in its order, the setting that counts it.

    The name is empty for a loop over the rows of what it takes.
    """
    loops: list[str] = []
    token = _loops.set(loops)
    try:
        yield loops
    finally:
        _loops.reset(token)


def exporting() -> bool:
    """Return whether a learner is being captured for export, in which memory layouts are the target's own affair."""
    return _loops.get() is not None


@torch.library.custom_op("quickstudy::enter", mutates_args=())
def enter(value: Tensor, loop: int, place: int) -> Tensor:
    """Mark a value that enters a loop: place 0 is the index, the others are what the loop carries."""
    return value.clone()


@torch.library.custom_op("quickstudy::leave", mutates_args=())
def leave(value: Tensor, loop: int, place: int) -> Tensor:
    """Mark the value that a step of the loop hands on in that place."""
    return value.clone()


@torch.library.custom_op("quickstudy::take", mutates_args=())
def take(values: Tensor, loop: int, place: int) -> Tensor:
    """Mark the rows that a loop goes over; the result is the row of the step."""
    return values[0].clone()


@torch.library.custom_op("quickstudy::collect", mutates_args=())
def collect(value: Tensor, rows: Tensor, loop: int, place: int) -> Tensor:
    """Mark what a step of the loop puts out; the result has one row per step, as many as `rows` has."""
    return value.unsqueeze(0).repeat(rows.shape[0], *(1,) * value.dim())


@enter.register_fake
def _(value: Tensor, loop: int, place: int) -> Tensor:
    return torch.empty_like(value)


@leave.register_fake
def _(value: Tensor, loop: int, place: int) -> Tensor:
    return torch.empty_like(value)


@take.register_fake
def _(values: Tensor, loop: int, place: int) -> Tensor:
    return values.new_empty(values.shape[1:])


@collect.register_fake
def _(value: Tensor, rows: Tensor, loop: int, place: int) -> Tensor:
    return value.new_empty((rows.shape[0], *value.shape))
