"""Views: the same elements under other indices. Nothing is computed or moved unless an order must change."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from quickstudy.errors import ModelError
from quickstudy.export.c.context import Context
from quickstudy.export.c.ir import C_TYPE, Index, Value, expanded, remapped, reshaped_in_place, stored
from quickstudy.export.c.ops import shape_of
from quickstudy.export.c.sections import example_axis
from quickstudy.export.capture import layer_of

aten = torch.ops.aten


def reshaped(context: Context, value: Value, shape: tuple[int, ...]) -> Value:
    """The same elements in row-major order under another shape."""
    if value.shape == shape:
        return value
    old = [axis for axis, size in enumerate(value.shape) if size != 1]
    new = [axis for axis, size in enumerate(shape) if size != 1]
    if [value.shape[axis] for axis in old] == [shape[axis] for axis in new]:
        source = dict(zip(old, new, strict=True))
        return reshaped_in_place(
            value, shape, lambda index: tuple(index[source[a]] if a in source else "0" for a in range(len(value.shape)))
        )
    value = context.in_memory(value)
    assert value.place is not None
    return dataclasses.replace(stored(value.place[0], shape, value.place[1]), reads=value.reads)


def _view(context: Context, node: fx.Node) -> Value:
    source: Any = node.args[0]
    before, after = example_axis(source), example_axis(node)
    shape = shape_of(node)
    if (before is None) != (after is None) or (
        before and after and math.prod(shape_of(source)[: before[0]]) != math.prod(shape[: after[0]])
    ):
        raise ModelError(f"operator {node.target} merges the axis of the examples with another; the C target cannot follow it.")
    return reshaped(context, context.value(source), shape)


def _as_strided(context: Context, node: fx.Node) -> Value:
    shape = shape_of(node)
    strides: Any = node.args[2]
    expected = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    offset = node.args[3] if len(node.args) > 3 else 0
    if offset or any(s != e for s, e, size in zip(strides, expected, shape, strict=True) if size != 1):
        raise ModelError(f"operator {node.target} with strides {strides} has no C form; only row-major views have.")
    return reshaped(context, context.value(node.args[0]), shape)  # pyright: ignore


def _same(context: Context, node: fx.Node) -> Value:
    value, dtype = context.value(node.args[0]), node.meta["val"].dtype
    if dtype == value.dtype:
        return value
    kind = C_TYPE[dtype]
    return dataclasses.replace(
        value,
        dtype=dtype,
        read=lambda index: f"({kind})({value.read(index)}{' != 0' if dtype == torch.bool else ''})",
        place=None,
        aligned=frozenset(),
    )


def _expand(context: Context, node: fx.Node) -> Value:
    return expanded(context.value(node.args[0]), shape_of(node))


def _permute(context: Context, node: fx.Node) -> Value:
    value = context.value(node.args[0])
    dimensions = len(value.shape)
    order = [1, 0] if node.target is aten.t.default else [axis % dimensions for axis in node.args[1]]  # pyright: ignore
    shape = [value.shape[axis] for axis in order]
    moved = [axis for axis in order if value.shape[axis] != 1]

    def back(index: Index) -> Index:
        return tuple(index[order.index(axis)] for axis in range(dimensions))

    if moved == sorted(moved):
        return reshaped_in_place(value, shape, back)
    return remapped(value, shape, back)


def _refuse_examples(context: Context, node: fx.Node, axis: Any) -> None:
    """A ModelError for some of the examples by their number: a pass sees one and does not know the others."""
    source: Any = node.args[0]
    examples = example_axis(source)
    if examples is not None and axis % len(source.meta["val"].shape) == examples[0]:
        raise ModelError(
            f"operator {node.target} in layer {layer_of(node, context.names)} picks examples by their number; the C target computes one "
            "at a time. Write it with sums over examples, or export the learner to ONNX."
        )


def _select(context: Context, node: fx.Node) -> Value:
    value, axis, place = context.value(node.args[0]), *node.args[1:3]
    _refuse_examples(context, node, axis)
    dimensions = len(value.shape)
    axis, place = axis % dimensions, place % value.shape[axis]  # pyright: ignore
    shape = value.shape[:axis] + value.shape[axis + 1 :]  # pyright: ignore
    return remapped(value, shape, lambda index: (*index[:axis], str(place), *index[axis:]))  # pyright: ignore


def _slice(context: Context, node: fx.Node) -> Value:
    value = context.value(node.args[0])
    given: Any = (*node.args[1:], *(0, None, None, 1)[len(node.args) - 1 :])
    axis, start, _, step = given
    shape, size = shape_of(node), value.shape[axis]
    if start or example_axis(node) is None:
        _refuse_examples(context, node, axis)
    first = range(size)[slice(start, None)].start

    def back(index: Index) -> Index:
        moved = [*index]
        if moved[axis] != "0" or first:
            moved[axis] = f"({moved[axis]}{f' * {step}' if step != 1 else ''} + {first})"
        return tuple(moved)

    return value if shape == value.shape else remapped(value, shape, back)


RULES: dict[Any, Callable[[Context, fx.Node], Any]] = {
    **dict.fromkeys((aten.view.default, aten.reshape.default, aten._unsafe_view.default), _view),
    **dict.fromkeys((aten.unsqueeze.default, aten.unsqueeze_.default, aten.squeeze.dim, aten.squeeze.dims), _view),
    **dict.fromkeys((aten.clone.default, aten.alias.default, aten.detach.default, aten._to_copy.default), _same),
    aten.as_strided.default: _as_strided,
    aten.expand.default: _expand,
    aten.permute.default: _permute,
    aten.select.int: _select,
    aten.slice.Tensor: _slice,
    aten.t.default: _permute,
}
