"""Maths that two learners or more share. Pure functions on tensors, made to run under vmap, grad and make_fx."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from quickstudy.errors import TaskError
from quickstudy.repeat import repeat

Parameters = dict[str, Tensor]

ABSENT = -1e30
"""Logit of a way that the task does not have: below any squared distance of raw features. Finite, because 0 * -inf is not a number in a
cross-entropy with one-hot targets."""


def weighted_mean(values: Float[Tensor, " example"], weight: Float[Tensor, " example"]) -> Float[Tensor, ""]:
    """Mean of `values` `[example]` under `weight` `[example]` (0 for padding)."""
    return (values * weight).sum() / weight.sum().clamp(min=1e-12)


def cross_entropy(
    logits: Float[Tensor, "example way"], y: Float[Tensor, "example way"], weight: Float[Tensor, " example"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats: `-sum_way y log softmax(logits)`.

    Args:
        logits: `[example, way]`.
        y: one-hot (or soft) targets, `[example, way]`.
        weight: 0 for padding, `[example]`.
    """
    return weighted_mean(-(y * F.log_softmax(logits, dim=-1)).sum(-1), weight)


def squared_error(
    prediction: Float[Tensor, "example output"], y: Float[Tensor, "example output"], weight: Float[Tensor, " example"]
) -> Float[Tensor, ""]:
    """Mean squared error over examples and outputs, for `[example, output]` predictions and targets."""
    return weighted_mean((prediction - y).square().mean(-1), weight)


def class_counts(y: Float[Tensor, "example way"], weight: Float[Tensor, " example"]) -> Float[Tensor, " way"]:
    """Number of examples of each way, `[way]`, for one-hot `y` `[example, way]`."""
    return (y * weight.unsqueeze(-1)).sum(0)


def class_sums(
    features: Float[Tensor, "example feature"], y: Float[Tensor, "example way"], weight: Float[Tensor, " example"]
) -> Float[Tensor, "way feature"]:
    """Sum of the features of each way, `[way, feature]`, for features `[example, feature]` and one-hot `y` `[example, way]`."""
    return (y * weight.unsqueeze(-1)).t() @ features


def hide_absent(logits: Float[Tensor, "example way"], counts: Float[Tensor, " way"]) -> Float[Tensor, "example way"]:
    """Logits `[example, way]` in which a way without support examples (`counts` is 0, `[way]`) can never win."""
    return torch.where(counts > 0, logits, ABSENT)


def squared_distances(a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
    """Squared Euclidean distances, `[n, m]`, between rows `[n, feature]` and `[m, feature]`.

    By differences, not by `|a|^2 - 2ab + |b|^2`, which cancels badly in bfloat16 and for near rows.
    """
    return (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)


def distances(a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
    """Euclidean distances, `[n, m]`; at least 0.001, with no gradient where rows are nearer (the root of 0 has none)."""
    return squared_distances(a, b).clamp(min=1e-6).sqrt()


def pad_rows(rows: Tensor, count: int) -> Tensor:
    """`rows` `[n, ...]` followed by zero rows up to `count`; unchanged where there are that many already.

    Raises:
        TaskError: there are more rows than that already.
    """
    missing = count - rows.shape[0]
    if missing < 0:
        raise TaskError(
            f"the state knows {rows.shape[0]} ways, but the new examples' y has {count} columns. Give y a column for every way so far."
        )
    return torch.cat([rows, rows.new_zeros((missing, *rows.shape[1:]))]) if missing > 0 else rows


def under(prefix: str, tensors: Mapping[str, Tensor]) -> Parameters:
    """The tensors whose names begin with the prefix, without it.

    >>> under("net.", {"net.weight": torch.ones(1), "head.weight": torch.zeros(1)})
    {'weight': tensor([1.])}
    """
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def gradient_descent(
    loss: Callable[[Parameters], Tensor],
    parameters: Parameters,
    *,
    inner_lr: float | Tensor,
    steps: int,
    first_order: bool = False,
    recompute: bool = False,
) -> Parameters:
    """The inner loop of MAML (Finn et al. 2017, eq. 1): `steps` times `parameters - inner_lr * gradient of loss`.

    With `first_order` the steps are constants to the outer gradient, `d adapted / d parameters = 1` (section 5.2), and no graph of
    them is built.

    Args:
        loss: scalar of the parameters.
        parameters: where to start.
        inner_lr: step size, alpha.
        steps: number of steps, 0 or more.
        first_order: leave out second derivatives.
        recompute: when differentiated, compute each step again instead of remembering it (Chen et al. 2016, "Training Deep Nets with
            Sublinear Memory Cost"): memory grows by one set of parameters for each step, time by about a third. `loss` may then depend on
            nothing else that is differentiated.

    >>> gradient_descent(lambda p: p["w"].square().sum(), {"w": torch.ones(1)}, inner_lr=0.25, steps=2)
    {'w': tensor([0.2500])}
    """
    start = {name: value.detach() for name, value in parameters.items()} if first_order else parameters

    def step(rate: float | Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        adapted = dict(zip(start, values, strict=True))
        gradients = torch.func.grad(loss)(adapted)
        return tuple(value - rate * gradients[name] for name, value in adapted.items())

    def one_step(index: int | Tensor, values: tuple[Tensor, ...]) -> Any:
        return _Recomputed.apply(step, inner_lr, *values) if recompute and not first_order else step(inner_lr, *values)

    adapted = dict(zip(start, repeat(one_step, tuple(start.values()), steps, "inner_steps"), strict=True))
    if first_order and torch.is_grad_enabled():
        return straight_through(parameters, start, adapted)
    return adapted


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
    """The values of `adapted` with the gradient of `parameters`: `d result / d parameters = 1`. `start` is `parameters`, detached."""
    return {name: value + (adapted[name] - start[name]).detach() for name, value in parameters.items()}
