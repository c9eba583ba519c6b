"""Check a program between passes: buffers are written before they are read, loops close, and shared memory was declared.

A wrong declaration of a kernel would otherwise become a wrong number on a device, and nothing would say where it came from.
"""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.export.c.ir import Begin, Buffer, Item, Kernel
from quickstudy.export.c.plan import Arena, lifetimes


class InvalidProgramError(AssertionError):
    """Error of a pass that made a program which cannot be right: a fault of quickstudy, not of the learner."""


def check_items(items: Sequence[Item], after: str) -> None:
    """Raise an InvalidProgramError unless loops close, reads follow writes, and kernels overwrite only what they read.

    Args:
        items: the program.
        after: name of the pass that made it.
    """
    depth, written = 0, set[Buffer]()
    for place, item in enumerate(items):
        if not isinstance(item, Kernel):
            depth += 1 if isinstance(item, Begin) else -1
            if depth < 0:
                raise InvalidProgramError(f"after {after}: item {place} ends a loop that never began.")
            continue
        unwritten = {buffer.name for buffer in item.reads - written if not buffer.outside}
        if unwritten:
            raise InvalidProgramError(
                f"after {after}: item {place} reads {_listed(unwritten)} before anything wrote it:\n{item.code}"
            )
        strange = {buffer.name for buffer in item.overwrites - item.reads}
        if strange:
            raise InvalidProgramError(
                f"after {after}: item {place} may overwrite {_listed(strange)}, which it does not read:\n{item.code}"
            )
        unnamed = {buffer.name for buffer in item.writes if buffer.name not in item.code}
        if unnamed:
            raise InvalidProgramError(
                f"after {after}: item {place} says that it writes {_listed(unnamed)} and does not:\n{item.code}"
            )
        written |= item.writes
    if depth:
        raise InvalidProgramError(f"after {after}: {depth} loops are not closed.")


def check_arena(items: Sequence[Item], arena: Arena) -> None:
    """Raise an InvalidProgramError if two buffers share bytes while both are needed, unless a kernel declares it."""
    needed = lifetimes(items)
    placed = sorted(arena.offsets, key=lambda buffer: (arena.offsets[buffer], buffer.name))
    for number, buffer in enumerate(placed):
        end = arena.offsets[buffer] + buffer.bytes
        if end > arena.size:
            raise InvalidProgramError(f"{buffer.name} ends at byte {end} of an arena of {arena.size}.")
        for other in placed[number + 1 :]:
            if arena.offsets[other] >= end:
                break
            first, second = sorted((buffer, other), key=needed.__getitem__)
            if needed[first][1] >= needed[second][0] and not _declared(items, needed, first, second):
                raise InvalidProgramError(f"{buffer.name} and {other.name} share memory while both are needed.")


def _declared(items: Sequence[Item], needed: dict[Buffer, tuple[int, int]], first: Buffer, second: Buffer) -> bool:
    """Say whether the kernel that reads the first for the last time lets the second take its place."""
    place = needed[first][1]
    item = items[place]
    return needed[second][0] == place and isinstance(item, Kernel) and first in item.overwrites and second in item.writes


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
