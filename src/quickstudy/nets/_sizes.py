"""What nets share about their sizes: what the data decides, and how a net becomes narrower.

A net may say three things of its hyperparameters: `fit_to(spec)` returns those that inputs decide, `from_data` names them, and `width`
names the one that holds its width, or a width for each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from quickstudy.errors import ConfigError
from quickstudy.inputs import InputSpec


def input_shape(spec: InputSpec, net: str, axes: int) -> tuple[int, ...]:
    """Return the shape of one example, for a net that takes one tensor with this many axes, or with any number if `axes` is 0.

    Raises:
        ConfigError: the inputs are another thing.
    """
    layout = spec.layout()
    shapes = [part.shape for part in layout.values()]
    if len(shapes) != 1 or (axes and len(shapes[0]) != axes):
        found = ", ".join(f"{name} {list(part.shape)}" for name, part in layout.items())
        expected = {0: "one tensor", 3: "images [channel, height, width]"}[axes]
        raise ConfigError(f"{net} takes {expected}, but the data has {found}; choose another net.")
    return shapes[0]


def square(spec: InputSpec, net: str) -> tuple[int, int]:
    """Return the channels of one example, and its height, which is its width too, for a net that takes square pictures.

    Raises:
        ConfigError: the inputs are another thing.
    """
    channels, height, width = input_shape(spec, net, axes=3)
    if height != width:
        raise ConfigError(f"{net} takes square images, but the data has {height}x{width} pixels; set a size, or another net.")
    return channels, height


def fit_to(net: type[nn.Module], spec: InputSpec) -> dict[str, Any]:
    """Return the hyperparameters of a net's class that inputs of the spec decide; none for a net that fits everything.

    Raises:
        ConfigError: the net cannot take such inputs.
    """
    return net.fit_to(spec) if hasattr(net, "fit_to") else {}  # pyright: ignore[reportAttributeAccessIssue]


def from_data(net: type[nn.Module]) -> tuple[str, ...]:
    """Return the names of the hyperparameters that inputs decide."""
    return getattr(net, "from_data", ())


def width_of(net: type[nn.Module]) -> str:
    """Return the name of the hyperparameter that holds a net's width, or a width for each layer; empty if it has none."""
    return getattr(net, "width", "")


def narrower(
    net: nn.Module, widths: Sequence[int] = (48, 32, 16, 8), fractions: Sequence[float] = (3 / 4, 1 / 2, 1 / 4, 1 / 8)
) -> list[dict[str, Any]]:
    """Return changes of hyperparameters that make a net narrower, the widest first; none for a net without a width.

    Args:
        net: what is made narrower.
        widths: filters of narrower nets whose layers are all equally wide.
        fractions: of the widths that a net with a width for each layer has.
    """
    argument = width_of(type(net))
    given: Any = getattr(net, argument, ())
    if isinstance(given, int):
        return [{argument: width} for width in widths if width < given]
    found = dict.fromkeys(tuple(max(1, int(width * fraction)) for width in given) for fraction in fractions)
    return [{argument: narrow} for narrow in found if narrow != tuple(given)]


def check_kind(spec: InputSpec, net: str, kind: str) -> None:
    """Raise a ConfigError unless inputs are of that kind, `text` or `sound`."""
    if spec.kind != kind:
        raise ConfigError(f"{net} takes {kind}s, but the data has {spec.nouns}; choose another net.")
