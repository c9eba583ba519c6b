"""MAML with proxies against descent written out, with what the proxy says held fast, and against MAML."""

from __future__ import annotations

import pytest
import torch
from builders import Descent, apart, furthest, gradients, make_learner, make_net, make_tasks
from torch.nn.functional import cross_entropy

from quickstudy.functional.call import call
from quickstudy.learners.maml_proxy import MAMLProxy
from quickstudy.training.engine import meta_gradient

RATES = {"net.layers.1.0.weight": 0.25, "net.layers.2.0.bias": 0.0, "head.weight": 2.0}
KEEPS = {"net.layers.1.0.weight": 0.75, "net.layers.2.0.weight": 1.125, "head.bias": 0.5}


def silent(learner: MAMLProxy) -> MAMLProxy:
    """Let the proxy say the same whatever it reads."""
    with torch.no_grad():
        for part in (*learner.writes.values(), *learner.says.values()):
            part.zero_()
    return learner


def test_with_a_proxy_that_says_constants_it_is_descent_with_rates_and_decay() -> None:
    torch.manual_seed(0)
    learner = silent(MAMLProxy(make_net(), inner_lr=0.2, inner_steps=3, head_ways=3).double())
    names = [key.replace("/", ".") for key in learner.says]
    with torch.no_grad():
        for name, said in zip(names, learner.says.values(), strict=True):
            said.copy_(torch.tensor([RATES.get(name, 1.0), KEEPS.get(name, 1.0)]) - 1)
    support = make_tasks()[0].support
    weights = {name: value.detach() for name, value in learner.named_parameters() if name in names}
    assert set(names) == set(weights)
    for _ in range(3):
        leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
        net = {name.removeprefix("net."): value for name, value in leaves.items() if name.startswith("net.")}
        logits = call(learner.net, net, support.x) @ leaves["head.weight"].t() + leaves["head.bias"]
        cross_entropy(logits, support.y.labels).backward()
        weights = {
            name: KEEPS.get(name, 1.0) * weights[name] - 0.2 * RATES.get(name, 1.0) * value.grad
            for name, value in leaves.items()
        }
    state = learner.adapt(support)
    assert all(apart(state[name], value) < 1e-12 for name, value in weights.items())


@pytest.mark.parametrize("statistics", ["support", "query"])
def test_with_a_proxy_that_says_nothing_it_is_maml(statistics: str) -> None:
    learner = silent(make_learner("maml_proxy", norm="batch", statistics=statistics))
    maml = Descent(learner.net, learner.inner_lr, learner.inner_steps, statistics=statistics)  # type: ignore[arg-type]
    tasks = make_tasks(3, ragged=True)
    expected = meta_gradient(maml, tasks, "loop")
    found, here = gradients(maml), meta_gradient(learner, tasks, "loop")
    assert abs(float(here - expected)) < 1e-12
    assert furthest({name: value for name, value in gradients(learner).items() if name in found}, found) < 1e-12


def test_what_the_proxy_says_of_every_tensor_depends_on_all_that_it_reads_in_the_step() -> None:
    learner = make_learner("maml_proxy", width=64)
    weights = {f"net.{name}": value.detach() for name, value in learner.net.named_parameters()}
    weights |= {"head.weight": torch.randn(3, 6).double(), "head.bias": torch.randn(3).double()}
    slopes = {name: torch.zeros_like(value) for name, value in weights.items()}
    before = learner.proxy(weights, slopes, {})
    assert before.keys() == weights.keys()
    for name in weights:
        for moved in ((weights | {name: weights[name] + 1}, slopes), (weights, slopes | {name: slopes[name] + 1})):
            after = learner.proxy(*moved, {})
            assert all(bool((after[other] != before[other]).all()) for other in weights)
        centred = weights[name].flip(0)  # which has the same mean
        same = learner.proxy(weights | {name: centred}, slopes, {})
        assert all(apart(same[other], before[other]) < 1e-12 for other in weights)


def test_the_means_of_a_head_are_those_of_the_ways_that_were_seen() -> None:
    """Numbers by hand: ways 0 and 2 of three were seen."""
    learner = MAMLProxy(make_net(), width=2).double()
    with torch.no_grad():
        for part in learner.reads.values():
            part.zero_()
        learner.reads["head/weight"].copy_(torch.eye(2))
        learner.writes["head/bias"].copy_(torch.eye(2))
    head = torch.tensor([[1.0, 2.0], [70.0, 80.0], [3.0, 6.0]]).double()
    bias, seen = torch.zeros(3).double(), {"counts": torch.tensor([2.0, 0.0, 1.0]).double()}
    slopes = {"head.weight": head / 10, "head.bias": bias}
    said = learner.proxy({"head.weight": head, "head.bias": bias}, slopes, seen)
    torch.testing.assert_close(said["head.bias"], torch.tensor([1 + 3.0, 1 + 0.3]).double())
