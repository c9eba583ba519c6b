"""A loop over the rows of a tensor is one loop in C: what it takes, hands on and puts out equals torch."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from recurrent import Recurrent, trained
from torch import Tensor

from quickstudy.errors import ModelError
from quickstudy.export.bundle import to_bundle
from quickstudy.export.measure import logits
from quickstudy.functional.loop import repeat, scan
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.runtime import learner as runtime
from quickstudy.task import Examples
from quickstudy.training.saving import SavedLearner

from .functions import built, compiled


def over_examples(x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
    """Take examples as given and as computed, hand on two values, and use all that was put out afterwards."""

    def step(index: Tensor, carry: tuple[Tensor, Tensor], rows: tuple[Tensor, ...]) -> tuple[tuple[Tensor, Tensor], Tensor]:
        first, second = carry
        given, computed = rows
        return (torch.tanh(first * 0.5 + given), second + computed * first), first + computed

    (first, second), seen = scan(step, (w, torch.zeros_like(w)), (x, torch.exp(-x * x)))
    return first, second, seen.sum(0), seen


def over_numbers(x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
    """Take the rows of a tensor that counts no examples."""
    total, _ = scan(lambda index, total, row: (total * 0.5 + row + index, ()), torch.zeros(4), w.expand(5, 4) * 2)
    return (total + x.sum(0),)


def with_several_outputs(x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
    """Put out two tensors per step, and join pieces of them inside and after the loop."""

    def step(index: Tensor, carry: tuple[Tensor, Tensor], row: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        kept, shown = carry
        forget, write = torch.sigmoid(torch.cat([shown, row]) * torch.cat([w, w])).chunk(2)
        kept = forget * kept + write * torch.tanh(row)
        return (kept, torch.tanh(kept)), (kept, torch.stack([forget, write]))

    (kept, shown), (seen, gates) = scan(step, (torch.zeros_like(w), w), x)
    joined = torch.cat([seen, gates.flatten(1), x], 1)
    return torch.cat([kept, shown]), joined, joined.sum(0)


@pytest.mark.parametrize("function", [over_examples, over_numbers, with_several_outputs])
def test_it_equals_torch_for_any_number_of_examples(function: Callable, tmp_path: pathlib.Path) -> None:
    inputs = {"x": torch.randn(9, 4), "w": torch.randn(4)}
    one = compiled(function, inputs, ["x"])
    library = built(tmp_path, [one])
    assert one.text.count("for (int step") == 1
    for count in (1, 6, 9):
        given = [inputs["x"][:count], inputs["w"]]
        for found, expected in zip(library.run(one, given, count), function(*given), strict=True):
            torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-5, atol=1e-5)


def test_a_loop_inside_a_loop_is_refused() -> None:
    """Marks of both would be read as those of loops side by side."""

    def twice(x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        def step(index: Tensor, carry: Tensor, row: Tensor) -> tuple[Tensor, tuple[()]]:
            return repeat(lambda index, inner: inner * 0.5 + row, carry, 3, "inner_steps"), ()

        return (scan(step, w, x)[0],)

    with pytest.raises(
        ModelError, match=r"inner_steps steps stands inside a loop over the rows .* Python loop of fixed length"
    ):
        compiled(twice, {"x": torch.randn(9, 4), "w": torch.randn(4)}, ["x"])


def test_a_recurrent_learner_is_trained_and_equals_torch_in_onnx_and_in_c(build: Callable) -> None:
    torch.manual_seed(0)
    learner = trained(Recurrent(MLP(in_features=6, hidden=(8, 6))))
    x, classes, queries = torch.randn(7, 6), torch.arange(7) % 3, torch.randn(4, 6)
    host = build(SavedLearner(learner), ways=3, examples=9, features=6, precision="float32")
    assert host.adapt(x.numpy(), classes.numpy()) == 0
    _, scores = host.predict(queries.numpy())
    shipped = runtime.Learner(to_bundle(SavedLearner(learner), features=6))
    in_onnx = logits(shipped, Examples(x, one_hot(classes, 3)), queries)
    exact = learner.double()
    support = Examples(x.double(), OneHot(one_hot(classes, 3).rows.double()))
    expected = exact.predict(exact.adapt(support), queries.double()).detach().numpy()
    for found in (scores, in_onnx):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
