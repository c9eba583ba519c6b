"""Turn a graph in sections into kernels; values stay expressions until something needs their elements in memory."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from quickstudy.errors import ModelError
from quickstudy.export.c import layers, ops, views
from quickstudy.export.c.context import Context
from quickstudy.export.c.ir import Begin, Buffer, End, Index, Item, Value, constant, literal, loops, nested, remapped, stored
from quickstudy.export.c.ops import EFFORT, shape_of
from quickstudy.export.c.sections import Section, example_axis
from quickstudy.export.trace.capture import layer_of

aten = torch.ops.aten


def lowered(context: Context) -> list[Item]:
    """Return all kernels and loops of a program, in order."""
    return _Lowering(context).run()


class _Lowering:
    """Goes through the sections of one program."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.carried: dict[tuple[int, int], Buffer] = {}
        self.live = {node for section in context.cut.sections for node in section.nodes}
        self.fused = layers.fusions(self.live, context.cut.kept)

    def run(self) -> list[Item]:
        """Return the kernels and loops."""
        loop: int | None = None
        for section in self.context.cut.sections:
            if section.loop != loop:
                self._close(loop)
                self._open(section.loop)
                loop = section.loop
            self._section(section)
        self._close(loop)
        self._outputs()
        return self.context.items

    def _marks(self, mark: Any, loop: int) -> dict[int, fx.Node]:
        """Return the marks of what enters or leaves a loop, by their place."""
        found: dict[int, fx.Node] = {
            node.args[2]: node  # pyright: ignore[reportAssignmentType]
            for node in self.live
            if node.target is mark and node.args[1] == loop
        }
        return dict(sorted(found.items()))

    def _open(self, loop: int | None) -> None:
        """Put what enters a loop where it will be changed in place: into the state, if it ends there."""
        if loop is None:
            return
        context, leaves = self.context, self._marks(ops.LEAVE, loop)
        entering = self._marks(ops.ENTER, loop)
        for place, node in entering.items():
            if place == 0:
                context.values[node] = constant("step", (), torch.int64)
                continue
            if example_axis(node) is not None:
                raise ModelError(
                    f"a loop hands on {node.name}, which has a row for each support example; the C target computes one example at a time. "
                    "Compute it inside the loop, or export the learner to ONNX."
                )
            start = context.value(node.args[0])
            buffer = context.destination(leaves[place]) if place in leaves else None
            buffer = buffer or context.new(node.name, start.size, start.dtype)
            self.carried[loop, place] = buffer
            context.values[node] = context.write(start, stored(buffer, start.shape))
        context.items.append(Begin(f"for (int step = 0; step < {self._count(loop)}; step++)"))

    def _count(self, loop: int) -> str:
        """Return the number of steps as C: a setting, or the length of what the loop takes."""
        if name := self.context.frame.steps[loop]:
            return name
        rows: Any = next(iter(self._marks(ops.TAKE, loop).values())).args[0]
        examples = example_axis(rows)
        return str(rows.meta["val"].shape[0]) if examples is None else self.context.frame.size(examples[1])

    def _taken(self, node: fx.Node) -> Value:
        """Return the row of the step."""
        context, rows = self.context, node.args[0]
        assert isinstance(rows, fx.Node)
        examples, shape = example_axis(rows), shape_of(node)
        if examples is not None and examples[0] != 0:
            raise ModelError(
                f"a loop goes over axis 0 of {rows.name}, whose axis {examples[0]} counts examples; the C target computes one example at a "
                "time. Loop over the examples, or export the learner to ONNX."
            )
        if examples is None:
            return remapped(context.value(rows), shape, lambda index: ("step", *index))
        if rows.op == "placeholder":
            value = context.frame.inputs[context.names[rows]]("step")
            return remapped(value, shape, lambda index: ("0", *index))
        return stored(context.rows[rows], shape, f"step * {math.prod(shape)}")

    def _collected(self, node: fx.Node) -> None:
        """Write what this step puts out to its row."""
        context, value = self.context, self.context.value(node.args[0])
        buffers = context.destinations.get(node) or [context.new(f"all_{node.name}", value.size * context.frame.capacity)]
        context.rows[node] = buffers[0]
        for buffer in buffers:
            context.write(value, stored(buffer, value.shape, f"step * {value.size}"))

    def _close(self, loop: int | None) -> None:
        """Hand the values of this step on to the next: each in place, after whatever still reads the old one."""
        if loop is None:
            return
        context = self.context
        waiting = [
            (node, self.carried[loop, place], context.value(node.args[0]))
            for place, node in self._marks(ops.LEAVE, loop).items()
            if (loop, place) in self.carried
        ]
        while waiting:
            free = [one for one in waiting if not any(one[1] in other[2].reads for other in waiting if other is not one)]
            node, buffer, value = chosen = (free or waiting)[0]
            waiting.remove(chosen)
            if not free:  # two need each other's old value
                waiting = [(n, b, context.copy(v) if buffer in v.reads else v) for n, b, v in waiting]
            if buffer in value.reads - value.aligned:
                value = context.copy(value)
            context.values[node] = context.write(value, stored(buffer, value.shape))
        context.items.append(End())

    def _section(self, section: Section) -> None:
        """Lower the nodes of a section, inside a loop over the examples if it passes over them."""
        context = self.context
        context.local, context.before = {}, []
        outside, context.items = context.items, []
        for node in section.nodes:
            if node.target in (ops.ENTER, ops.LEAVE) or node in self.fused.inner:
                continue
            if node.target is ops.COLLECT:
                self._collected(node)
                continue
            value = self._settled(node, self._lower(node))
            if example_axis(node) is None:
                context.values[node] = value
                continue
            context.local[node] = value
            if node in context.cut.kept and node not in context.rows:
                context.rows[node] = context.new(f"all_{node.name}", value.size * context.frame.capacity, value.dtype)
                self._write_row(value, context.rows[node])
            for buffer in context.destinations.get(node, ()):  # a row of the state for every example
                self._write_row(value, buffer)
        inside, context.items = context.items, outside
        if section.over is not None and inside:
            count = context.frame.size(section.over)
            inside = [*context.before, Begin(f"for (int row = 0; row < {count}; row++)"), *inside, End()]
        context.items += inside

    def _outputs(self) -> None:
        """Write the outputs that are not yet in their places."""
        context = self.context
        for name, node in context.results.items():
            examples, buffer = example_axis(node), context.frame.outputs[name]
            if examples is None:
                value = context.value(node)
                if value.place != (buffer, ""):
                    context.write(value, stored(buffer, value.shape))
            elif node.op == "placeholder":  # which no pass computes
                context.items.append(Begin(f"for (int row = 0; row < {context.frame.size(examples[1])}; row++)"))
                self._write_row(context.value(node), buffer)
                context.items.append(End())

    def _write_row(self, value: Value, buffer: Buffer) -> None:
        """Write a value of the example at hand to its row of a buffer."""
        offset = f"row * {value.size}"
        if value.place != (buffer, offset):
            self.context.write(value, stored(buffer, value.shape, offset))

    def _settled(self, node: fx.Node, value: Any) -> Any:
        """Return the value, computed once into memory if its expression is long or used often."""
        if not isinstance(value, Value) or value.dtype == torch.bool:
            return value
        users = sum(user in self.live or user.op == "output" for user in node.users)
        if value.cost > EFFORT["alone"] or (users > 1 and value.cost > EFFORT["shared"]):
            return self.context.copy(value, node.name)
        return value

    def _lower(self, node: fx.Node) -> Any:
        """Return the value of a node, by the rule of its operation."""
        target = node.target
        if target is ops.TAKE:
            return self._taken(node)
        if node in self.fused.outer:
            return layers.fused(self.context, self.fused.outer[node], node)
        if target in ops.ELEMENTWISE:
            return self.context.elementwise(node, *ops.ELEMENTWISE[target])
        rule = RULES.get(target) or layers.RULES.get(target) or views.RULES.get(target)
        if rule is None:
            raise ModelError(
                f"operator {target} in layer {layer_of(node, self.context.names)} has no C form. Use layers made of convolution, "
                "linear, max-pooling, ReLU, group norm and elementwise functions, or export the learner to ONNX."
            )
        return rule(self.context, node)


