"""Systems solved as an exported program solves them, against torch's own solver."""

from __future__ import annotations

import pytest
import torch

from quickstudy.functional.linear import inverse_root, inverted, solve


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
