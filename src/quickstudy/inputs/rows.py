"""RowsSpec: rows of numbers, such as measurements, features or embeddings."""

from __future__ import annotations

import numpy as np

from quickstudy.inputs._rows import Rows


class RowsSpec(Rows, frozen=True):
    """Rows of numbers, all of one length, kept in single precision.

    Args:
        features: numbers per row.
        columns: names of the columns in their order; None if they have none.

    >>> RowsSpec(features=2).read([1, 2.5])
    {'rows': array([1. , 2.5], dtype=float32)}
    """

    @staticmethod
    def precision() -> type[np.floating]:
        """Return float32."""
        return np.float32
