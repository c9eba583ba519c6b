"""Kinds of input: one file per kind, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from quickstudy import discovery
from quickstudy.errors import DataError
from quickstudy.inputs._layout import InputSpec, TensorLayout

__all__ = ["AnySpec", "InputSpec", "TensorLayout", "from_dict"]


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
    return discovery.load("inputs", kind)(**described)


def _parsed(given: Any) -> Any:
    return from_dict(given) if isinstance(given, Mapping) else given


AnySpec = Annotated[pydantic.SerializeAsAny[InputSpec], pydantic.BeforeValidator(_parsed)]
"""Type of a pydantic field that holds the spec of any kind of input."""
