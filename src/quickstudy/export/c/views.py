"""Write views, whose elements are those of another tensor under other indices; they are moved only if their order in memory must change."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from quickstudy.errors import ModelError
from quickstudy.export.c.context import Context
from quickstudy.export.c.ir import C_TYPE, Index, Value, expanded, remapped, reshaped_in_place, stored
from quickstudy.export.c.ops import shape_of
from quickstudy.export.c.sections import example_axis
from quickstudy.export.trace.capture import layer_of

aten = torch.ops.aten


def reshaped(context: Context, value: Value, shape: tuple[int, ...]) -> Value:
    """Return the same elements in row-major order under another shape."""
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
    """Return a reshaped tensor, whose axis of examples must stay by itself."""
    source: Any = node.args[0]
    before, after = example_axis(source), example_axis(node)
    shape = shape_of(node)
    if (before is None) != (after is None) or (
        before and after and math.prod(shape_of(source)[: before[0]]) != math.prod(shape[: after[0]])
    ):
        raise ModelError(f"operator {node.target} merges the axis of the examples with another; the C target cannot follow it.")
    return reshaped(context, context.value(source), shape)


def _as_strided(context: Context, node: fx.Node) -> Value:
    """Return a view by strides. Torch counts them in the memory of the source, whose order is not row-major after permuting or slicing."""
    source: Any = node.args[0]
    given, wanted = source.meta["val"], node.meta["val"]
    first = wanted.storage_offset() - given.storage_offset()
    whole = statically_known_true(first == 0) and statically_known_true(wanted.numel() == given.numel())
    if whole and _row_major(given) and _row_major(wanted):
        return _view(context, node)
    strides, shape = wanted.stride(), shape_of(node)
    order = sorted(range(given.dim()), key=lambda axis: -given.stride(axis)) if example_axis(source) is None else []
    last = first + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if example_axis(node) or example_axis(source) or not _row_major(given.permute(order)) or first < 0 or last >= given.numel():
        raise ModelError(
            f"operator {node.target} in layer {layer_of(node, context.names)} has strides {list(map(str, strides))} in memory that does "
            "not hold its input from end to end, or has examples. Use reshape, permute or slices, or export the learner to ONNX."
        )
    memory = context.in_memory(_permuted(context.value(source), order))
    assert memory.place is not None
    flat = stored(memory.place[0], (memory.size,), memory.place[1])

    def back(index: Index) -> Index:
        terms = [f"{place} * {stride}" for place, stride in zip(index, strides, strict=True) if place != "0"]
        return (" + ".join([*terms, *([str(first)] if first or not terms else [])]),)

    return dataclasses.replace(remapped(flat, shape, back), reads=memory.reads)


def _row_major(tensor: Tensor) -> bool:
    """Say whether a tensor lies in its memory in order and without gaps; sizes may be symbols."""
    expected = [math.prod(tensor.shape[axis + 1 :]) for axis in range(tensor.dim())]
    return all(
        statically_known_true(size == 1) or statically_known_true(stride == wanted)
        for size, stride, wanted in zip(tensor.shape, tensor.stride(), expected, strict=True)
    )


def _same(context: Context, node: fx.Node) -> Value:
    """Return the same elements, in another type if the operation changes it."""
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
    value, axes = context.value(node.args[0]), node.args[1] if len(node.args) > 1 else (1, 0)
    return _permuted(value, [axis % len(value.shape) for axis in axes])  # pyright: ignore


def _permuted(value: Value, order: Sequence[int]) -> Value:
    """Return a value with its axes in another order."""
    dimensions = len(value.shape)
    shape = [value.shape[axis] for axis in order]
    moved = [axis for axis in order if value.shape[axis] != 1]

    def back(index: Index) -> Index:
        return tuple(index[order.index(axis)] for axis in range(dimensions))

    if moved == sorted(moved):
        return reshaped_in_place(value, shape, back)
    return remapped(value, shape, back)


def _refuse_examples(context: Context, node: fx.Node, axis: Any) -> None:
    """Raise a ModelError if examples are picked by their number: a pass sees one example and does not know the others."""
    source: Any = node.args[0]
    examples = example_axis(source)
    if examples is not None and axis % len(source.meta["val"].shape) == examples[0]:
        raise ModelError(
            f"operator {node.target} in layer {layer_of(node, context.names)} picks examples by their number; the C target computes one "
            "at a time. Write it with sums over examples, or export the learner to ONNX."
        )


def _refuse_unknown(context: Context, node: fx.Node, *places: Any) -> None:
    """Raise a ModelError for a place that depends on the number of examples."""
    for place in places:
        if isinstance(place, fx.Node):
            raise ModelError(
                f"operator {node.target} in layer {layer_of(node, context.names)} begins or ends at {place.meta['val']}, a place that "
                "depends on the number of examples; the C target has fixed places. Use numbers, or export the learner to ONNX."
            )


def _select(context: Context, node: fx.Node) -> Value:
    """Return one place of an axis, which goes."""
    value, axis, place = context.value(node.args[0]), *node.args[1:3]
    _refuse_examples(context, node, axis)
    _refuse_unknown(context, node, place)
    dimensions = len(value.shape)
    axis, place = axis % dimensions, place % value.shape[axis]  # pyright: ignore
    shape = value.shape[:axis] + value.shape[axis + 1 :]  # pyright: ignore
    return remapped(value, shape, lambda index: (*index[:axis], str(place), *index[axis:]))  # pyright: ignore


def _slice(context: Context, node: fx.Node) -> Value:
    """Return a part of an axis."""
    value = context.value(node.args[0])
    given: Any = (*node.args[1:], *(0, None, None, 1)[len(node.args) - 1 :])
    axis, start, end, step = given
    shape, size = shape_of(node), value.shape[axis]
    if start or example_axis(node) is None:
        _refuse_examples(context, node, axis)
    _refuse_unknown(context, node, start, step, *([end] if example_axis(node.args[0]) is None else []))  # pyright: ignore
    first = range(size)[slice(start, None)].start

    def back(index: Index) -> Index:
        moved = [*index]
        if moved[axis] != "0" or first:
            moved[axis] = f"({moved[axis]}{f' * {step}' if step != 1 else ''} + {first})"
        return tuple(moved)

    return value if shape == value.shape else remapped(value, shape, back)


RULES: dict[Any, Callable[[Context, fx.Node], Any]] = {
    **dict.fromkeys((aten.view.default, aten._unsafe_view.default), _view),
    **dict.fromkeys((aten.unsqueeze.default, aten.squeeze.dim, aten.squeeze.dims), _view),
    **dict.fromkeys((aten.clone.default, aten.alias.default, aten.detach.default, aten._to_copy.default), _same),
    aten.as_strided.default: _as_strided,
    aten.expand.default: _expand,
    aten.permute.default: _permute,
    aten.select.int: _select,
    aten.slice.Tensor: _slice,
    aten.t.default: _permute,
}
