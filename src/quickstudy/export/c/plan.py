"""Place the buffers in the arena: those that are needed at the same time lie apart, and others may share their memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from quickstudy.export.c.ir import Begin, Buffer, End, Item, Kernel


@dataclasses.dataclass(frozen=True)
class Arena:
    """Offsets in bytes of each buffer, and the size of the whole."""

    offsets: dict[Buffer, int]
    size: int


def without_unread(items: Sequence[Item]) -> list[Item]:
    """Return the items without kernels whose results nobody reads."""
    items = list(items)
    while True:
        read = {buffer for item in items if isinstance(item, Kernel) for buffer in item.reads - (item.reads & item.writes)}
        kept = [item for item in items if not isinstance(item, Kernel) or any(b.outside or b in read for b in item.writes)]
        if len(kept) == len(items):
            return kept
        items = kept


def planned(items: Sequence[Item]) -> Arena:
    """Return an arena in which each buffer has the first place that fits, the largest buffers first."""
    spans = lifetimes(items)
    groups = _shared(items, spans)
    offsets: dict[Buffer, int] = {}
    size = 0
    for group in sorted(groups, key=lambda group: (-max(b.bytes for b in group), min(spans[b] for b in group), group[0].name)):
        need = max(buffer.bytes for buffer in group)
        busy = sorted(
            (offset, offset + other.bytes)
            for other, offset in offsets.items()
            if any(spans[other][0] <= spans[b][1] and spans[b][0] <= spans[other][1] for b in group)
        )
        place = 0
        for low, high in busy:
            if place + need <= low:
                break
            place = max(place, high)
        offsets |= dict.fromkeys(group, place)
        size = max(size, place + need)
    return Arena(offsets, size)


def lifetimes(items: Sequence[Item]) -> dict[Buffer, tuple[int, int]]:
    """Return the first and the last item between which each buffer must not be touched by others."""
    around = _loops_around(items)
    uses: dict[Buffer, list[int]] = {}
    kernels = ((place, item) for place, item in enumerate(items) if isinstance(item, Kernel))
    for place, item in kernels:
        for buffer in sorted(item.reads | item.writes, key=_name):
            if not buffer.outside:
                uses.setdefault(buffer, []).append(place)
    spans = {}
    for buffer, places in uses.items():
        common = set.intersection(*(set(around[place]) for place in places))
        # a buffer that is used inside and outside of a loop must survive all its rounds
        partly = {loop for place in places for loop in around[place]} - common
        spans[buffer] = (min([*places, *(begin for begin, _ in partly)]), max([*places, *(end for _, end in partly)]))
    return spans


def _loops_around(items: Sequence[Item]) -> list[tuple[tuple[int, int], ...]]:
    """Return, for each item, the first and the last place of each loop around it."""
    ends: dict[int, int] = {}
    stack: list[int] = []
    for place, item in enumerate(items):
        if isinstance(item, Begin):
            stack.append(place)
        elif isinstance(item, End):
            ends[stack.pop()] = place
    return [tuple((begin, end) for begin, end in ends.items() if begin <= place <= end) for place in range(len(items))]


def _shared(items: Sequence[Item], spans: dict[Buffer, tuple[int, int]]) -> list[list[Buffer]]:
    """Return buffers in groups that share one place: a result and the value that it is computed from, if no later kernel needs that."""
    group = {buffer: [buffer] for buffer in spans}
    for place, item in enumerate(items):
        if not isinstance(item, Kernel):
            continue
        taken: set[Buffer] = set()
        for result in sorted(item.writes - item.reads, key=_name):
            sources = (
                source
                for source in sorted(item.overwrites - taken, key=_name)
                if not (result.outside or source.outside)
                and group[result] is not group[source]
                and spans[source][1] == place == spans[result][0]
                and source.bytes >= result.bytes
            )
            source = next(sources, None)
            if source is not None:
                group[source] += group[result]
                group |= dict.fromkeys(group[result], group[source])
                taken.add(source)
    unique = {id(buffers): buffers for buffers in group.values()}
    return list(unique.values())


def _name(buffer: Buffer) -> str:
    """Return the buffer's name, by which sets are gone through in the same order every time."""
    return buffer.name