def _sum(context: Context, node: fx.Node) -> Value:
    return reduced(context, node, "sum")


def _amax(context: Context, node: fx.Node) -> Value:
    return reduced(context, node, "max")


def reduced(context: Context, node: fx.Node, kind: str) -> Value:
    """Write a sum or maximum over axes; over the examples it is collected by the pass."""
    source: Any = node.args[0]
    value, dimensions = context.value(source), len(source.meta["val"].shape)
    given: Any = node.args[1] if len(node.args) > 1 else None
    axes = {axis % dimensions for axis in given} if given else set(range(dimensions))
    examples = example_axis(source)
    collected = examples is not None and examples[0] in axes
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
    start = 0.0 if kind == "sum" else -math.inf
    target = context.collector(node, kept, start) if collected else context.allocate(node, kept)
    opening, index = loops(kept)
    inner, place = loops(tuple(size if axis in axes else 1 for axis, size in enumerate(value.shape)), "r")
    full = tuple(r if axis in axes else i for axis, (i, r) in enumerate(zip(index, place, strict=True)))
    first = target.read(index) if collected else literal(start, torch.float32)
    step = "total += {};" if kind == "sum" else "total = qs_maxf(total, {});"
    body = [f"float total = {first};", *nested(inner, [step.format(value.read(full))]).split("\n")]
    if not inner:
        body = [f"float total = {first};", step.format(value.read(full))]
    context.emit(
        nested(opening, [*body, f"{target.read(index)} = total;"]), [value, target] if collected else [value], [target]
    )
    assert target.place is not None
    return stored(target.place[0], shape_of(node), target.place[1])


