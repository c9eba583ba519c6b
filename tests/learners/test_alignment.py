"""Alignment against closed forms: scatter after CORAL, rotations that Procrustes undoes, and tasks that it makes readable again."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import torch
from builders import Prototypes
from torch import Tensor
from torch.func import vmap

from quickstudy.errors import ConfigError, TaskError
from quickstudy.export.bundle import to_bundle
from quickstudy.functional.linear import inverse_root
from quickstudy.learners.alignment import Alignment
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.runtime import learner as runtime
from quickstudy.task import Examples, Task
from quickstudy.training.saving import SavedLearner, load_learner, save_learner

WIDTH, WAYS = 5, 4
METHODS = ["coral", "mmd", "procrustes", "regression"]
CENTRES = 3 * torch.randn(WAYS, WIDTH, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
TURN = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(8), dtype=torch.float64))[0]
STRETCH = torch.tensor([1.0, 0.5, 0.3, 0.8, 0.2], dtype=torch.float64)


def drawn(shots: int, seed: int, ways: int = WAYS) -> Examples:
    """Return examples of the source's classes."""
    labels = torch.arange(ways).repeat(shots)
    noise = torch.randn(len(labels), WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Examples(CENTRES[labels] + noise * STRETCH, one_hot(labels, ways, torch.float64))


def turned(examples: Examples) -> Examples:
    return Examples(examples.x @ TURN + 2, examples.y)  # type: ignore[operator]


def measured(method: str, dtype: torch.dtype = torch.float64, **changes: Any) -> Alignment:
    """Return a learner whose source was measured."""
    learner = Alignment(Identity(WIDTH), method=method, **({"source_ways": WAYS} | changes)).double()  # type: ignore[arg-type]
    learner.calibrate(Task(drawn(20, seed), drawn(20, seed + 50)) for seed in range(5))
    return learner.to(dtype)


def accuracy(learner: Alignment, support: Examples, query: Examples) -> float:
    logits = learner.predict(learner.adapt(support), query.x)
    return float((logits.argmax(-1) == query.y.labels).double().mean())  # type: ignore[attr-defined]


def scatter(x: Tensor, y: Tensor) -> Tensor:
    rest = x - y @ (y.t() @ x / y.sum(0).unsqueeze(-1))
    return rest.t() @ rest / (len(x) - y.shape[1])


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_found_in_full_precision_also_in_mixed_precision(method: Any) -> None:
    learner, support = measured(method, torch.float32), turned(drawn(3, seed=11))
    with torch.autocast("cpu", torch.bfloat16):
        found = learner.adapt(support)["map"]
    torch.testing.assert_close(found, learner.adapt(support)["map"])


@pytest.mark.parametrize("method", [*METHODS, "none"])
def test_without_a_source_it_is_prototypes(method: Any) -> None:
    learner, prototypes = Alignment(Identity(WIDTH), method=method).double(), Prototypes(Identity(WIDTH), distance="euclidean")
    state = learner.adapt(drawn(3, 0))
    torch.testing.assert_close(state["map"], torch.eye(WIDTH, dtype=torch.float64), rtol=0, atol=0)
    query = drawn(5, 1).x
    expected = prototypes.predict(prototypes.adapt(drawn(3, 0)), query)
    torch.testing.assert_close(learner.predict(state, query), expected)


def test_the_source_is_measured() -> None:
    learner = measured("coral")
    expected = STRETCH.square() + 0.01 * STRETCH.square().mean()
    torch.testing.assert_close((learner.source_root @ learner.source_root).diagonal(), expected, rtol=0.15, atol=0.01)
    torch.testing.assert_close(learner.source_means, CENTRES, rtol=0, atol=0.2)
    with pytest.raises(TaskError, match=r"a task of 3 ways is given to measure the source's 4 classes \(source_ways\)"):
        learner.calibrate([Task(drawn(2, 0, ways=3), drawn(2, 1, ways=3))])


def test_no_tasks_leave_the_source_as_it_was() -> None:
    learner = measured("coral")
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    learner.calibrate([])
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())


