"""The program being built: where values are, memory that is asked for, kernels that are added."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import fx
from torch.utils._sympy.functions import ToFloat

from quickstudy.errors import ModelError
from quickstudy.export.c import ops
from quickstudy.export.c.ir import (
    C_TYPE,
    Buffer,
    Index,
    Item,
    Kernel,
    Value,
    constant,
    expanded,
    literal,
    loops,
    nested,
    stored,
)
from quickstudy.export.c.sections import Cut
from quickstudy.export.trace.capture import layer_of

Bind = Callable[[str], Value]
"""Function from the C expression of an example's number to the value that the program is given for that example."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """The C function around a program.

    Args:
        inputs: the value behind each input, by name.
        outputs: the buffer for each output, by name; outputs with an axis of examples have a row for each.
        count: C expression of the number of examples.
        capacity: the most examples that there may be.
        steps: C expression of the number of steps of each loop; empty for a loop over rows.
        sizes: C expressions of other sizes, by their symbol.
    """

    inputs: Mapping[str, Bind]
    outputs: Mapping[str, Buffer]
    count: str = "count"
    capacity: int = 1
    steps: Sequence[str] = ()
    sizes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def size(self, expression: sympy.Expr | int) -> str:
        """Write a size that depends on the number of examples as C."""
        if isinstance(expression, int) or expression.is_number:
            whole = isinstance(expression, int) or expression.is_integer
            return str(int(expression)) if whole else literal(float(expression), torch.float32)
        if isinstance(expression, sympy.Symbol):
            return self.sizes.get(str(expression), self.count)
        if isinstance(expression, ToFloat):
            return f"(float){self.size(expression.args[0])}"  # pyright: ignore[reportArgumentType]
        parts = [self.size(part) for part in expression.args]  # pyright: ignore[reportArgumentType]
        form = {"Add": " + ", "Mul": " * ", "IntTrueDiv": " / (float)", "FloatTrueDiv": " / (float)"}
        kind = type(expression).__name__
        if kind == "Min":
            return f"qs_min({parts[0]}, {parts[1]})"
        if kind not in form:
            raise ModelError(f"the size {expression} cannot be computed in C.")
        return f"({form[kind].join(parts)})"


class Context:
    """One program on its way to kernels."""

    def __init__(self, graph: fx.Graph, cut: Cut, names: Sequence[str], frame: Frame, outputs: Sequence[str]) -> None:
        self.graph, self.cut, self.frame = graph, cut, frame
        self.names = dict(zip(graph.find_nodes(op="placeholder"), names, strict=True))
        results: Any = graph.find_nodes(op="output")[0].args[0]
        self.results = dict(zip(outputs, results, strict=False))  # behind the outputs may be what only loops read
        self.destinations: dict[fx.Node, list[Buffer]] = {}
        for name, node in self.results.items():
            self.destinations.setdefault(node, []).append(frame.outputs[name])
        self.items: list[Item] = []
        self.before: list[Item] = []  # what must happen before the pass at hand
        self.values: dict[fx.Node, Value] = {}  # that hold for the whole program
        self.local: dict[fx.Node, Value] = {}  # of the example at hand
        self.rows: dict[fx.Node, Buffer] = {}
        self.taken: set[str] = set()
        self.constants: dict[tuple[str, str], str] = {}

    def value(self, node: Any) -> Value:
        """Return the value of a node that was lowered, for the example at hand."""
        if node.op == "placeholder":
            return self.frame.inputs[self.names[node]]("row")
        if node in self.local:
            return self.local[node]
        if node in self.rows:
            shape = ops.shape_of(node)
            return stored(self.rows[node], shape, f"row * {math.prod(shape)}")
        if node.op == "get_attr":
            tensor = operator.attrgetter(node.target)(self.graph.owning_module)
            return constant(tensor.item(), (), tensor.dtype)
        return self.values[node]

    def operand(self, item: Any, dtype: torch.dtype) -> Value:
        """Return an argument of an elementwise operation: a tensor, a number or a size."""
        if isinstance(item, fx.Node):
            if ops.is_tensor(item):
                return self.value(item)
            return constant(self.frame.size(item.meta["val"].node.expr), (), dtype)
        return constant(item, (), dtype)

    def new(self, name: str, size: int, dtype: torch.dtype = torch.float32) -> Buffer:
        """Add a buffer to the arena."""
        unique, number = name, 1
        while unique in self.taken:
            number += 1
            unique = f"{name}_{number}"
        self.taken.add(unique)
        return Buffer(unique, size, dtype)

    def destination(self, node: fx.Node) -> Buffer | None:
        """Return the buffer of the caller for which a node's value is; None if it is no output."""
        return self.destinations[node][0] if node in self.destinations else None

    def allocate(self, node: fx.Node, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Value:
        """Return a place for a node's elements: a row of its own for every example if they are kept."""
        size = math.prod(shape)
        if node not in self.cut.kept:
            return stored(self.new(node.name, size, dtype), shape)
        buffer = self.destination(node)
        self.rows[node] = buffer or self.new(f"all_{node.name}", size * self.frame.capacity, dtype)
        return stored(self.rows[node], shape, f"row * {size}")

    def collector(self, node: fx.Node, shape: Sequence[int], start: float = 0.0) -> Value:
        """Add a buffer that a pass adds to."""
        buffer = self.new(node.name, math.prod(shape))
        self.before.append(
            Kernel(
                nested([f"for (int i = 0; i < {buffer.size}; i++)"], [f"{buffer.name}[i] = {literal(start, torch.float32)};"]),
                frozenset(),
                frozenset({buffer}),
            )
        )
        return stored(buffer, shape)

    def emit(self, code: str, reads: Sequence[Value], writes: Sequence[Value], over: frozenset[Buffer] = frozenset()) -> None:
        """Add a kernel."""
        read = frozenset().union(*(value.reads for value in reads)) if reads else frozenset()
        self.items.append(Kernel(code, read, frozenset().union(*(value.reads for value in writes)), over))

    def write(self, value: Value, target: Value) -> Value:
        """Add a kernel that computes all elements into a place."""
        if value.place is not None and value.dtype == target.dtype:
            code = f"memcpy({target.pointer}, {value.pointer}, {value.size} * sizeof({C_TYPE[value.dtype]}));"
            self.emit(code, [value], [target])
            return target
        opening, index = loops(target.shape)
        self.emit(nested(opening, [f"{target.read(index)} = {value.read(index)};"]), [value], [target], value.aligned)
        return target

    def copy(self, value: Value, name: str = "copied") -> Value:
        """Return the value with all elements in a buffer of their own."""
        return self.write(value, stored(self.new(name, value.size, value.dtype), value.shape))

    def in_memory(self, value: Value, name: str = "gathered") -> Value:
        """Return the value with all elements in row-major order in memory: where they are, or else copied."""
        return value if value.place is not None else self.copy(value, name)

    def constant(self, kind: str, name: str, text: str) -> str:
        """Return the name of a C constant of that type and content."""
        return self.constants.setdefault((kind, text), f"{name}_{len(self.constants) + 1}")

    def elementwise(self, node: fx.Node, template: str, cost: int, arguments: Sequence[Any] | None = None) -> Value:
        """Write an operation on each element from its C form."""
        shape, dtype = ops.shape_of(node), node.meta["val"].dtype
        given = node.args if arguments is None else arguments
        self._refuse_options(node)
        tensors = [item for item in given if isinstance(item, fx.Node) and ops.is_tensor(item)]
        compared = torch.float32 if any(isinstance(item, float) for item in given) else tensors[0].meta["val"].dtype
        number = dtype if dtype != torch.bool else compared
        operands = [self._broadcast(self.operand(item, number), shape) for item in given]
        template = ops.of_type(template, dtype)
        if dtype == torch.float32:
            kept = {torch.float32} if all(value.dtype == torch.bool for value in operands) else {torch.float32, torch.bool}
            operands = [value if value.dtype in kept else self._as_float(value) for value in operands]

        def read(index: Index) -> str:
            return template.format(*(value.read(index) for value in operands))

        reads = frozenset().union(*(value.reads for value in operands))
        unaligned = frozenset().union(*(value.reads - value.aligned for value in operands))
        aligned = frozenset().union(*(value.aligned for value in operands)) - unaligned
        return Value(shape, dtype, read, reads, cost + sum(value.cost for value in operands), None, aligned)

    def _refuse_options(self, node: fx.Node) -> None:
        """Raise a ModelError for an option that the C form would leave out."""
        if node.kwargs:
            given = ", ".join(f"{name}={value}" for name, value in node.kwargs.items())
            raise ModelError(
                f"operator {node.target} in layer {layer_of(node, self.names)} has {given}, which has no C form. Write it as an operation "
                "of its own, or export the learner to ONNX."
            )

    def _broadcast(self, value: Value, shape: tuple[int, ...]) -> Value:
        """Return the value spread over a shape; a costly one is computed once before."""
        if value.shape == shape:
            return value
        if value.cost >= ops.EFFORT["shared"] and value.size < math.prod(shape):
            value = self.copy(value)  # rather than once for each element that it is spread over
        return expanded(value, shape)

    @staticmethod
    def _as_float(value: Value) -> Value:
        return dataclasses.replace(
            value, dtype=torch.float32, read=lambda index: f"(float){value.read(index)}", place=None, aligned=frozenset()
        )
