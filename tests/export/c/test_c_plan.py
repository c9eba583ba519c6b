"""The arena: nothing that is needed is overwritten, whatever the program, and little memory is wasted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quickstudy.export.c.ir import Begin, Buffer, End, Kernel
from quickstudy.export.c.plan import planned, without_unread

from .programs import needed, random_program, run

SEEDS = range(150)


def kernel(reads: list[Buffer], writes: list[Buffer], over: list[Buffer] | None = None) -> Kernel:
    return Kernel("1", frozenset(reads), frozenset(writes), frozenset(over or []))


def test_results_are_those_of_separate_memory() -> None:
    shared = 0
    for seed in SEEDS:
        items = random_program(seed)
        arena = planned(items)
        apart, together = run(items), run(items, arena)
        for name, values in apart.items():
            np.testing.assert_array_equal(together[name], values, err_msg=f"seed {seed}")
        shared += arena.size < sum(buffer.bytes for buffer in arena.offsets)
    assert shared > 0.9 * len(SEEDS)  # and memory was used again


def test_size_is_near_what_any_arena_needs() -> None:
    ratios = []
    for seed in SEEDS:
        items = without_unread(random_program(seed))
        size, least = planned(items).size, needed(items)
        assert size >= least
        ratios.append(size / least)
    assert np.mean(ratios) < 1.2


def test_offsets_are_words_inside_the_arena() -> None:
    for seed in SEEDS:
        arena = planned(random_program(seed))
        assert all(offset % 4 == 0 and offset + buffer.bytes <= arena.size for buffer, offset in arena.offsets.items())
        assert not any(buffer.outside for buffer in arena.offsets)
        assert planned(random_program(seed)).size == arena.size


def test_chain_needs_two_places() -> None:
    chain = [Buffer(f"b{number}", 10) for number in range(6)]
    items = [kernel(chain[number : number + 1], [chain[number + 1]]) for number in range(5)]
    assert planned([kernel([], [chain[0]]), *items]).size == 2 * 40


def test_result_takes_the_place_of_what_dies() -> None:
    a, b, c = Buffer("a", 10), Buffer("b", 10), Buffer("c", 10)
    items = [kernel([], [a]), kernel([a], [b], [a]), kernel([b], [c], [b])]
    arena = planned(items)
    assert arena.size == 40
    assert arena.offsets[a] == arena.offsets[b] == arena.offsets[c]
    arena = planned([*items, kernel([a, c], [Buffer("out", 1, outside=True)])])
    assert arena.offsets[a] != arena.offsets[b] == arena.offsets[c]


@pytest.mark.parametrize(("size", "dtype"), [(11, torch.float32), (40, torch.int64)])
def test_result_that_does_not_fit_lies_elsewhere(size: int, dtype: torch.dtype) -> None:
    a, b = Buffer("a", 10), Buffer("b", size, dtype)
    arena = planned([kernel([], [a]), kernel([a], [b], [a]), kernel([b], [])])
    assert arena.size == a.bytes + b.bytes


def test_one_result_takes_a_place() -> None:
    a, b, c = Buffer("a", 10), Buffer("b", 10), Buffer("c", 10)
    arena = planned([kernel([], [a]), kernel([a], [b, c], [a]), kernel([b, c], [])])
    assert arena.offsets[b] != arena.offsets[c]
    assert arena.size == 80


def test_what_a_loop_reads_lasts_all_its_rounds() -> None:
    before, inside = Buffer("before", 10), Buffer("inside", 10)
    loop = [Begin("for"), kernel([before], []), kernel([], [inside]), kernel([inside], []), End()]
    arena = planned([kernel([], [before]), *loop])
    assert arena.size == 80
    arena = planned([kernel([], [before]), kernel([before], []), loop[0], *loop[2:]])
    assert arena.size == 40


def test_bytes_are_rounded_up_to_words() -> None:
    flags, numbers = Buffer("flags", 5, torch.bool), Buffer("numbers", 2)
    assert flags.bytes == 8
    assert planned([kernel([], [flags, numbers]), kernel([flags, numbers], [])]).size == 16


def test_unread_kernels_are_left_out_with_what_only_they_read() -> None:
    a, b, total, out = Buffer("a", 1), Buffer("b", 1), Buffer("total", 1), Buffer("out", 1, outside=True)
    dead = [kernel([], [a]), kernel([a], [b]), kernel([b, total], [total])]  # a sum that is read by its own addition only
    items = [*dead[:2], kernel([], [total]), dead[2], kernel([], [out])]
    assert without_unread(items) == items[-1:]
    for seed in SEEDS:
        items = random_program(seed)
        kept = without_unread(items)
        expected = run(items)
        assert all(np.array_equal(values, expected[name]) for name, values in run(kept).items())