def test_coral_gives_examples_the_scatter_of_the_source() -> None:
    """With next to no shrinkage the aligned examples scatter within their classes exactly as the source's do."""
    learner, support = measured("coral", shrinkage=1e-9), turned(drawn(30, 3))
    state = learner.adapt(support)
    aligned = (support.x - state["middle"]) @ state["map"]
    expected = learner.source_root @ learner.source_root
    torch.testing.assert_close(scatter(aligned, support.y.rows), expected, rtol=1e-5, atol=1e-7)


def test_coral_with_one_example_of_each_class_moves_nothing() -> None:
    state = measured("coral").adapt(turned(drawn(1, 3)))
    torch.testing.assert_close(state["map"], torch.eye(WIDTH, dtype=torch.float64), rtol=0, atol=1e-6)


def test_procrustes_undoes_a_rotation() -> None:
    """The map is orthogonal, and turns the space back along every direction that differences of 6 classes span."""
    centres = 3 * torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = one_hot(torch.arange(6), 6, torch.float64)
    learner = Alignment(Identity(WIDTH), method="procrustes", source_ways=6, shrinkage=1e-9).double()
    learner.calibrate([Task(Examples(centres, y), Examples(centres, y))])
    state = learner.adapt(Examples(centres @ TURN + 2, y))
    torch.testing.assert_close(state["map"], TURN.t(), rtol=0, atol=1e-6)
    torch.testing.assert_close(state["means"], centres, rtol=0, atol=1e-5)


def test_regression_is_that_of_least_squares() -> None:
    learner, support = measured("regression", shrinkage=1e-9), turned(drawn(20, 3))
    state, y = learner.adapt(support), support.y.rows
    x = torch.as_tensor(support.x) - torch.as_tensor(support.x).mean(0)
    expected = torch.linalg.lstsq(x, y @ (learner.source_means - learner.source_means.mean(0))).solution
    torch.testing.assert_close(state["map"], expected, rtol=1e-5, atol=1e-7)


def width_of(start: Tensor, other: Tensor) -> Tensor:
    return 2 * (start.square().sum(1).mean() + other.square().sum(1).mean())


def distance(learner: Alignment, support: Examples) -> float:
    """Return the squared kernel distance between what is left of aligned examples and of the source (lemma 6)."""
    state, other = learner.adapt(support), learner.source_rest
    x, goal = support.x - state["middle"], support.y.rows @ (learner.source_means - state["goal"])  # type: ignore[operator]
    rest, wide = x @ state["map"] - goal, width_of(x - goal, other)

    def mean(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * wide)).mean()

    return float(mean(rest, rest) + mean(other, other) - 2 * mean(rest, other))


def test_mmd_lowers_the_kernel_distance() -> None:
    support = turned(drawn(10, 3))
    before, after = (distance(measured("mmd", align_steps=steps), support) for steps in (0, 100))
    assert after < 0.5 * before


def test_a_step_of_mmd_is_along_the_gradient() -> None:
    """The first step is the derivative that autograd finds, divided by the curvature of least squares."""
    support = turned(drawn(3, 3))
    learner = measured("mmd", align_steps=1, align_lr=1.0)
    state = learner.adapt(support)
    x = support.x - state["middle"]  # type: ignore[operator]
    linear = torch.eye(WIDTH, dtype=torch.float64, requires_grad=True)
    goal = support.y.rows @ (learner.source_means - state["goal"])
    rest, wide = x @ linear - goal, width_of(x - goal, learner.source_rest)

    def mean(a: Tensor, b: Tensor) -> Tensor:
        apart = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)
        return torch.exp(-apart / (2 * wide)).mean()

    (mean(rest, rest) - 2 * mean(rest, learner.source_rest)).backward()
    curvature = x.t() @ x + learner.shrinkage * x.square().sum() / x.numel() * torch.eye(WIDTH, dtype=torch.float64)
    expected = -wide * len(x) / 2 * torch.linalg.solve(curvature, linear.grad)  # type: ignore[arg-type]
    torch.testing.assert_close(state["map"] - linear.detach(), expected)


