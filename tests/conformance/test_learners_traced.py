"""What every learner promises of tracing: one graph serves every number of examples, of queries and of ways."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from builders import PROTOTYPES, SHAPES, apart, make_learner, on
from torch import Tensor
from torch._dynamo import config
from torch.fx.experimental.proxy_tensor import make_fx

from quickstudy import discovery
from quickstudy.functional.call import with_tensors
from quickstudy.learner import Learner
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.task import Examples

LEARNERS = discovery.names("learners")


@pytest.mark.parametrize(
    ("name", "kind", "norm", "masked"),
    [
        *on(LEARNERS, ("mlp", "batch", True), always=tuple(LEARNERS)),
        *on(LEARNERS, ("mlp", "layer", False)),
        *on(LEARNERS, ("conv4", "none", False), always=(PROTOTYPES,)),  # test_exports.py has others
    ],
)
def test_traces_at_symbolic_sizes(name: str, kind: str, norm: str, masked: bool) -> None:
    """One graph of `adapt` and one of `predict` serve every number of examples, of queries and of ways."""
    hyper = inspect.signature(discovery.load("learners", name).__init__).parameters
    steps = 1 if kind == "conv4" else 2  # tracing takes seconds
    fewer = {key: steps for key in ("inner_steps", "adapt_steps") if key in hyper}
    learner = make_learner(name, kind, norm, **fewer)
    values = {key: value.detach() for key, value in learner.state_dict().items()}

    def traced(function: Callable[..., Any], *args: Any) -> Callable[..., Any]:
        def of_values(values: dict[str, Tensor], *args: Any) -> Any:
            return function(with_tensors(learner, values), *args)

        with config.patch(fake_tensor_cache_enabled=False):  # the cache takes longer than it saves
            graph = make_fx(of_values, tracing_mode="symbolic")(values, *args)
        return lambda *args: graph(values, *args)

    def adapt(learner: Learner, x: Tensor, y: OneHot, mask: Tensor) -> dict[str, Tensor]:
        return dict(learner.adapt(Examples(x, y, mask if masked else None)))

    def arguments(count: int, ways: int) -> tuple[Tensor, OneHot, Tensor]:
        x = torch.randn(count, *SHAPES[kind], dtype=torch.float64)
        return x, one_hot(torch.arange(count) % ways, ways, torch.float64), torch.arange(count) < count - 2

    support = arguments(29, 11)  # sizes that no layer has: equal ones would share a symbol
    if learner.sequential:  # test_exports.py runs its loop at other sizes
        with pytest.raises(IndexError):
            traced(adapt, *arguments(12, 3))(*arguments(10, 3))
        adapt_graph = functools.partial(adapt, with_tensors(learner, values))
    else:
        adapt_graph = traced(adapt, *support)
    predict_graph = traced(type(learner).predict, adapt_graph(*support), support[0][:17])
    for count, ways, queries in ((11, 3, 6), (9, 3, 3), (13, 5, 5)):
        support, x = arguments(count, ways), torch.randn(queries, *SHAPES[kind], dtype=torch.float64)
        state = adapt_graph(*support)
        expected = learner.predict(adapt(learner, *support), x)
        assert apart(predict_graph(state, x), expected) < 1e-9
