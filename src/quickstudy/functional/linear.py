"""Linear systems whose solution can be differentiated, mapped over tasks, and exported."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.functional.loop import exporting, scan


def with_ones(rows: Float[Tensor, "row n"]) -> Float[Tensor, "row m"]:
    """Return rows with a 1 at their end, whose weight is a bias: `[row, n + 1]`.

    >>> with_ones(torch.zeros(1, 2))
    tensor([[0., 0., 1.]])
    """
    return torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)


def full_precision(like: Tensor) -> torch.autocast:
    """Return a context in which products are computed in the type of their factors, also in mixed precision.

    Systems of equations need it: sums of squares in bfloat16 are off by a hundredth, which their solution multiplies.

    >>> with torch.autocast("cpu", torch.bfloat16), full_precision(torch.ones(1)):
    ...     (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
    torch.float32
    """
    return torch.autocast(like.device.type, enabled=False)


def solve(matrix: Float[Tensor, "*batch n n"], right: Float[Tensor, "*batch n column"]) -> Float[Tensor, "*batch n column"]:
    """Return `x` with `matrix @ x = right`, for a symmetric and positive definite matrix.

    torch solves it, except in an exported program, for which ONNX and C have no such operation: there the inverse is found in a loop of
    `n` steps, and what it leaves of the right side is solved once more, which takes off most of the rounding.

    >>> solve(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([[2.0], [2.0]]))
    tensor([[1.0000],
            [0.5000]])
    """
    if not exporting():
        wide = torch.promote_types(matrix.dtype, torch.float32)  # there is no solver for half precision
        return torch.linalg.solve(matrix.to(wide), right.to(wide)).to(matrix.dtype)
    return solver(matrix)(right)


def solver(matrix: Float[Tensor, "*batch n n"]) -> Callable[[Tensor], Tensor]:
    """Return `solve` as a function of the right side, for many systems with one matrix: its inverse is found once.

    >>> solver(torch.tensor([[2.0, 0.0], [0.0, 4.0]]))(torch.tensor([[2.0], [2.0]]))
    tensor([[1.0000],
            [0.5000]])
    """
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    inverse = inverted(matrix) if exporting() else solve(matrix, identity.expand_as(matrix))

    def solved(right: Tensor) -> Tensor:
        first = inverse @ right
        return first + inverse @ (right - matrix @ first)

    return solved


def ridge_solver(
    rows: Float[Tensor, "n m"],
    weight: Float[Tensor, "*batch n"],
    penalty: float | Float[Tensor, ""],
    system: Callable[[Tensor], Callable[[Tensor], Tensor]] = solver,
) -> Callable[[Tensor], Tensor]:
    """Return a function of `right` `[*batch, m, column]` that solves `(rows^T diag(weight) rows + penalty) x = right`.

    The system has one line for each column of the rows, or one for each row where these are known to be fewer, which the matrix
    inversion lemma allows (Woodbury 1950): five pictures of a thousand pixels make systems of five lines. An exported program has the
    former, since it does not know how many rows there will be.

    Args:
        rows: such as features of examples.
        weight: of each row, 0 or more.
        penalty: above 0.
        system: what solves a system for many right sides; `once` for a single one.

    >>> right = torch.tensor([[2.0], [3.0]])
    >>> ridge_solver(torch.eye(2)[:1], torch.ones(1), 1.0)(right)
    tensor([[1.],
            [3.]])
    """
    count, length = rows.shape
    if exporting() or not isinstance(count, int) or count >= length:
        identity = torch.eye(length, dtype=rows.dtype, device=rows.device)
        return system((rows.t() * weight.unsqueeze(-2)) @ rows + penalty * identity)
    identity = torch.eye(count, dtype=rows.dtype, device=rows.device)
    solved = system(weight.unsqueeze(-1) * (rows @ rows.t()) + penalty * identity)
    return lambda right: (right - rows.t() @ solved(weight.unsqueeze(-1) * (rows @ right))) / penalty


def once(matrix: Float[Tensor, "*batch n n"]) -> Callable[[Tensor], Tensor]:
    """Return `solve` of this matrix as a function of the right side, for a single use."""
    return functools.partial(solve, matrix)


def inverse_root(matrix: Float[Tensor, "n n"], steps: int = 30) -> Float[Tensor, "n n"]:
    """Return `matrix^(-1/2)`, for a symmetric and positive definite matrix, by coupled Newton-Schulz steps, which are products alone.

    The smallest eigenvalue may be a millionth of the sum of all; below, the result is too small in its direction (Higham 2008,
    "Functions of Matrices", eq. 6.35).

    >>> inverse_root(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 1.0000]])
    """

    def step(index: int | Tensor, carried: tuple[Tensor, Tensor], _: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[()]]:
        root, inverse = carried
        factor = (3 * identity - inverse @ root) / 2
        return (root @ factor, factor @ inverse), ()

    wide = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    identity = torch.eye(wide.shape[-1], dtype=wide.dtype, device=wide.device)
    size = (wide * identity).sum().clamp(min=1e-30)  # of all eigenvalues, so that none is above 1
    start = (wide / size, identity)
    return (scan(step, start, wide.new_zeros(steps))[0][1] / size.sqrt()).to(matrix.dtype)


def inverted(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """Return the inverse of symmetric and positive definite matrices by Gauss-Jordan elimination, one step for each row.

    Such matrices need no exchange of rows (Golub and Van Loan, "Matrix Computations", section 4.2).

    >>> inverted(torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """

    def step(index: int | Tensor, rows: Tensor, chosen: Tensor) -> tuple[Tensor, tuple[()]]:
        row = chosen.unsqueeze(0) @ rows  # the one whose turn it is
        column = rows[..., :count] @ chosen.unsqueeze(1)
        pivot = (row[..., :count] * chosen).sum(-1, keepdim=True)
        return rows - (column - chosen.unsqueeze(1)) @ (row / pivot), ()

    count = matrix.shape[-1]
    identity = torch.eye(count, dtype=matrix.dtype, device=matrix.device)
    start = torch.cat([matrix, identity.expand_as(matrix)], dim=-1)
    return scan(step, start, identity)[0][..., count:]