@pytest.mark.parametrize("method", METHODS)
def test_with_classes_of_the_source_a_turned_task_is_read_better(method: str) -> None:
    query = turned(drawn(50, 9))
    found, without = (accuracy(measured(kind), turned(drawn(5, 3)), query) for kind in (method, "none"))
    assert found > without + (0.005 if method == "coral" else 0.1)


def test_the_source_answers_for_classes_that_the_task_lacks() -> None:
    """Given 3 of 4 classes, the fourth is known from the source alone; a fifth is new, and its prototype is its own mean."""
    learner, support = measured("procrustes"), drawn(5, 3)
    labels = support.y.labels  # type: ignore[attr-defined]
    x = torch.where((labels == 1).unsqueeze(-1), support.x + 20, support.x)  # type: ignore[operator]
    y = one_hot(torch.where(labels == 1, 4, labels), 5, torch.float64)
    state = learner.adapt(Examples(x, y))
    assert state["counts"].tolist() == [10, 5, 10, 10, 5]
    assert learner.predict(state, CENTRES).argmax(-1).tolist() == [0, 1, 2, 3]
    own = (x[labels == 1].mean(0) - state["middle"]) @ state["map"] + state["goal"]
    torch.testing.assert_close(state["means"][4], own)


@pytest.mark.parametrize("method", METHODS)
def test_tasks_are_mapped_and_go_on_as_if_seen_at_once(method: str) -> None:
    learner = measured(method)
    first, second = (turned(drawn(4, seed)) for seed in (3, 4))
    both = Examples(torch.stack([first.x, second.x]), OneHot(torch.stack([first.y.rows, second.y.rows])))  # type: ignore[list-item]
    mapped = vmap(learner.adapt)(both)
    for index, support in enumerate((first, second)):
        for name, value in learner.adapt(support).items():
            torch.testing.assert_close(mapped[name][index], value)
    on = learner.adapt(second, learner.adapt(first))
    once = learner.adapt(Examples(both.x.flatten(0, 1), OneHot(both.y.rows.flatten(0, 1))))  # type: ignore[union-attr]
    torch.testing.assert_close(dict(on), dict(once))


def test_it_is_exported_with_its_source() -> None:
    learner, support, query = measured("procrustes", torch.float32), turned(drawn(3, 3)), turned(drawn(6, 4))
    shipped = runtime.Learner(to_bundle(SavedLearner(learner)))
    labels = support.y.labels.tolist()  # type: ignore[attr-defined]
    found = shipped.adapt(torch.as_tensor(support.x).float().numpy(), labels).logits(torch.as_tensor(query.x).float().numpy())
    with torch.no_grad():
        expected = learner.predict(learner.adapt(support), query.x)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-3)


def test_a_file_keeps_the_source(tmp_path: pathlib.Path) -> None:
    learner = measured("coral", torch.float32)
    save_learner(tmp_path / "learner.safetensors", SavedLearner(learner))
    loaded = load_learner(tmp_path / "learner.safetensors").learner
    assert torch.equal(loaded.adapt(turned(drawn(5, 3)))["means"], learner.adapt(turned(drawn(5, 3)))["means"])


def test_inverse_roots_are_those_of_eigenvalues() -> None:
    x = torch.randn(40, 6, dtype=torch.float64) * torch.logspace(-2.5, 0, 6, dtype=torch.float64)
    matrix = x.t() @ x
    values, vectors = torch.linalg.eigh(matrix)
    torch.testing.assert_close(inverse_root(matrix), vectors * values.rsqrt() @ vectors.t())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "corals"}, "method is 'corals'"),
        ({"shrinkage": 0.0}, "shrinkage is 0.0; expected more than 0"),
        ({"source_ways": -1}, "source_ways is -1; expected 0 or more"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Alignment(Identity(WIDTH), **changes)
