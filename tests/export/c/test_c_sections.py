"""Passes over the examples: what they compute is what the graph says, for any number of examples, in memory that the graph needs."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from quickstudy.errors import ModelError
from quickstudy.export.c import ops
from quickstudy.export.c.sections import example_axis
from quickstudy.functional.loop import repeat

from .functions import built, compiled
from .test_c_derivatives import derivative

SHAPES = {"x": (11, 4), "y": (11, 3), "image": (11, 2, 5, 5), "w": (3, 4), "k": (6, 2, 3, 3)}
EXAMPLES = {"x", "y", "image"}


def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(x @ w.t(), y.softmax(1))


def descent(w: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    def step(index: Tensor, values: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        weight, speed = values
        speed = speed * 0.9 + torch.func.grad(loss)(weight, x, y)
        return weight - 0.5 * speed / (index + 1), speed

    return repeat(step, (w, torch.zeros_like(w)), 4, "4")


def exchange(w: Tensor) -> tuple[Tensor, ...]:
    """Values that each need the other's old one, and a third that needs both."""

    def step(index: Tensor, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a, b, c = values
        return b * 2, a + index, a.flatten().view(4, 3).t() + b - c

    return repeat(step, (w, w + 1, w * 2), 3, "3")


STREAMED: dict[str, tuple[str, Callable[..., tuple[Tensor, ...]]]] = {
    "sums": ("x", lambda x: (x.sum(0), x.square().sum(), x.amax(0), x.mean((0, 1)))),
    "rows": ("x", lambda x: (x.exp().softmax(1), x, (x * 2).sum(1, keepdim=True))),
    "a row twice": ("x", lambda x: ((double := x * 2), double)),
    "counts": ("x", lambda x: (x / x.shape[0] + torch.arange(x.shape[0]).unsqueeze(1), x.sum(0) / x.shape[0])),
    "second pass": ("x", lambda x: (x - x.mean(0), x.var(0))),
    "third pass": ("x", lambda x: (((x - x.mean(0)) / (x - x.mean(0)).square().sum(0).sqrt()).abs().sum(0),)),
    "prototypes": ("x y", lambda x, y: (y.softmax(1).t() @ x / y.softmax(1).sum(0).unsqueeze(1),)),
    "distances": ("x w", lambda x, w: ((x.unsqueeze(1) - w).square().sum(2), x @ w.t() + w.sum())),
    "gradient": ("w x y", lambda w, x, y: (torch.func.grad(loss)(w, x, y), loss(w, x, y))),
    "descent": ("w x y", descent),
    "convolution": ("image k", lambda image, k: (F.conv2d(image, k).relu().sum(0), F.max_pool2d(image, 2).sum(0))),
    "gradient of a convolution": ("image k", derivative(lambda image, k: F.conv2d(image, k).relu())),
}
KEPT: dict[str, tuple[str, Callable[..., tuple[Tensor, ...]]]] = {
    "convolution, normalised": (
        "image k",
        lambda image, k: (F.batch_norm(F.conv2d(image, k), None, None, training=True).sum((0, 2, 3)),),
    ),
    "softmax of examples": ("x w", lambda x, w: ((x @ w.t()).softmax(0).square().sum(0),)),
}
"""What is dear to compute and needed again after a sum over all examples."""


@pytest.mark.parametrize("case", [*STREAMED, *KEPT])
def test_equal_to_torch_for_any_number(case: str, inputs: dict[str, Tensor], tmp_path: pathlib.Path) -> None:
    names, function = (STREAMED | KEPT)[case]
    given = {name: inputs[name] for name in names.split()}
    made = compiled(function, given, EXAMPLES, capacity=11)
    library = built(tmp_path, [made])
    for count in (2, 7, 11):
        some = {name: value[:count] if name in EXAMPLES else value for name, value in given.items()}
        for mine, expected in zip(library.run(made, list(some.values()), count), function(**some), strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-5, err_msg=f"{count} examples")


@pytest.mark.parametrize("case", [*STREAMED, *KEPT])
def test_memory_grows_only_with_what_must_be_kept(case: str, inputs: dict[str, Tensor]) -> None:
    names, function = (STREAMED | KEPT)[case]
    given = {name: inputs[name] for name in names.split()}
    few, many = (compiled(function, given, EXAMPLES, capacity=capacity) for capacity in (10, 1000))
    assert (many.arena.size > few.arena.size) == bool(many.cut.kept) == (case in KEPT)


def test_loop_hands_all_values_on_at_once(inputs: dict[str, Tensor], tmp_path: pathlib.Path) -> None:
    made = compiled(exchange, {"w": inputs["w"]})
    for mine, expected in zip(built(tmp_path, [made]).run(made, [inputs["w"]]), exchange(inputs["w"]), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5)


@pytest.mark.parametrize("case", [*STREAMED, *KEPT])
def test_everything_is_computed_before_it_is_read(case: str, inputs: dict[str, Tensor]) -> None:
    names, function = (STREAMED | KEPT)[case]
    cut = compiled(function, {name: inputs[name] for name in names.split()}, EXAMPLES).cut
    ready: set[fx.Node] = set()
    for section in cut.sections:
        here = set(ready)
        for node in section.nodes:
            read = {other for other in ops.inputs(node) if other.op == "call_function" and other.target is not ops.LEAVE}
            assert read <= here
            examples = example_axis(node) is not None
            assert section.over is not None or not examples
            collected = section.over is not None and not examples and any(map(example_axis, ops.inputs(node)))
            here |= set() if collected else {node}  # a sum is ready after the pass
        ready |= {node for node in section.nodes if example_axis(node) is None or node in cut.kept}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x @ x.t(), "pairs or merges"),
        (lambda x: x[1:].sum(0), "pairs or merges"),
        (lambda x: x.reshape(-1, 2).sum(0), "pairs or merges"),
        (lambda x: x[0] + x, "picks examples"),
        (lambda x: repeat(lambda index, value: value * 2, x, 3, "3").sum(0), "loop hands on"),
    ],
)
def test_what_needs_several_examples_is_refused(function: Callable[[Tensor], Tensor], words: str) -> None:
    with pytest.raises(ModelError, match=rf"(?s){words}.*(Write|Compute).*ONNX"):
        compiled(lambda x: (function(x),), {"x": torch.zeros(11, 4)}, {"x"})
