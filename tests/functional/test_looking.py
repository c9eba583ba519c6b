"""Whether the values of tensors may be looked at: nowhere where a function must not depend on them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from quickstudy.functional.looking import may_look


def test_values_may_be_looked_at_unless_a_function_is_mapped_or_captured() -> None:
    found = {}

    def noted(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        def function(x: torch.Tensor) -> torch.Tensor:
            found[name] = may_look()
            return (x * 2).sum()

        return function

    x = torch.ones(3)
    grad(noted("gradient"))(x)
    vmap(noted("mapped"))(x)
    vmap(grad(noted("gradient within a map")))(x)
    grad(lambda y: vmap(noted("map within a gradient"))(y).sum())(x)
    make_fx(noted("captured"), tracing_mode="fake")(x)
    with FakeTensorMode():
        noted("fake")(torch.ones(3))
    assert found == {
        "gradient": True,
        "mapped": False,
        "gradient within a map": False,
        "map within a gradient": False,
        "captured": False,
        "fake": False,
    }
    assert may_look()
