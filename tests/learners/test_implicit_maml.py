"""Implicit MAML against its closed form, against the gradient through all inner steps, and its memory against the promise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from builders import Descent, apart, furthest, gradients, make_net, make_tasks
from test_maml import most_bytes
from torch import Tensor, nn

from quickstudy.errors import ConfigError
from quickstudy.functional.call import Parameters
from quickstudy.functional.implicit import conjugate_gradients
from quickstudy.learners import _weights
from quickstudy.learners.implicit_maml import ImplicitMAML
from quickstudy.nets.identity import Identity
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task
from quickstudy.training.engine import meta_gradient
from quickstudy.training.meta_gradient import summed_gradient, tensors_of


def test_on_a_quadratic_problem_it_is_the_closed_form() -> None:
    """Squared error of a linear model has the Hessian H = 2/n X'X. So the minimum near w is (H + l)^-1 (2/n X'y + l w), and the gradient of
    the query loss with respect to w is l (H + l)^-1 g there.
    """
    count, proximity = 8, 0.7
    learner = ImplicitMAML(Identity(4), 0.2, inner_steps=600, proximity=proximity, damping=0.0, head_ways=1).double()
    sets = [Examples(torch.randn(1, count, 4).double(), Values(torch.randn(1, count, 1).double())) for _ in range(2)]
    meta_gradient(learner, Task(*sets), "vmap")
    found = torch.cat([learner.head.weight.grad[0], learner.head.bias.grad])

    support, query = (torch.cat([part.x[0], torch.ones(count, 1)], dim=1).double() for part in sets)
    system = 2 / count * support.t() @ support + proximity * torch.eye(5).double()
    start = torch.cat([learner.head.weight[0], learner.head.bias]).detach()
    minimum = torch.linalg.solve(system, 2 / count * support.t() @ sets[0].y.rows[0, :, 0] + proximity * start)
    slope = 2 / count * query.t() @ (query @ minimum - sets[1].y.rows[0, :, 0])
    state = learner.adapt(Examples(sets[0].x[0], Values(sets[0].y.rows[0])))
    assert apart(torch.cat([state["head.weight"][0], state["head.bias"]]), minimum) < 1e-9
    assert apart(found, proximity * torch.linalg.solve(system, slope)) < 1e-9


class Unrolled(ImplicitMAML):
    """The same learner, differentiated through all of its steps."""

    def adapt(self, support: Examples, state: Any = None) -> Any:
        seen, start = _weights.counted(support, None), _weights.start(self, support, None)

        def pulled(weights: Parameters) -> Tensor:
            away = torch.stack([(weights[name] - value).square().sum() for name, value in start.items()]).sum()
            return _weights.loss(self, weights, support, seen) + self.proximity / 2 * away

        weights = start
        for _ in range(self.inner_steps):
            slopes = torch.func.grad(pulled)(weights)
            weights = {name: value - self.inner_lr * slopes[name] for name, value in weights.items()}
        return _weights.to_state(self, weights, _weights.Front(support, 0, {}), seen)


class Smooth(nn.Sequential):
    """A net without kinks, at which no derivative says how a minimum moves."""

    features = 5

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 5), nn.Tanh())


@pytest.mark.parametrize("mapping", ["loop", "vmap"])
def test_at_the_minimum_it_is_the_gradient_through_all_steps(mapping: Any) -> None:
    found = []
    for kind in (ImplicitMAML, Unrolled):
        torch.manual_seed(0)
        learner = kind(Smooth(), 0.15, 60, 4.0, solver_steps=30, damping=0.0, head_ways=3).double()
        meta_gradient(learner, make_tasks(2, ragged=True), mapping)
        found.append(gradients(learner))
    assert furthest(*found) < 1e-6


def test_without_solver_and_pull_it_is_first_order_maml() -> None:
    found = []
    for make in (
        lambda net: ImplicitMAML(net, 0.3, 3, 1e-15, solver_steps=0),
        lambda net: Descent(net, 0.3, 3, first_order=True),
    ):
        torch.manual_seed(0)
        learner = make(make_net(norm="batch")).double()
        meta_gradient(learner, make_tasks(2, ragged=True), "vmap")
        found.append(gradients(learner))
    assert furthest(*found) < 1e-12


def test_memory_does_not_grow_with_inner_steps() -> None:
    """Counted in tensors that a backward pass would need, and in bytes that the captured gradient holds at any time."""
    tasks, kept, most = make_tasks(shots=20), {}, {}
    for kind in (ImplicitMAML, Unrolled):
        for steps in (2, 5):
            learner = kind(make_net(), 0.1, steps, solver_steps=2, head_ways=3).double()
            kept[kind, steps] = graph_nodes(learner.loss(tasks[0]))
            most[kind, steps] = most_bytes(summed_gradient(learner, "loop"), *tensors_of(learner), tasks)
    assert kept[ImplicitMAML, 5] == kept[ImplicitMAML, 2]
    assert most[ImplicitMAML, 5] == most[ImplicitMAML, 2]
    assert kept[Unrolled, 5] > 1.5 * kept[Unrolled, 2]
    assert most[Unrolled, 5] > 1.5 * most[Unrolled, 2]


def graph_nodes(loss: Tensor) -> int:
    """Return the number of nodes of the graph that a tensor was computed by."""
    seen, found = set(), [loss.grad_fn]
    while found:
        node = found.pop()
        if node is not None and node not in seen:
            seen.add(node)
            found += [inner for inner, _ in node.next_functions]
    return len(seen)


def test_conjugate_gradients_end_after_as_many_steps_as_there_are_unknowns() -> None:
    root, right = torch.randn(6, 6).double(), torch.randn(6).double()
    matrix = root @ root.t() + torch.eye(6)
    exact = torch.linalg.solve(matrix, right)

    def solved(steps: int) -> Tensor:
        """Return the solution, of which two tensors are parts."""
        parts = (right[:2], right[2:])
        return torch.cat(conjugate_gradients(lambda v: (matrix @ torch.cat(v)).split([2, 4]), parts, steps))

    assert torch.equal(solved(0), right)
    assert apart(solved(5), exact) > 1e-6
    assert apart(solved(6), exact) < 1e-9
    assert apart(solved(60), exact) < 1e-12  # nothing is divided by zero when nothing is left


def test_damping_moves_the_meta_gradient_towards_the_first_order_one() -> None:
    found = []
    for changes in ({"damping": 0.0}, {"damping": 10.0}, {"damping": 1e9}, {"solver_steps": 0}):
        torch.manual_seed(0)
        learner = ImplicitMAML(make_net(), 0.1, 3, **({"solver_steps": 5, "head_ways": 3} | changes)).double()  # type: ignore[arg-type]
        meta_gradient(learner, make_tasks(2), "vmap")
        found.append(gradients(learner))
    away = [furthest(one, found[-1]) for one in found[:-1]]
    assert away[0] > away[1] > 1e-6
    assert away[2] < 1e-6


def test_impossible_damping_is_refused() -> None:
    with pytest.raises(ConfigError, match="damping is -1"):
        ImplicitMAML(make_net(), damping=-1)


def test_no_step_is_taken_after_a_direction_of_negative_curvature() -> None:
    steep, flat = torch.tensor([-0.5, 5.0]), (torch.tensor([1.0, 0.3]),)
    for steps in (1, 5):
        assert torch.equal(conjugate_gradients(lambda v: (steep * v[0],), flat, steps)[0], flat[0])
    right = (torch.tensor([1.0, 2.0]),)
    assert torch.equal(conjugate_gradients(lambda v: (-v[0],), right, 3)[0], right[0])