def _matrix_product(context: Context, node: fx.Node) -> Value:
    """Write a product of two matrices, or of several pairs of them; over the examples it is collected by the pass."""
    left, right = (context.value(item) for item in node.args[:2])
    left, right = (context.copy(value) if value.cost else value for value in (left, right))
    axis = example_axis(node.args[0])  # pyright: ignore[reportArgumentType]
    collected = axis is not None and axis[0] == len(left.shape) - 1
    shape = shape_of(node)
    target = context.collector(node, shape) if collected else context.allocate(node, shape)
    opening, index = loops(shape)
    *pair, i, j = index
    inner, (k,) = loops(left.shape[-1:], "k")
    term = f"total += {left.read((*pair, i, k))} * {right.read((*pair, k, j))};"
    first = target.read(index) if collected else "0.0f"
    body = [f"float total = {first};", *(nested(inner, [term]).split("\n") if inner else [term])]
    reads = [left, right, target] if collected else [left, right]
    context.emit(nested(opening, [*body, f"{target.read(index)} = total;"]), reads, [target])
    return target


def _clamp(context: Context, node: fx.Node) -> Value:
    """Write one bound or both."""
    low: Any = node.args[1] if len(node.args) > 1 else None
    high: Any = node.args[2] if len(node.args) > 2 else None
    text = "{0}"
    for bound, function in ((low, "qs_maxf"), (high, "qs_minf")):
        if bound is not None:
            text = f"{function}({text}, {literal(bound, torch.float32)})"
    return context.elementwise(node, text, 2, node.args[:1])


def _power(context: Context, node: fx.Node) -> Value:
    """Write a power, without `powf` for the usual exponents."""
    exponent: Any = node.args[1]
    forms = {2: ("qs_square({0})", 1), -1: ("(1.0f / {0})", 4), -2: ("(1.0f / qs_square({0}))", 5), 0.5: ("sqrtf({0})", 4)}
    text, cost = forms.get(exponent, (f"powf({{0}}, {literal(exponent, torch.float32)})", 40))
    return context.elementwise(node, text, cost, node.args[:1])


