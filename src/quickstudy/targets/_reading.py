"""Reading of answers of every kind: from lists, arrays, tensors and columns of tables, without importing torch or pandas."""

from __future__ import annotations

from typing import Any

import numpy as np

from quickstudy.errors import DataError

ONE_EACH = "expected one per example"


def is_table(given: Any) -> bool:
    """Return whether it is a table with named columns, whose iteration would give their names."""
    return hasattr(given, "columns") and hasattr(given, "to_numpy")


def unwrapped(given: Any, name: str) -> Any:
    """Return tensors as arrays and columns of pandas as arrays; other things as they are.

    Args:
        given: what a user gave.
        name: its name in errors, such as "labels".

    Raises:
        DataError: it is None, one text, no list, or a column with missing values.
    """
    if given is None:
        raise DataError(f"fit requires y to be passed, but the target y is None; give {name}, one per example.")
    if hasattr(given, "detach"):
        given = given.detach().cpu().numpy()
    if hasattr(given, "isna") and hasattr(given, "to_numpy"):
        missing = np.asarray(given.isna())
        if missing.any():
            where = int(missing.reshape(len(missing), -1).any(axis=1).argmax())
            raise DataError(
                f"{name}: the one of example {where} is missing (of {int(missing.sum())}); leave these examples out."
            )
    if hasattr(given, "to_numpy"):
        given = given.to_numpy()
    if hasattr(given, "__array__") and not hasattr(given, "__len__"):
        given = np.asarray(given)
    if isinstance(given, str | bytes | bytearray):
        raise DataError(f"one text was given ({given[:80]!r}) for the {name}; {ONE_EACH}, in a list.")
    try:
        len(given)
    except TypeError:
        raise DataError(
            f"the {name} are a {type(given).__name__}; expected a list or an array, one entry per example."
        ) from None
    return given


def scalar(value: Any) -> Any:
    """Return a number of NumPy or of a tensor, 0-dimensional, as Python's own; dates of NumPy, and other things, as they are.

    >>> scalar(np.int64(3)), scalar(np.array("a"))
    (3, 'a')
    """
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        return np.asarray(value)[()] if value.dtype.kind in "mM" else value.item()
    if hasattr(value, "detach") and getattr(value, "ndim", None) == 0:
        return value.item()
    return value
