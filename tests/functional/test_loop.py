"""scan: as a loop of Python, as marks in a captured graph, and in a learner that goes over its examples one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from builders import apart, furthest, gradients, make_net, make_tasks, rows
from recurrent import Recurrent
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from quickstudy.errors import ModelError
from quickstudy.functional.loop import as_loops, repeat, scan
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples, Task
from quickstudy.training.engine import meta_gradient


def learner() -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(make_net()).double()


def running(index: Any, carry: dict[str, Tensor], x: tuple[Tensor, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    total = carry["total"] * x[1] + x[0]
    return {"total": total}, {"total": total, "index": torch.as_tensor(index)}


def test_it_is_a_loop_over_rows_with_stacked_outputs() -> None:
    values, factors = torch.randn(5, 3), torch.rand(5)
    carry, outs = scan(running, {"total": torch.zeros(3)}, (values, factors))
    expected, total = [], torch.zeros(3)
    for value, factor in zip(values, factors, strict=True):
        total = total * factor + value
        expected.append(total)
    assert torch.equal(carry["total"], total)
    assert torch.equal(outs["total"], torch.stack(expected))
    assert outs["index"].tolist() == [0, 1, 2, 3, 4]


def test_no_rows_leave_the_carry_and_give_no_outputs() -> None:
    carry, outs = scan(running, {"total": torch.ones(3)}, (torch.zeros(0, 3), torch.zeros(0)))
    assert torch.equal(carry["total"], torch.ones(3))
    assert outs["total"].shape == (0, 3)
    assert outs["index"].shape == (0,)
    assert repeat(lambda index, x: x + 1, torch.tensor(2), 0, "steps") == 2


def test_outputs_of_a_counted_loop_are_stacked_too() -> None:
    carry, outs = scan(lambda index, x, _: (2 * x, x), torch.tensor(1), (), times=4, name="steps")
    assert (int(carry), outs.tolist()) == (16, [1, 2, 4, 8])


def test_marks_say_what_goes_in_and_out() -> None:
    """In the captured graph, one step between its marks, and what does not depend on them before it, at any number of rows."""

    def function(weight: Tensor, start: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return scan(lambda index, carry, x: (carry @ weight.exp() + x + index, carry.sum()), start, values)

    with as_loops() as loops:
        graph = make_fx(function, tracing_mode="symbolic")(torch.eye(3), torch.zeros(3), torch.randn(7, 3))
        repeat(lambda index, x: x + 1, torch.zeros(()), 4, "steps")
    assert loops == ["", "steps"]
    ours = [node for node in graph.graph.nodes if str(node.target).startswith("quickstudy.")]
    marks = [(str(node.target).split(".")[1], *node.args[-2:]) for node in ours]
    assert sorted(marks) == [("collect", 0, 0), ("enter", 0, 0), ("enter", 0, 1), ("leave", 0, 1), ("take", 0, 0)]
    carry, outs = graph(torch.eye(3), torch.zeros(3), torch.randn(9, 3))
    assert (carry.shape, outs.shape) == ((3,), (9,))


def test_an_exported_loop_cannot_put_out_as_many_rows_as_a_setting_says() -> None:
    with as_loops(), pytest.raises(ModelError, match="a loop of steps steps puts out a row per step"):
        scan(lambda index, x, _: (2 * x, x), torch.tensor(1), (), times=4, name="steps")


def inner_rows(total: Tensor) -> Tensor:
    return scan(lambda index, carry, x: (carry + x, ()), total, torch.arange(3.0))[0]


def inner_steps(total: Tensor) -> Tensor:
    return repeat(lambda index, carry: carry + 1, total, 3, "inner_steps")


def outer_rows(inner: Callable[[Tensor], Tensor]) -> Tensor:
    return scan(lambda index, carry, x: (inner(carry) + x, ()), torch.zeros(()), torch.ones(2))[0]


def outer_steps(inner: Callable[[Tensor], Tensor]) -> Tensor:
    return repeat(lambda index, carry: inner(carry) + 1, torch.zeros(()), 2, "outer_steps")


@pytest.mark.parametrize(
    ("inner", "what"), [(inner_rows, "a loop over the rows of a tensor"), (inner_steps, "a loop of inner_steps steps")]
)
@pytest.mark.parametrize(
    ("outer", "where"), [(outer_rows, "a loop over the rows of a tensor"), (outer_steps, "a loop of outer_steps steps")]
)
def test_a_loop_inside_a_loop_runs_and_is_refused_in_an_export(inner: Any, what: str, outer: Any, where: str) -> None:
    """It would be numbered and cut as if it stood beside the other one; loops one after another are none of its affair."""
    assert float(outer(inner)) == 8
    with as_loops():
        with pytest.raises(
            ModelError, match=f"^{what} stands inside {where}, .* Write the inner one as a Python loop of fixed length"
        ):
            outer(inner)
        outer(lambda total: sum((total for _ in range(3)), torch.zeros(())))
        inner(torch.zeros(()))


# ---------------------------------------------------------------------------------------------------- in a learner


@pytest.mark.parametrize("ragged", [False, True])
def test_a_learner_may_go_over_its_examples(ragged: bool) -> None:
    """Its meta-gradient is the same in a loop over tasks and mapped, and padding changes nothing."""
    recurrent, tasks = learner(), make_tasks(3, ragged=ragged)
    meta_gradient(recurrent, tasks, "loop")
    looped = gradients(recurrent)
    meta_gradient(recurrent, tasks, "vmap")
    assert furthest(gradients(recurrent), looped) < 1e-9
    if ragged:
        support, x = tasks[1].support, tasks[1].query.x
        bare = rows(support, support.mask)  # type: ignore[arg-type]
        whole, part = (recurrent.adapt(examples)["hidden"] for examples in (support, bare))
        assert torch.equal(whole, part)
        assert x.shape == (9, 6)


def test_it_continues_where_a_state_left_off() -> None:
    recurrent, task = learner(), make_tasks()[0]
    whole = recurrent.adapt(task.support)
    first, second = rows(task.support, slice(0, 4)), rows(task.support, slice(4, None))
    torch.testing.assert_close(recurrent.adapt(second, recurrent.adapt(first))["hidden"], whole["hidden"])


def signs(count: int, seed: int) -> Task:
    """Return tasks that tell positive from negative rows; which of them is the first way differs from task to task."""
    generator = torch.Generator().manual_seed(seed)
    swapped = torch.rand(count, 1, generator=generator) < 0.5
    parts = []
    for examples in (4, 6):
        sign = torch.where(torch.rand(count, examples, generator=generator) < 0.5, -1.0, 1.0)
        x = sign.unsqueeze(-1) + 0.3 * torch.randn(count, examples, 6, generator=generator)
        rows = torch.nn.functional.one_hot(((sign > 0) != swapped).long(), 2)
        parts.append(Examples(x, OneHot(rows.float())))
    return Task(*parts)


def test_it_learns_to_learn() -> None:
    torch.manual_seed(0)
    recurrent = Recurrent(Identity(6), head_ways=2)
    optimizer = torch.optim.Adam(recurrent.parameters(), 0.01)

    def accuracy() -> float:
        with torch.no_grad():
            logits = torch.func.vmap(lambda task: recurrent.predict(recurrent.adapt(task.support), task.query.x))(unseen)
        return float((logits.argmax(-1) == unseen.query.y.labels).double().mean())

    unseen = signs(200, seed=9**9)
    before = accuracy()
    for step in range(60):
        meta_gradient(recurrent, signs(16, seed=step), "vmap")
        optimizer.step()
    assert before < 0.7
    assert accuracy() > 0.95


def test_predictions_do_not_depend_on_how_the_loop_is_captured() -> None:
    recurrent, task = learner(), make_tasks()[0]
    graph = make_fx(lambda support: dict(recurrent.adapt(support)))(task.support)
    expected = recurrent.predict(recurrent.adapt(task.support), task.query.x)
    assert apart(recurrent.predict(graph(task.support), task.query.x), expected) < 1e-12