def _filled(context: Context, node: fx.Node) -> Value:
    """Return a tensor of one number; an empty one holds zeros."""
    name = str(node.target)
    zeros = "zeros" in name or "empty" in name
    number: Any = 0 if zeros else 1 if "ones" in name else node.args[0] if "scalar_tensor" in name else node.args[-1]
    return constant(number, shape_of(node), node.meta["val"].dtype)


def _arange(context: Context, node: fx.Node) -> Value:
    """Write a range from the index of its element; over the examples, from the number of the example at hand."""
    dtype = node.meta["val"].dtype
    start, step = (node.args[0], *node.args[2:3], 1)[:2] if len(node.args) > 1 else (0, 1)
    first, by = (context.operand(item, dtype).read(()) if item else "" for item in (start, step if step != 1 else None))

    def read(index: Index) -> str:
        place = literal("row" if example_axis(node) is not None else index[0], dtype)
        return f"({place}{f' * {by}' if by else ''}{f' + {first}' if first else ''})"

    return Value(shape_of(node), dtype, read, cost=bool(first) + bool(by))


def _item(context: Context, node: fx.Node) -> Any:
    """Return one of several results of an operation."""
    source, part = node.args
    if source.target is aten.convolution_backward.default:  # pyright: ignore[reportOptionalMemberAccess,reportAttributeAccessIssue]
        return layers.convolution_gradient(context, node)
    return context.value(source)[part]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]


def _concatenated(context: Context, node: fx.Node) -> Value:
    """Write the pieces one after the other into the result, at their places along the axis."""
    pieces: Any = [context.value(item) for item in node.args[0] if ops.shape_of(item) != (0,)]  # pyright: ignore
    shape, dtype = shape_of(node), node.meta["val"].dtype
    given: Any = node.args[1] if len(node.args) > 1 else 0
    axis, target, lines, start = given % len(shape), context.allocate(node, shape, dtype), [], 0
    for piece in pieces:
        opening, index = loops(piece.shape)
        moved = (*index[:axis], f"({index[axis]} + {start})" if start else index[axis], *index[axis + 1 :])
        lines.append(nested(opening, [f"{target.read(moved)} = {piece.read(index)};"]))
        start += piece.shape[axis]
    context.emit("\n".join(lines), pieces, [target])
    return target


def _index(context: Context, node: fx.Node) -> Value:
    """Write support examples that are picked by a list of their numbers."""
    source: Any = node.args[0]
    places: Any = node.args[1]
    examples = example_axis(source)
    if source.op != "placeholder" or len(places) != 1 or examples is None or len(shape_of(places[0])) != 1:
        raise ModelError(
            f"operator {node.target} in layer {layer_of(node, context.names)} picks elements by their number; the C target does so with a "
            "list of support examples only. Write it with sums over examples, or export the learner to ONNX."
        )
    row, bind = context.value(places[0]), context.frame.inputs[context.names[source]]
    counted = places[0].target in (aten.remainder.Scalar, aten.remainder.Tensor)  # not negative

    def example(place: Index) -> Value:
        number = row.read(place)
        return bind(number if counted else f"qs_remainder({number}, {context.frame.size(examples[1])})")

    value = example(("0",))
    if example_axis(node) is None:  # a fixed number of examples, whichever they are
        cost = value.cost + row.cost
        value = Value(shape_of(node), value.dtype, lambda index: example(index[:1]).read(("0", *index[1:])), value.reads, cost)
    return dataclasses.replace(value, reads=value.reads | row.reads)


RULES: dict[Any, Callable[[Context, fx.Node], Any]] = {
    **dict.fromkeys(ops.SHAPE_ONLY, _filled),
    operator.getitem: _item,
    aten.amax.default: _amax,
    aten.arange.default: _arange,
    aten.arange.start_step: _arange,
    aten.bmm.default: _matrix_product,
    aten.cat.default: _concatenated,
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.index.Tensor: _index,
    aten.mm.default: _matrix_product,
    aten.pow.Tensor_Scalar: _power,
    aten.sum.default: _sum,
    aten.sum.dim_IntList: _sum,
}
