"""The program that the passes hand on: values (how to read an element of a tensor), buffers (memory), kernels (pieces of C) and loops."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch

Index = tuple[str, ...]
"""A C expression for each axis."""

C_TYPE = {torch.float32: "float", torch.int64: "int32_t", torch.bool: "uint8_t", torch.uint8: "uint8_t"}
BYTES = {torch.float32: 4, torch.int64: 4, torch.bool: 1, torch.uint8: 1}


@dataclasses.dataclass(frozen=True, eq=False)
class Buffer:
    """Memory of one tensor.

    Args:
        name: a C expression that points to it.
        size: number of elements.
        dtype: type of its elements.
        outside: True if it belongs to the caller (weights, state, inputs), and not to the arena.
    """

    name: str
    size: int
    dtype: torch.dtype = torch.float32
    outside: bool = False

    @property
    def bytes(self) -> int:
        """Return its size in the arena, rounded up to words of 4 bytes."""
        return -(-max(1, self.size) * BYTES[self.dtype] // 4) * 4


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor that need not exist: an expression for any of its elements.

    Args:
        shape: its axes; the axis of the examples has size 1, since one example is computed at a time.
        dtype: type of its elements.
        read: function from an index to the C expression of that element.
        reads: buffers that the expression reads.
        cost: number of operations that compute one element.
        place: buffer and offset (in elements, a C expression) at which its elements lie in row-major order; None if they do not.
        aligned: those of `reads` of which element i is read for element i only, so that the result may overwrite them.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[Index], str]
    reads: frozenset[Buffer] = frozenset()
    cost: int = 0
    place: tuple[Buffer, str] | None = None
    aligned: frozenset[Buffer] = frozenset()

    @property
    def size(self) -> int:
        """Return the number of its elements."""
        return math.prod(self.shape)

    @property
    def pointer(self) -> str:
        """Return the C expression of a pointer to its elements, which must lie somewhere."""
        assert self.place is not None
        buffer, offset = self.place
        return f"{buffer.name} + {offset}" if offset else buffer.name


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """A piece of C that runs as a whole.

    Args:
        code: lines of C.
        reads: buffers read, including those that it adds to.
        writes: buffers written.
        overwrites: buffers read that the result may take the place of, if nothing needs them afterwards.
    """

    code: str
    reads: frozenset[Buffer]
    writes: frozenset[Buffer]
    overwrites: frozenset[Buffer] = frozenset()


@dataclasses.dataclass(frozen=True, eq=False)
class Begin:
    """The start of a loop: the line of C that opens it."""

    code: str


@dataclasses.dataclass(frozen=True, eq=False)
class End:
    """The end of the innermost loop."""


Item = Kernel | Begin | End


def stored(buffer: Buffer, shape: Sequence[int], offset: str = "") -> Value:
    """Return a value that lies in a buffer, row-major, from `offset` (in elements) on."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]

    def read(index: Index) -> str:
        terms = [offset] if offset else []
        terms += [
            place if stride == 1 else f"{place} * {stride}"
            for place, stride in zip(index, strides, strict=True)
            if place != "0"
        ]
        return f"{buffer.name}[{' + '.join(terms) or '0'}]"

    whole = frozenset({buffer}) if not offset else frozenset()
    return Value(tuple(shape), buffer.dtype, read, frozenset({buffer}), 0, (buffer, offset), whole)


def constant(number: float | int | bool | str, shape: Sequence[int], dtype: torch.dtype) -> Value:
    """Return a value that is the same number everywhere; a text is taken as C."""
    return Value(tuple(shape), dtype, lambda index: literal(number, dtype))


def remapped(value: Value, shape: Sequence[int], back: Callable[[Index], Index]) -> Value:
    """Return a value read through a function from its new index to its old one."""
    return dataclasses.replace(
        value, shape=tuple(shape), read=lambda index: value.read(back(index)), place=None, aligned=frozenset()
    )


def expanded(value: Value, shape: tuple[int, ...]) -> Value:
    """Return a value spread over further axes, and over axes of size 1."""
    missing = len(shape) - len(value.shape)

    def back(index: Index) -> Index:
        return tuple("0" if size == 1 else index[missing + axis] for axis, size in enumerate(value.shape))

    if value.size == math.prod(shape):
        return reshaped_in_place(value, shape, back)
    return remapped(value, shape, back)


def reshaped_in_place(value: Value, shape: Sequence[int], back: Callable[[Index], Index]) -> Value:
    """Return a value read through a function of its index that only adds or drops axes of size 1, so that elements keep their order."""
    return dataclasses.replace(value, shape=tuple(shape), read=lambda index: value.read(back(index)))


def literal(number: float | int | bool | str, dtype: torch.dtype) -> str:
    """Write a number in C.

    >>> literal(0.1, torch.float32), literal(True, torch.bool), literal(float("-inf"), torch.float32)
    ('0.1f', '1', '-INFINITY')
    """
    if isinstance(number, str):
        return f"(float){number}" if dtype == torch.float32 else number
    if dtype != torch.float32:
        return str(int(number))
    if math.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    text = f"{float(number):.9g}"
    return f"{text}f" if any(mark in text for mark in ".en") else f"{text}.0f"


def loops(shape: Sequence[int], prefix: str = "i") -> tuple[list[str], Index]:
    """Return the lines that open loops over a shape, and the index inside; axes of size 1 need none."""
    opening, index = [], []
    for axis, size in enumerate(shape):
        if size == 1:
            index.append("0")
            continue
        name = f"{prefix}{axis}"
        opening.append(f"for (int {name} = 0; {name} < {size}; {name}++)")
        index.append(name)
    return opening, tuple(index)


def nested(opening: Sequence[str], body: Sequence[str]) -> str:
    """Return the lines of `body`, indented, inside the loops that `opening` opens."""
    lines = [f"{'    ' * depth}{line}{' {' if depth == len(opening) - 1 else ''}" for depth, line in enumerate(opening)]
    if not opening:
        return "\n".join(["{", *(f"    {line}" for line in body), "}"])
    depth = len(opening)
    return "\n".join([*lines, *(f"{'    ' * depth}{line}" for line in body), f"{'    ' * (depth - 1)}}}"])
