"""Systems solved as an exported program solves them, against torch's own solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from quickstudy.functional.linear import inverse_root, inverted, once, ridge_solver, solve, solver


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("condition", [1.0, 1e6])
def test_inverses_are_torchs(batch: tuple[int, ...], condition: float) -> None:
    values = torch.logspace(0, torch.tensor(condition).log10(), 7, dtype=torch.float64)
    vectors = torch.linalg.qr(torch.randn(*batch, 7, 7, dtype=torch.float64))[0]
    matrix = vectors @ torch.diag(values) @ vectors.mT
    expected = torch.linalg.inv(matrix)
    assert float((inverted(matrix) - expected).norm() / expected.norm()) < 1e-14 * condition + 1e-13
    right = torch.randn(*batch, 7, 2, dtype=torch.float64)
    assert float((matrix @ solve(matrix, right) - right).norm()) < 1e-15 * condition + 1e-12
    if not batch:
        root = inverse_root(matrix)
        assert float((root @ matrix @ root - torch.eye(7)).norm()) < 1e-9 * condition


def test_the_derivative_of_a_solution_is_that_of_finite_differences() -> None:
    square = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    right = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    identity = torch.eye(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: solve(a @ a.mT + identity, b), (square, right))
    assert torch.autograd.gradgradcheck(lambda a, b: solve(a @ a.mT + identity, b), (square, right))


@pytest.mark.parametrize("system", [once, solver], ids=["once", "often"])
@pytest.mark.parametrize("count", [3, 9])
def test_systems_of_rows_and_of_columns_have_one_solution(count: int, system: Callable[..., Any]) -> None:
    rows, weight = torch.randn(count, 6, dtype=torch.float64), torch.rand(2, count, dtype=torch.float64)
    weight[:, 0] = 0  # a row that is not there
    right = torch.randn(2, 6, 1, dtype=torch.float64)
    found = ridge_solver(rows, weight, 0.5, system)(right)
    identity = torch.eye(6, dtype=torch.float64)
    expected = torch.stack(
        [torch.linalg.solve(rows.T @ torch.diag(of) @ rows + 0.5 * identity, b) for of, b in zip(weight, right, strict=True)]
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    moved = rows.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: ridge_solver(x, w, 0.5, system)(right), (moved, weight.requires_grad_()))
