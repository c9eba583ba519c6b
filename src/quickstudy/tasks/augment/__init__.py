"""Ways to change examples at random: one file per kind of input, which has them in a table `AUGMENTATIONS` by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from quickstudy import discovery
from quickstudy.errors import ConfigError

Augmentation = Callable[[Tensor, Tensor], Tensor]
"""Takes inputs `[example, ...]` and uniform random numbers in [0, 1) `[example, number]`; gives inputs of the same shape."""


def augmentations(kind: str) -> Mapping[str, tuple[Augmentation, int]]:
    """Return all ways to change inputs of a kind, by name, each with how many random numbers it takes for each example.

    >>> list(augmentations("image")), list(augmentations("rows"))
    (['flip', 'affine'], [])
    """
    return discovery.module("tasks/augment", kind).AUGMENTATIONS if kind in discovery.names("tasks/augment") else {}


def augmentation(kind: str, name: str) -> tuple[Augmentation, int]:
    """Return a way to change inputs of a kind, and how many random numbers it takes for each example.

    Raises:
        ConfigError: the kind has none of this name.
    """
    known = augmentations(kind)
    if name not in known:
        raise ConfigError(
            f"augment is {name!r}; expected one of {', '.join(['none', *known])}, for inputs of kind {kind}.",
            subject="augment",
            expected=", ".join(["none", *known]),
        )
    return known[name]
