"""Kinds of input: one file per kind, without torch."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import numpy as np
import pydantic

from quickstudy import discovery
from quickstudy.errors import DataError
from quickstudy.inputs._layout import InputSpec, Shown, TensorLayout

__all__ = [
    "AnySpec",
    "InputSpec",
    "Shown",
    "TensorLayout",
    "explained",
    "from_dict",
    "kind_of_array",
    "kind_of_files",
    "kinds",
    "readings",
    "wishes",
]


def kinds() -> dict[str, type[InputSpec]]:
    """Return every kind of input by name.

    >>> list(kinds())
    ['image', 'molecule', 'rows', 'several', 'sound', 'table', 'text']
    """
    return {name: discovery.load("inputs", name) for name in discovery.names("inputs")}


def from_dict(described: Mapping[str, Any]) -> InputSpec:
    """Return the spec that `spec.model_dump()` described; its `kind` names the file of the class.

    >>> from_dict({"kind": "rows", "features": 3}).layout()["rows"].shape
    (3,)

    Raises:
        DataError: an unknown kind, or a field that is missing, unknown or out of range.
    """
    kind = described.get("kind")
    if kind not in discovery.names("inputs"):
        raise DataError(f"kind of input is {kind!r}; expected one of {', '.join(discovery.names('inputs'))}.")
    try:
        return discovery.load("inputs", kind)(**described)
    except TypeError as error:  # the constructor names what is missing
        raise DataError(f"a spec of kind {kind!r} is not whole ({error}); expected every field of it.") from error


def kind_of_array(array: np.ndarray) -> type[InputSpec]:
    """Return the kind of input that an array `[example, ...]` holds.

    >>> kind_of_array(np.zeros((5, 28, 28), dtype=np.uint8)).__name__
    'ImageSpec'

    Raises:
        DataError: no kind takes it.
    """
    found = [kind for kind in kinds().values() if kind.takes(array)]
    if not found:
        shapes = ", ".join(kinds())
        raise DataError(f"an array of {array.dtype} has shape {array.shape}; expected examples of one of the kinds {shapes}.")
    return found[0]


def kind_of_files(suffixes: Iterable[str]) -> type[InputSpec] | None:
    """Return the kind of input that most files of these endings hold, None if no kind has such files.

    >>> kind_of_files([".png", ".txt", ".jpg"]).__name__
    'ImageSpec'
    """
    endings = list(suffixes)
    counts = {name: sum(ending in kind.suffixes() for ending in endings) for name, kind in kinds().items()}
    best = max(counts, key=lambda name: counts[name])
    return kinds()[best] if counts[best] else None


def wishes() -> dict[str, Any]:
    """Return what owners of data can say of it, over all kinds: each name with its type.

    >>> wishes()["size"]
    int | None
    """
    return {name: typing.get_type_hints(kind.own)[name] for kind in kinds().values() for name in kind.wishes()}


def readings() -> dict[str, Any]:
    """Return what may be said of examples when they are read, over all kinds: each name with its type.

    >>> list(readings())
    ['ink']
    """
    return {name: typing.get_type_hints(kind.read_all)[name] for kind in kinds().values() for name in kind.readings()}


def explained(name: str) -> str:
    """Return what a wish or a reading means, in words, as its kind explains it.

    >>> explained("size")
    'height and width of your images, in pixels'
    """
    return next((kind.words[name] for kind in kinds().values() if name in kind.words), "a property of your own data")


def _parsed(given: Any) -> Any:
    return from_dict(given) if isinstance(given, Mapping) else given


AnySpec = Annotated[pydantic.SerializeAsAny[InputSpec], pydantic.BeforeValidator(_parsed)]
"""Type of a pydantic field that holds the spec of any kind of input."""
