"""Order the kernels between two marks of loops: a kernel that frees memory, or takes none, runs as soon as its inputs are there.

So a weight's gradient comes before the gradient of the layer's input, which may then take the place of the input itself. Kernels that take
memory stay in the order of the graph, next to the use of their results.
"""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.export.c.ir import Buffer, Item, Kernel


def scheduled(items: Sequence[Item]) -> list[Item]:
    """Return the same items; kernels between the same loop marks may have changed places."""
    result: list[Item] = []
    run: list[Kernel] = []
    for place, item in enumerate(items):
        if isinstance(item, Kernel):
            run.append(item)
            continue
        result += _ordered(run, _read_elsewhere(items, place - len(run), place))
        run = []
        result.append(item)
    return result + _ordered(run, _read_elsewhere(items, len(items) - len(run), len(items)))


def _read_elsewhere(items: Sequence[Item], begin: int, end: int) -> set[Buffer]:
    """Return the buffers that kernels outside a run read: those after it, or those before it when a loop comes round."""
    return {buffer for item in [*items[:begin], *items[end:]] if isinstance(item, Kernel) for buffer in item.reads}


def _ordered(run: list[Kernel], needed: set[Buffer]) -> list[Kernel]:
    """Return the kernels of a run in their new order; `needed` are buffers that others read afterwards."""
    waits = _dependencies(run)
    readers: dict[Buffer, set[Kernel]] = {}
    for kernel in run:
        for buffer in kernel.reads:
            readers.setdefault(buffer, set()).add(kernel)
    local = {buffer for kernel in run for buffer in kernel.writes if not buffer.outside and buffer not in needed}
    remaining, done, result = list(run), set(), []
    while remaining:
        ready = [kernel for kernel in remaining if waits[kernel] <= done]
        growth = {kernel: _growth(kernel, local, readers, done) for kernel in ready}
        chosen = min(ready, key=lambda kernel: min(growth[kernel], 1))  # the first that occupies more, if all do
        result.append(chosen)
        remaining.remove(chosen)
        done.add(chosen)
    return result


def _growth(kernel: Kernel, local: set[Buffer], readers: dict[Buffer, set[Kernel]], done: set[Kernel]) -> int:
    """Return the bytes that a kernel occupies, less the bytes of buffers that nobody reads after it."""
    occupied = sum(buffer.bytes for buffer in kernel.writes - kernel.reads if not buffer.outside)
    freed = sum(buffer.bytes for buffer in kernel.reads if buffer in local and readers[buffer] <= done | {kernel})
    return occupied - freed


def _dependencies(run: Sequence[Kernel]) -> dict[Kernel, set[Kernel]]:
    """Return the kernels that must run before each kernel: those that write what it reads, and those that use what it overwrites."""
    waits: dict[Kernel, set[Kernel]] = {}
    for place, kernel in enumerate(run):
        waits[kernel] = {
            earlier
            for earlier in run[:place]
            if earlier.writes & (kernel.reads | kernel.writes) or earlier.reads & kernel.writes
        }
    return waits
