"""Random programs of kernels and loops, and a machine that runs them: each buffer in memory of its own, or in a planned arena."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from quickstudy.export.c.ir import Begin, Buffer, End, Item, Kernel
from quickstudy.export.c.plan import Arena

ROUNDS = 3
"""How often the machine runs each loop."""


class _Maker:
    def __init__(self, seed: int) -> None:
        self.random, self.items, self.number = random.Random(seed), [], 0

    def buffer(self, size: int | None = None, outside: bool = False) -> Buffer:
        self.number += 1
        return Buffer(f"b{self.number}", size or self.random.choice((1, 2, 3, 8, 8, 8, 20, 50)), outside=outside)

    def kernel(self, reads: Sequence[Buffer], writes: Sequence[Buffer]) -> None:
        """Sometimes one that goes element by element, so that a result may take the place of an input of its size."""
        same = frozenset(b for b in reads if b not in writes and all(b.size == result.size for result in writes))
        over = same if self.random.random() < 0.6 else frozenset()
        self.number += 1
        self.items.append(Kernel(str(self.number), frozenset(reads), frozenset(writes), over))

    def block(self, known: list[Buffer], sums: list[Buffer], depth: int) -> list[Buffer]:
        """Kernels that read what is known, add to sums, and may hold loops; what is known after them."""
        known = [*known]
        for _ in range(self.random.randint(3, 8)):
            kind = self.random.random()
            if kind < 0.2 and depth < 2:
                known += self.loop(known, depth + 1)
            elif kind < 0.4 and sums:
                into = self.random.choice(sums)
                self.kernel([into, *self.chosen(known)], [into])
            else:
                reads = self.chosen(known)
                size = self.random.choice([None, *(b.size for b in reads)])
                results = [self.buffer(size) for _ in range(self.random.choice((1, 1, 1, 2)))]
                self.kernel(reads, results)
                known += results
        for into in sums:
            self.kernel([into, *self.chosen(known)], [into])
        return known

    def loop(self, known: list[Buffer], depth: int) -> list[Buffer]:
        """Return sums, which only their own additions read before the end, and values that a round reads and then hands on to the next."""
        sums, carried = ([self.buffer() for _ in range(self.random.randint(1, 2))] for _ in range(2))
        for start in (*sums, *carried):
            self.kernel([], [start])
        self.items.append(Begin("for"))
        inside = self.block([*known, *carried], sums, depth)
        for value in carried:
            self.kernel(self.chosen([b for b in inside if b not in carried]), [value])
        self.items.append(End())
        return [*sums, *carried]

    def chosen(self, known: Sequence[Buffer]) -> list[Buffer]:
        recent = known[-6:]
        return self.random.sample(recent, min(len(recent), self.random.randint(1, 3)))


def random_program(seed: int) -> list[Item]:
    """Kernels that read what earlier ones wrote, in loops that collect sums, as the compiler makes them; results go outside."""
    maker = _Maker(seed)
    first = maker.buffer()
    maker.kernel([], [first])
    known = maker.block([first], [], 0)
    maker.kernel(maker.chosen(known), [maker.buffer(8, outside=True)])
    maker.kernel(known[:2], [maker.buffer(8, outside=True)])
    return maker.items


def needed(items: list[Item]) -> int:
    """Bytes that hold, at some moment between two kernels, what was written and will be read: with loops written out, no arena does
    with less."""
    steps = [item for item in written_out(items) if isinstance(item, Kernel)]
    alive: set[Buffer] = set()
    most = 0
    for step in reversed(steps):
        alive = (alive - (step.writes - step.reads)) | {buffer for buffer in step.reads if not buffer.outside}
        most = max(most, sum(buffer.bytes for buffer in alive))
    return most


def written_out(items: list[Item]) -> list[Item]:
    """Return the same kernels with every loop twice."""
    stack: list[list[Item]] = [[]]
    for item in items:
        if isinstance(item, Begin):
            stack.append([])
        elif isinstance(item, End):
            body = stack.pop()
            stack[-1] += [*body, *body]
        else:
            stack[-1].append(item)
    return stack[0]


def run(items: Sequence[Item], arena: Arena | None = None) -> dict[str, np.ndarray]:
    """Return what is outside afterwards; without an arena, every buffer has memory of its own."""
    buffers = {b for item in items if isinstance(item, Kernel) for b in item.reads | item.writes}
    whole = np.full((arena.size if arena else 0) // 4, np.nan)
    memory = {
        b: whole[arena.offsets[b] // 4 :][: b.size] if arena and not b.outside else np.full(b.size, np.nan) for b in buffers
    }
    _run(items, memory)
    return {b.name: memory[b] for b in buffers if b.outside}


def _run(items: Sequence[Item], memory: dict[Buffer, np.ndarray]) -> None:
    place = 0
    while place < len(items):
        item = items[place]
        if isinstance(item, Begin):
            end, depth = place, 1
            while depth:
                end += 1
                depth += isinstance(items[end], Begin) - isinstance(items[end], End)
            for _ in range(ROUNDS):
                _run(items[place + 1 : end], memory)
            place = end
        elif isinstance(item, Kernel):
            _compute(item, memory)
        place += 1


def _compute(kernel: Kernel, memory: dict[Buffer, np.ndarray]) -> None:
    """Numbers that depend on the kernel and on all that it reads; what it may not overwrite is read after results were begun."""
    early = {b: memory[b].copy() for b in kernel.overwrites}
    for result in sorted(kernel.writes, key=lambda b: b.name):
        if result not in kernel.reads:
            memory[result][:] = np.cos(int(kernel.code) + np.arange(result.size))
    for result in sorted(kernel.writes, key=lambda b: b.name):
        for read in sorted(kernel.reads - {result}, key=lambda b: b.name):
            values = early.get(read, memory[read])
            memory[result][:] = memory[result] * 0.7 + np.resize(np.sin(values), result.size)
