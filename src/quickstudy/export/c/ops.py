"""Facts about captured operations that several passes need."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator

import torch
from torch import Tensor, fx

from quickstudy.functional import loop  # noqa: F401 (registers the marks of loops)

aten = torch.ops.aten
ENTER = torch.ops.quickstudy.enter.default
LEAVE = torch.ops.quickstudy.leave.default
TAKE = torch.ops.quickstudy.take.default
COLLECT = torch.ops.quickstudy.collect.default
MARKS = (ENTER, LEAVE, TAKE, COLLECT)
"""Marks of loops, as `quickstudy.functional.loop` describes them."""

_REMAINDER = "qs_floored(fmodf({0}, {1}), {1})"

ELEMENTWISE: dict[object, tuple[str, int]] = {
    aten.abs.default: ("fabsf({0})", 1),
    aten.add.Scalar: ("({0} + {1})", 1),
    aten.add.Tensor: ("({0} + {1})", 1),
    aten.bitwise_and.Tensor: ("({0} & {1})", 1),
    aten.bitwise_or.Tensor: ("({0} | {1})", 1),
    aten.logical_or.default: ("({0} || {1})", 1),
    aten.bitwise_not.default: ("(!{0})", 1),
    aten.div.Scalar: ("({0} / {1})", 4),
    aten.div.Tensor: ("({0} / {1})", 4),
    aten.eq.Scalar: ("({0} == {1})", 1),
    aten.eq.Tensor: ("({0} == {1})", 1),
    aten.cos.default: ("cosf({0})", 20),
    aten.sin.default: ("sinf({0})", 20),
    aten.log1p.default: ("log1pf({0})", 20),
    aten.expm1.default: ("expm1f({0})", 20),
    aten.erf.default: ("erff({0})", 20),
    aten.exp.default: ("expf({0})", 20),
    aten.ge.Scalar: ("({0} >= {1})", 1),
    aten.gt.Scalar: ("({0} > {1})", 1),
    aten.gt.Tensor: ("({0} > {1})", 1),
    aten.le.Scalar: ("({0} <= {1})", 1),
    aten.log.default: ("logf({0})", 20),
    aten.logical_and.default: ("({0} && {1})", 1),
    aten.logical_not.default: ("(!{0})", 1),
    aten.le.Tensor: ("({0} <= {1})", 1),
    aten.lt.Tensor: ("({0} < {1})", 1),
    aten.ge.Tensor: ("({0} >= {1})", 1),
    aten.remainder.Tensor: (_REMAINDER, 20),
    aten.lt.Scalar: ("({0} < {1})", 1),
    aten.maximum.default: ("qs_maxf({0}, {1})", 1),
    aten.minimum.default: ("qs_minf({0}, {1})", 1),
    aten.mul.Scalar: ("({0} * {1})", 1),
    aten.mul.Tensor: ("({0} * {1})", 1),
    aten.ne.Scalar: ("({0} != {1})", 1),
    aten.neg.default: ("(-{0})", 1),
    aten.pow.Scalar: ("powf({0}, {1})", 40),
    aten.pow.Tensor_Tensor: ("powf({0}, {1})", 40),
    aten.reciprocal.default: ("(1.0f / {0})", 4),
    aten.relu.default: ("qs_relu({0})", 1),
    aten.remainder.Scalar: (_REMAINDER, 20),
    aten.rsqrt.default: ("(1.0f / sqrtf({0}))", 8),
    aten.sigmoid.default: ("(1.0f / (1.0f + expf(-{0})))", 24),
    aten.sign.default: ("qs_sign({0})", 2),
    aten.sqrt.default: ("sqrtf({0})", 4),
    aten.sub.Scalar: ("({0} - {1})", 1),
    aten.sub.Tensor: ("({0} - {1})", 1),
    aten.tanh.default: ("tanhf({0})", 20),
    aten.where.self: ("({0} ? {1} : {2})", 1),
}
"""Operations that go element by element: the C expression, and about how many operations it is."""

_EXTREMES = {"qs_maxf": "qs_max", "qs_minf": "qs_min"}
_OTHERWISE = {
    torch.int64: {**_EXTREMES, _REMAINDER: "qs_remainder({0}, {1})", "(!{0})": "(~{0})"},
    torch.bool: {**_EXTREMES, "({0} + {1})": "({0} || {1})"},
}


def of_type(template: str, dtype: torch.dtype) -> str:
    """Return the C form of an operation with results of that type; forms are written for float32 first.

    >>> of_type("(!{0})", torch.int64), of_type("(!{0})", torch.bool)
    ('(~{0})', '(!{0})')
    """
    for form, other in _OTHERWISE.get(dtype, {}).items():
        template = template.replace(form, other)
    return template


SHAPE_ONLY = {
    aten.arange.default,
    aten.arange.start_step,
    aten.empty.memory_format,
    aten.full.default,
    aten.full_like.default,
    aten.new_full.default,
    aten.new_zeros.default,
    aten.ones.default,
    aten.ones_like.default,
    aten.scalar_tensor.default,
    aten.zeros.default,
    aten.zeros_like.default,
}
"""Operations whose results depend on shapes and numbers only, and not on the values of tensors."""

VIEWS = {
    aten._to_copy.default,
    aten._unsafe_view.default,
    aten.alias.default,
    aten.as_strided.default,
    aten.clone.default,
    aten.detach.default,
    aten.expand.default,
    aten.permute.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.t.default,
    aten.unsqueeze.default,
    aten.view.default,
}
"""Operations whose results are elements of their argument, in another place or shape."""

LIGHT = {
    *ELEMENTWISE,
    *SHAPE_ONLY,
    *VIEWS,
    aten.cat.default,
    aten.clamp.default,
    aten.clamp_min.default,
    aten.index.Tensor,
    aten.max_pool2d_with_indices.default,
    aten.pow.Tensor_Scalar,
}
"""Operations that are cheap enough to be computed again rather than kept for every example."""


EFFORT = {"shared": 4, "alone": 24, "reduced": 256}
"""Limits on computing again. `shared` and `alone`: numbers of operations up to which an expression is computed again at each use, if it has
several uses or one. `reduced`: number of elements up to which a reduction is cheap."""


def is_light(node: fx.Node) -> bool:
    """Say whether a node is computed again rather than kept."""
    if node.target is operator.getitem:
        return node.args[0].target is aten.max_pool2d_with_indices.default  # pyright: ignore
    if node.target in (aten.sum.dim_IntList, aten.amax.default):
        return math.prod(shape_of(node.args[0])) <= EFFORT["reduced"]  # pyright: ignore[reportArgumentType]
    return node.target in LIGHT


def inputs(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the nodes whose values, and not only shapes, a node reads."""
    if node.target in SHAPE_ONLY:
        return
    if node.target is COLLECT:  # of the rows it counts, only the number matters
        yield node.args[0]  # pyright: ignore[reportReturnType]
        return
    for other in node.all_input_nodes:
        if is_tensor(other) and other.target is not aten.empty.memory_format:
            yield other


def is_tensor(node: fx.Node) -> bool:
    """Say whether a node is a tensor or a tuple of them, not a size."""
    value = node.meta.get("val")
    return node.op in ("get_attr", "output") or isinstance(value, (Tensor, tuple, list))


def shape_of(node: fx.Node, part: int | None = None) -> tuple[int, ...]:
    """Return the shape of a node's value for one example; `part` is the place in a tuple of values."""
    value = node.meta["val"] if part is None else node.meta["val"][part]
    return tuple(int(size) if isinstance(size, int) or not size.node.expr.free_symbols else 1 for size in value.shape)
