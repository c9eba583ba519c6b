"""The order of kernels: allowed, never worse for memory than that of the graph, gradients of weights first."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.export.c.ir import Buffer, Kernel
from quickstudy.export.c.plan import planned, without_unread
from quickstudy.export.c.schedule import scheduled
from quickstudy.functional.loop import repeat

from .functions import Compiled, compiled
from .programs import needed, random_program, run
from .test_c_derivatives import derivative

SEEDS = range(150)


def test_results_stay() -> None:
    moved = 0
    for seed in SEEDS:
        items = random_program(seed)
        ordered = scheduled(items)
        expected = run(items)
        assert sorted(map(id, ordered)) == sorted(map(id, items))
        for results in (run(ordered), run(ordered, planned(ordered))):
            for name, values in results.items():
                np.testing.assert_array_equal(values, expected[name], err_msg=f"seed {seed}")
        moved += ordered != items
    assert moved > 0.5 * len(SEEDS)


def test_kernels_stay_between_their_marks() -> None:
    for seed in SEEDS:
        items = random_program(seed)
        for before, after in zip(items, scheduled(items), strict=True):
            assert isinstance(before, Kernel) == isinstance(after, Kernel)
            assert isinstance(before, Kernel) or before is after


def test_memory_is_not_more_than_in_the_order_of_the_graph() -> None:
    sizes = []
    for seed in SEEDS:
        items = without_unread(random_program(seed))
        ordered = scheduled(items)
        assert needed(ordered) <= needed(items)
        sizes.append((planned(ordered).size, planned(items).size))
    assert np.mean([after / before for after, before in sizes]) < 0.97


def test_what_frees_memory_comes_first() -> None:
    big, bigger, small = Buffer("big", 100), Buffer("bigger", 100), Buffer("small", 1)
    out = Buffer("out", 1, outside=True)
    first = Kernel("first", frozenset(), frozenset({big}))
    second = Kernel("second", frozenset(), frozenset({bigger}))
    shrinks = Kernel("shrinks", frozenset({big}), frozenset({small}))
    last = Kernel("last", frozenset({bigger, small}), frozenset({out}))
    assert scheduled([first, second, shrinks, last]) == [first, shrinks, second, last]


def places(function: Compiled, text: str) -> list[int]:
    """Where the kernels with that text run."""
    return [place for place, item in enumerate(function.items) if isinstance(item, Kernel) and text in item.code]


def test_a_gradient_takes_the_place_of_the_activation() -> None:
    def net(image: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(image, first, padding=1).relu(), second, padding=1)

    inputs = {"image": torch.zeros(11, 2, 8, 8), "first": torch.zeros(6, 2, 3, 3), "second": torch.zeros(6, 6, 3, 3)}
    function = compiled(derivative(net), inputs, {"image"})
    weights, activations = places(function, "weight_gradient"), places(function, "input_gradient")
    assert weights[0] < activations[0] < weights[1]  # of the second layer, then through it, then of the first
    masked = function.items[activations[0]]
    assert isinstance(masked, Kernel)
    (result,), (activation,) = masked.writes, masked.overwrites
    assert function.arena.offsets[result] == function.arena.offsets[activation]


def test_each_update_follows_its_gradient() -> None:
    def steps(matrix: Tensor, start: Tensor) -> tuple[Tensor, ...]:
        def step(index: Tensor, weights: list[Tensor]) -> list[Tensor]:
            return [weight - 0.1 * (matrix @ weight) for weight in weights]

        return tuple(repeat(step, [start, start * 2, start * 3, start * 4], 3, "3"))

    function = compiled(steps, {"matrix": torch.zeros(8, 8), "start": torch.zeros(8, 5)})
    gradients = places(function, "total +=")
    assert len(gradients) == 4
    for place in gradients:
        gradient, update = function.items[place : place + 2]
        assert isinstance(gradient, Kernel)
        assert isinstance(update, Kernel)
        assert gradient.writes < update.reads
        assert update.writes < update.reads
    assert function.arena.size == planned(function.lowered).size - 3 * 8 * 5 * 4  # one gradient at a time, not four
