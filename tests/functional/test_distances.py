"""Distances against scipy's, and their gradients where rows meet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import drawn
from scipy.spatial.distance import cdist

from quickstudy.functional.distances import DISTANCES

METRICS = {"squared": "sqeuclidean", "euclidean": "euclidean", "cosine": "cosine", "manhattan": "cityblock"}


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_scipys(name: str) -> None:
    rows, _, queries = drawn(0)
    found = DISTANCES[name](torch.from_numpy(queries), torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(found, cdist(queries, rows, METRICS[name]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", DISTANCES)
def test_rows_that_are_equal_or_zero_have_finite_gradients(name: str) -> None:
    rows = torch.tensor([[0.0, 0.0], [1.0, 2.0]], requires_grad=True)
    DISTANCES[name](rows, rows).sum().backward()
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()
