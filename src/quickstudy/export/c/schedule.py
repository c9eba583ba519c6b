"""The order of kernels between two ends of loops: the one that needs least memory next, as far as they do not depend on each other."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.export.c.ir import Buffer, Item, Kernel


def scheduled(items: Sequence[Item], sizes: bool = True) -> list[Item]:
    """The same items; kernels between the same loop marks may have changed places."""
    result: list[Item] = []
    run: list[Kernel] = []
    for place, item in enumerate(items):
        if isinstance(item, Kernel):
            run.append(item)
            continue
        result += _ordered(run, _read_later(items, place))
        run = []
        result.append(item)
    return result + _ordered(run, set())


def _read_later(items: Sequence[Item], place: int) -> set[Buffer]:
    """Buffers that something outside a run needs: kernels after it, or before it when a loop comes round."""
    others = [item for item in items[place:] if isinstance(item, Kernel)]
    return {buffer for kernel in others for buffer in kernel.reads}


def _ordered(run: list[Kernel], needed: set[Buffer]) -> list[Kernel]:
    waits = _dependencies(run)
    readers: dict[Buffer, set[Kernel]] = {}
    for kernel in run:
        for buffer in kernel.reads:
            readers.setdefault(buffer, set()).add(kernel)
    local = {buffer for kernel in run for buffer in kernel.writes if not buffer.outside and buffer not in needed}
    remaining, done, result = list(run), set(), []
    while remaining:
        ready = [kernel for kernel in remaining if waits[kernel] <= done]
        chosen = min(ready, key=lambda kernel: _growth(kernel, local, readers, done))  # the first of equals
        result.append(chosen)
        remaining.remove(chosen)
        done.add(chosen)
    return result


def _growth(kernel: Kernel, local: set[Buffer], readers: dict[Buffer, set[Kernel]], done: set[Kernel]) -> int:
    """Bytes that a kernel occupies, less those of what nobody reads after it."""
    occupied = sum(buffer.bytes for buffer in kernel.writes - kernel.reads if not buffer.outside)
    freed = sum(buffer.bytes for buffer in kernel.reads if buffer in local and readers[buffer] <= done | {kernel})
    return occupied - freed


def _dependencies(run: Sequence[Kernel]) -> dict[Kernel, set[Kernel]]:
    """What must come before each kernel: whoever wrote what it reads, and whoever used what it overwrites."""
    waits: dict[Kernel, set[Kernel]] = {}
    for place, kernel in enumerate(run):
        waits[kernel] = {
            earlier
            for earlier in run[:place]
            if earlier.writes & (kernel.reads | kernel.writes) or earlier.reads & kernel.writes
        }
    return waits
