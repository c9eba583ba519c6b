"""Stages: a net as functions one after the other, so that those before the first one that changes are computed once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import nn

from quickstudy.layers.conv_norm_pool import hooked

Stage = Callable[[Any], Any]


def stages(net: nn.Module) -> list[Stage]:
    """Return functions whose composition the net is: what its method `stages` returns, or the layers of a `Sequential`; else itself.

    >>> len(stages(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))))
    3
    """
    return [net] if any(hooked(layer) for layer in net.modules()) else _parts(net)


def _parts(net: nn.Module) -> list[Stage]:
    inner = list(net) if type(net) is nn.Sequential else net.stages() if hasattr(net, "stages") else [net]  # pyright: ignore
    return [part for one in inner for part in ([one] if one is net or not isinstance(one, nn.Module) else _parts(one))]


def unchanged(net: nn.Module, changed: Collection[str]) -> int:
    """Return how many stages come before the first one that has a parameter of these names; 0 if none of them has any parameter.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> unchanged(net, ["2.bias"]), unchanged(net, ["0.bias"]), unchanged(net, [])
    (2, 0, 3)
    """
    moving = {id(value) for name, value in net.named_parameters() if name in changed}
    with_parameters = 0
    for depth, stage in enumerate(stages(net)):
        values = list(stage.parameters()) if isinstance(stage, nn.Module) else []
        if any(id(value) in moving for value in values):
            return depth if with_parameters else 0
        with_parameters += len(values)
    return len(stages(net))


def run(net: nn.Module, x: Any, first: int = 0, end: int | None = None) -> Any:
    """Return what the stages from `first` to before `end` make of `x`."""
    for stage in stages(net)[first:end]:
        x = stage(x)
    return x
