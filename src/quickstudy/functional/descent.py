"""The inner loop of gradient-based learners."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from quickstudy.functional.call import Parameters
from quickstudy.functional.loop import repeat

BETA2 = 0.999
"""Share of Adam's second moments that a step leaves, as in the paper."""
Rates = Mapping[str, float | Tensor]
"""Step sizes by the names of parameters, each of any shape that multiplies its gradient."""


class Clipped(NamedTuple):
    """Step sizes of gradients that are shortened to a largest length (Pascanu et al. 2013, algorithm 1).

    Attributes:
        rate: step size, or step sizes by the names of parameters.
        length: of all gradients together, as one vector; longer ones are scaled down to it.
    """

    rate: float | Tensor | Rates
    length: float


def gradient_descent(
    loss: Callable[[Parameters], Tensor],
    parameters: Parameters,
    *,
    inner_lr: float | Tensor | Rates | Clipped,
    steps: int,
    first_order: bool = False,
    recompute: bool = False,
) -> Parameters:
    """Return the parameters after `steps` times `parameters - inner_lr * gradient of loss` (Finn et al. 2017, eq. 1).

    With `first_order` the steps are constants to the outer gradient, `d adapted / d parameters = 1` (section 5.2), and no graph of
    them is built.

    Args:
        loss: scalar of the parameters.
        parameters: where to start.
        inner_lr: step size, alpha; or step sizes, by the names of the parameters, of any shape that multiplies their gradients;
            either of them `Clipped`.
        steps: number of steps, 0 or more.
        first_order: leave out second derivatives.
        recompute: when differentiated, compute each step again instead of remembering it (Chen et al. 2016, "Training Deep Nets with
            Sublinear Memory Cost"): memory grows by one set of parameters for each step, time by about a third. `loss` may then depend on
            nothing else that is differentiated.

    >>> gradient_descent(lambda p: p["w"].square().sum(), {"w": torch.ones(1)}, inner_lr=0.25, steps=2)
    {'w': tensor([0.2500])}
    """
    start = {name: value.detach() for name, value in parameters.items()} if first_order else parameters

    def step(rate: float | Tensor | Rates | Clipped, *values: Tensor) -> tuple[Tensor, ...]:
        adapted = dict(zip(start, values, strict=True))
        return tuple(sgd(adapted, torch.func.grad(loss)(adapted), rate).values())

    def one_step(index: int | Tensor, values: tuple[Tensor, ...]) -> Any:
        return _Recomputed.apply(step, inner_lr, *values) if recompute and not first_order else step(inner_lr, *values)

    adapted = dict(zip(start, repeat(one_step, tuple(start.values()), steps, "inner_steps"), strict=True))
    if first_order and torch.is_grad_enabled():
        return straight_through(parameters, start, adapted)
    return adapted


def sgd(weights: Parameters, gradients: Parameters, rate: float | Tensor | Rates | Clipped) -> Parameters:
    """Return the weights after a step of plain gradient descent, with one rate, or one for each name.

    >>> sgd({"w": torch.zeros(2)}, {"w": torch.tensor([3.0, 4.0])}, Clipped(1.0, length=0.5))
    {'w': tensor([-0.3000, -0.4000])}
    """
    if isinstance(rate, Clipped):
        wide = torch.promote_types(next(iter(gradients.values())).dtype, torch.float32)  # squares overflow in float16
        squares = torch.stack([value.to(wide).square().sum() for value in gradients.values()])
        least = torch.finfo(squares.dtype).tiny  # the root's derivative at zero is infinite
        factor = rate.length / squares.sum().clamp(min=least).sqrt().clamp(min=rate.length)
        gradients, rate = {name: (factor * value).to(value.dtype) for name, value in gradients.items()}, rate.rate
    rates = rate if isinstance(rate, Mapping) else dict.fromkeys(weights, rate)
    return {name: value - rates[name] * gradients[name] for name, value in weights.items()}


def adam(
    weights: Parameters, gradients: Parameters, moments: Parameters, rate: float | Tensor, step: int | Tensor
) -> tuple[Parameters, Parameters]:
    """Return weights and second moments after step 1, 2, ... of Adam without momentum (Kingma and Ba 2015, beta1 = 0)."""
    moments = {name: BETA2 * value + (1 - BETA2) * gradients[name].square() for name, value in moments.items()}
    least = {name: max(1e-8, torch.finfo(value.dtype).tiny) for name, value in moments.items()}  # 1e-8 is zero in float16
    corrected = {name: (value / (1 - BETA2**step)).sqrt() + least[name] for name, value in moments.items()}
    return {name: value - rate * gradients[name] / corrected[name] for name, value in weights.items()}, moments


class _Recomputed(torch.autograd.Function):
    """A function of a step size and tensors that remembers these only, and is computed again for its derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(function: Callable[..., tuple[Tensor, ...]], rate: float | Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return function(rate, *values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.function, rate, *values = inputs
        ctx.rate = None if isinstance(rate, Tensor) else rate
        ctx.save_for_backward(*((rate, *values) if ctx.rate is None else values))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        with torch.enable_grad():
            if ctx.rate is None:
                return (None, *torch.func.vjp(ctx.function, *ctx.saved_tensors)[1](grads))
            function = functools.partial(ctx.function, ctx.rate)
            return (None, None, *torch.func.vjp(function, *ctx.saved_tensors)[1](grads))


def straight_through(parameters: Parameters, start: Parameters, adapted: Parameters) -> Parameters:
    """Return the values of `adapted` with the gradient of `parameters`: `d result / d parameters = 1`; `start` is these, detached."""
    return {name: value + (adapted[name] - start[name]).detach() for name, value in parameters.items()}
