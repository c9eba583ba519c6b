"""Stages: a net as functions one after the other, so that those before the first one that changes are computed once."""

from __future__ import annotations

import functools
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
    chain = type(net) is nn.Sequential
    if "forward" in vars(net) or not (chain or _says_stages(type(net))):
        return [net]
    inner: list[Stage] = list(net) if chain else net.stages()  # pyright: ignore
    return [part for one in inner for part in (_parts(one) if isinstance(one, nn.Module) and one is not net else [one])]


@functools.lru_cache
def _says_stages(kind: type[nn.Module]) -> bool:
    """Say whether a class has a method `stages` for the `forward` that it has.

    A class that inherits `stages` and has another `forward` may do otherwise, and so may one with layers in an attribute of this name.
    """
    own = next(vars(one) for one in kind.__mro__ if vars(one).keys() & {"forward", "stages"})
    return callable(own.get("stages"))


def unchanged(net: nn.Module, changed: Collection[str]) -> int:
    """Return how many stages come before the first one that has a parameter of these names; 0 if none of them has any parameter.

    It is 0 also if a stage that is no module uses such a parameter, since nobody knows which one does.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> unchanged(net, ["2.bias"]), unchanged(net, ["0.bias"]), unchanged(net, [])
    (2, 0, 3)
    """
    moving = {id(value) for name, value in net.named_parameters() if name in changed}
    held = [{id(value) for value in stage.parameters()} if isinstance(stage, nn.Module) else set() for stage in stages(net)]
    if moving.difference(*held):
        return 0
    depth = next((depth for depth, own in enumerate(held) if own & moving), len(held))
    return depth if depth == len(held) or any(held[:depth]) else 0


def run(net: nn.Module, x: Any, first: int = 0, end: int | None = None) -> Any:
    """Return what the stages from `first` to before `end` make of `x`."""
    for stage in stages(net)[first:end]:
        x = stage(x)
    return x
