"""Minima near a start, whose derivative is found without looking back at how they were reached (the implicit function theorem)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quickstudy.functional.call import Parameters
from quickstudy.functional.descent import sgd
from quickstudy.functional.loop import repeat

Vectors = tuple[Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Solver:
    """How the linear system of a meta-gradient is solved.

    Args:
        steps: steps of conjugate gradients; with 0, the minimum is taken to move just as the start does.
        damping: added to the proximity in the system alone, 0 or more. Losses of networks curve downwards in some directions, in which
            the system has no solution, and what a few steps find there is large and wrong. The larger the damping, the nearer the
            meta-gradient is to the first-order one.
    """

    steps: int
    damping: float = 0.0


def nearby_minimum(
    loss: Callable[[Parameters], Tensor],
    start: Parameters,
    *,
    proximity: float,
    inner_lr: float | Tensor,
    steps: int,
    solver: Solver,
) -> Parameters:
    """Return where gradient descent on `loss + proximity / 2 * |parameters - start|^2` ends, differentiated as if that were its minimum.

    A change of the start by `d` moves the minimum by `(I + H / proximity)^-1 d`, with the second derivative H of the loss there
    (Rajeswaran et al. 2019, lemma 1). So the gradient with respect to the start needs neither the steps nor their memory, but one linear
    system, which conjugate gradients solve. It is as exact as the minimum and this solution are, which damping moves to first order.

    Args:
        loss: scalar of the parameters, the only thing that is differentiated.
        start: where to start, and what to stay near.
        proximity: weight of the squared distance to the start, lambda; above 0.
        inner_lr: step size.
        steps: number of steps, 0 or more.
        solver: how the linear system is solved.

    >>> nearby_minimum(lambda p: (p["w"] ** 2).sum(), {"w": torch.ones(1)}, proximity=2.0, inner_lr=0.25, steps=9, solver=Solver(1))
    {'w': tensor([0.5000])}
    """
    names = tuple(start)

    def slope(*values: Tensor) -> Vectors:
        return tuple(torch.func.grad(loss)(dict(zip(names, values, strict=True))).values())

    def descend(*values: Tensor) -> Vectors:
        origin = dict(zip(names, values, strict=True))

        def step(index: int | Tensor, carried: Parameters) -> Parameters:
            pulled = {name: value + proximity * (carried[name] - origin[name]) for name, value in gradient(carried).items()}
            return sgd(carried, pulled, inner_lr)

        return tuple(repeat(step, origin, steps, "inner_steps").values())

    def gradient(values: Parameters) -> Parameters:
        return dict(zip(names, slope(*values.values()), strict=True))

    def pulled_back(ends: Vectors, right: Vectors) -> Vectors:
        product = torch.func.vjp(slope, *ends)[1]  # the second derivative is symmetric
        return conjugate_gradients(lambda v: _sum(v, product(v), 1 / (proximity + solver.damping)), right, solver.steps)

    values = tuple(start.values())
    ends = _Implicit.apply(descend, pulled_back, *values) if torch.is_grad_enabled() else descend(*values)
    return dict(zip(names, ends, strict=True))


def conjugate_gradients(product: Callable[[Vectors], Vectors], right: Vectors, steps: int) -> Vectors:
    """Return `x` with `product(x) = right` for a symmetric and positive definite product (Hestenes and Stiefel 1952), from zero.

    From zero, `x` never points away from `right`. At the first direction without positive curvature, or where nothing is left to improve,
    `x` stays as it is (Steihaug 1983); without any step, or if `right` itself has no positive curvature, it is `right`.

    Args:
        product: of a matrix with vectors, of any shapes.
        right: what the product shall be.
        steps: how many.

    >>> conjugate_gradients(lambda v: (2 * v[0],), (torch.ones(2),), steps=1)
    (tensor([0.5000, 0.5000]),)
    """
    found, left, direction = tuple(torch.zeros_like(value) for value in right), right, right
    size = _dot(right, right)
    least, goes_on = size * torch.finfo(right[0].dtype).eps ** 2, torch.ones_like(size, dtype=torch.bool)
    for step in range(steps):
        turned = product(direction)
        curvature = _dot(direction, turned)
        goes_on = goes_on & (curvature > 0) & (size > least)
        rate = torch.where(goes_on, size / torch.where(goes_on, curvature, 1), float(step == 0))
        found, left = _sum(found, direction, rate), _sum(left, turned, -rate)
        before, size = size, _dot(left, left)
        direction = _sum(left, direction, torch.where(goes_on, size / torch.where(goes_on, before, 1), 0))
    return found if steps else right


def _sum(a: Vectors, b: Vectors, times: float | Tensor) -> Vectors:
    """Return `a + times * b`."""
    return tuple(x + times * y for x, y in zip(a, b, strict=True))


def _dot(a: Vectors, b: Vectors) -> Tensor:
    """Return the sum of all products of an entry of `a` with its counterpart in `b`."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


class _Implicit(torch.autograd.Function):
    """A function whose result alone is remembered, and whose derivative is another function of the result."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        function: Callable[..., Vectors], pulled_back: Callable[[Vectors, Vectors], Vectors], *values: Tensor
    ) -> Vectors:
        return function(*(value.detach() for value in values))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Vectors) -> None:
        ctx.pulled_back = inputs[1]
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        ends, right = (tuple(value.detach() for value in values) for values in (ctx.saved_tensors, grads))
        with torch.enable_grad():
            return (None, None, *ctx.pulled_back(ends, right))
