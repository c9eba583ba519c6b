"""Cut a captured graph into straight-line code and passes over the support examples, so that memory holds one example at a time.

A graph is captured with any number of examples, so a symbol in a shape marks the axis of the examples. A value with that axis is
computed for one example after the other, inside a pass. A value that sums over that axis (a gradient, the count of a class) is collected
over the pass and ready after it. A value of one example that depends on a collected one, such as an activation that is normalised by batch
statistics, waits for a later pass. There its inputs are computed again if that is cheap (elementwise operations); if not, the earlier pass
keeps them for every example. So the program computes exactly the sum that the graph says, and its memory grows with the number of examples
only if the learner needs all of them at once.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import sympy
import torch
from torch import Tensor, fx

from quickstudy.errors import ModelError
from quickstudy.export.c import ops

aten = torch.ops.aten


@dataclasses.dataclass
class Section:
    """Nodes to compute together.

    Args:
        loop: number of the algorithm's loop around it, or None.
        over: number of examples that it passes over, or None for code that runs once.
        nodes: nodes to compute, in order; in a pass they may repeat nodes of an earlier one.
    """

    loop: int | None
    over: sympy.Expr | None
    nodes: list[fx.Node]


@dataclasses.dataclass
class Cut:
    """A graph in sections, and the values that are kept for every example between them."""

    sections: list[Section]
    kept: set[fx.Node]


def example_axis(node: fx.Node) -> tuple[int, sympy.Expr] | None:
    """Return the axis of a node's tensor that counts examples, and how many there are; None without such an axis.

    Raises:
        ModelError: examples are paired, or their axis is merged with another.
    """
    value = node.meta.get("val")
    if node.op == "call_function" and node.target is aten.convolution_backward.default:
        return example_axis(node.args[0])  # pyright: ignore[reportArgumentType]
    if isinstance(value, (tuple, list)):
        value = value[0]
    if not isinstance(value, Tensor):
        return None
    symbolic = [(axis, size.node.expr) for axis, size in enumerate(value.shape) if not isinstance(size, int)]
    symbolic = [(axis, expression) for axis, expression in symbolic if expression.free_symbols]
    if not symbolic:
        return None
    counted = isinstance(symbolic[0][1], sympy.Symbol) or type(symbolic[0][1]).__name__ == "Min"
    if len(symbolic) > 1 or not counted:
        raise ModelError(
            f"operator {node.target} makes a tensor of shape {tuple(map(str, value.shape))}, which pairs or merges support examples; "
            "the C target computes one example at a time. Write it with sums over examples, or export to ONNX."
        )
    return symbolic[0]


def cut(graph: fx.Graph) -> Cut:
    """Return the sections of a graph, in the order in which they run."""
    return _Cutter(graph).cut()


Home = tuple[int, int, Any]
"""Place of a section: its region (2 * loop + 1 inside a loop, even between loops), its level inside the region, and the number of examples
that it passes over (None for code that runs once)."""


class _Cutter:
    """Finds a section for every node of a graph."""

    def __init__(self, graph: fx.Graph) -> None:
        self.live = _live(graph)
        self.position = {node: place for place, node in enumerate(self.live)}
        self.axis = {node: example_axis(node) for node in self.live}
        self.region: dict[fx.Node, int] = {}
        self.ready: dict[fx.Node, int] = {}  # level from which a value without examples is there
        self.home: dict[fx.Node, Home] = {}
        self.kept: set[fx.Node] = set()
        self.again: dict[Home, set[fx.Node]] = defaultdict(set)

    def cut(self) -> Cut:
        """Return the sections."""
        for node in self.live:
            self._place(node)
        self.kept |= {rows for node in self.live if node.target is ops.TAKE and (rows := self._rows(node)) is not None}
        for node, home in list(self.home.items()):
            if home[2] is not None:
                for needed in ops.inputs(node):
                    self._demand(needed, home)
        members: dict[Home, list[fx.Node]] = defaultdict(list)
        for node, home in self.home.items():
            members[home].append(node)
        for home, nodes in self.again.items():
            members[home].extend(nodes)
        homes = sorted(members, key=lambda home: (home[0], home[1], home[2] is not None, str(home[2])))
        return Cut(
            [
                Section(home[0] // 2 if home[0] % 2 else None, home[2], sorted(members[home], key=self.position.__getitem__))
                for home in homes
            ],
            self.kept,
        )

    def _place(self, node: fx.Node) -> None:
        """Find the section of a node whose inputs are placed already, and the level from which its value is there."""
        if node.op in ("placeholder", "output", "get_attr"):
            self.region[node] = 0
            self.ready[node] = 0
            return
        needed = list(ops.inputs(node))
        ends = (ops.LEAVE, ops.COLLECT)
        if node.target in ops.MARKS:
            region = 2 * int(node.args[-2]) + 1  # pyright: ignore[reportArgumentType]
        else:
            region = max((self.region[other] + (other.target in ends) for other in needed), default=0)
        self.region[node] = region
        if node.target in (ops.TAKE, ops.COLLECT):  # a row at a time, by the loop's own count
            levels = [self.ready[other] for other in needed if self.region[other] == region]
            self.home[node], self.ready[node] = (region, max(levels, default=0), None), max(levels, default=0)
            return
        over = next((axis[1] for other in (node, *needed) if (axis := self.axis[other]) is not None), None)
        levels = [self.ready[other] for other in needed if self.region[other] == region and other.target not in ends]
        level = max(levels, default=0)
        self.home[node] = (region, level, over)
        self.ready[node] = level + (over is not None and self.axis[node] is None)

    def _rows(self, node: fx.Node) -> fx.Node | None:
        """Return the rows that a loop takes, if they must be kept for every example."""
        rows: Any = node.args[0]
        return rows if self.axis[rows] is not None and rows.op != "placeholder" else None

    def _demand(self, node: fx.Node, home: Home) -> None:
        """Make a value of one example available in a pass."""
        if self.axis[node] is None or node.op == "placeholder" or self.home[node] == home or node in self.again[home]:
            return
        if not ops.is_light(node):
            self.kept.add(node)
            return
        self.again[home].add(node)
        for needed in ops.inputs(node):
            self._demand(needed, home)


def _live(graph: fx.Graph) -> list[fx.Node]:
    """Return the nodes whose values, and not only shapes, reach the outputs, in order."""
    wanted: set[fx.Node] = set()
    stack = [*graph.find_nodes(op="output"), *_leaves(graph)]
    while stack:
        node = stack.pop()
        if node not in wanted:
            wanted.add(node)
            stack.extend(ops.inputs(node))
    return [node for node in graph.nodes if node in wanted or node.op == "placeholder"]


def _leaves(graph: fx.Graph) -> Iterator[fx.Node]:
    """Yield the marks of loops that matter although no output depends on them."""
    for mark in (ops.LEAVE, ops.TAKE):
        yield from graph.find_nodes(op="call_function", target=mark)
