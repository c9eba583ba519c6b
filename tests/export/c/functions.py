"""Functions of torch as C functions of this machine, through every pass of the compiler."""

from __future__ import annotations

import ctypes
import dataclasses
import math
import pathlib
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from quickstudy.export.c import emit, lower, ops
from quickstudy.export.c.context import Bind, Context, Frame
from quickstudy.export.c.functional import functional
from quickstudy.export.c.ir import Buffer, Item, stored
from quickstudy.export.c.plan import Arena, planned, without_unread
from quickstudy.export.c.schedule import scheduled
from quickstudy.export.c.sections import Cut, cut
from quickstudy.export.c.table import table
from quickstudy.export.c.verify import check_arena, check_items
from quickstudy.functional.loop import as_loops

Function = Callable[..., tuple[Tensor, ...]]
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-O1"]


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A function on its way through the passes.

    Args:
        graph: as captured.
        cut: its sections.
        lowered: kernels as they were lowered.
        items: the same, scheduled.
        arena: where their buffers lie.
        text: the C function.
        name: of the C function.
        shapes: of each output; the first axis is None where there is a row for each example.
    """

    graph: fx.Graph
    cut: Cut
    lowered: list[Item]
    items: list[Item]
    arena: Arena
    text: str
    name: str
    shapes: list[tuple[int | None, ...]]


def traced(
    function: Function, inputs: Mapping[str, Tensor], examples: Collection[str] = (), decompositions: bool = True
) -> tuple[fx.Graph, list[str]]:
    """Return a graph as the exporter captures it, and the number of steps of each loop; inputs in `examples` have any number of rows."""
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    context = StatelessSymbolicContext(dynamic_sizes=[DimDynamic.DYNAMIC])
    count = mode.from_tensor(torch.zeros(11), symbolic_context=context).shape[0]
    with mode:
        fakes = [
            torch.zeros((count, *value.shape[1:]) if name in examples else value.shape, dtype=value.dtype)
            for name, value in inputs.items()
        ]
    known = dict(table()) if decompositions else {}
    with mode, enable_python_dispatcher(), torch.no_grad(), as_loops() as loops:
        graph = make_fx(
            lambda *values: function(**dict(zip(inputs, values, strict=True))), decomposition_table=known, tracing_mode="real"
        )(*fakes).graph
    graph.eliminate_dead_code(lambda node: node.is_impure() or node.target in (ops.LEAVE, ops.TAKE))
    return functional(graph, list(inputs)), loops


def compiled(
    function: Function,
    inputs: Mapping[str, Tensor],
    examples: Collection[str] = (),
    *,
    capacity: int = 16,
    name: str = "run",
    decompositions: bool = True,
) -> Compiled:
    """Return a function of named tensors in C.

    Args:
        function: to a tuple of tensors.
        inputs: what shapes to compile for.
        examples: names of the inputs whose first axis counts examples.
        capacity: the most examples there may be.
        name: of the C function.
        decompositions: whether operations are spelled out, as for learners.
    """
    graph, loops = traced(function, inputs, examples, decompositions)
    shapes = [_shape(node) for node in graph.find_nodes(op="output")[0].args[0]]  # type: ignore[union-attr]
    sizes = [math.prod(capacity if size is None else size for size in shape) for shape in shapes]
    outputs = {f"out{number}": Buffer(f"out{number}", size, outside=True) for number, size in enumerate(sizes)}
    binds = {given: _bound(given, tuple(value.shape), given in examples) for given, value in inputs.items()}
    context = Context(graph, cut(graph), list(inputs), Frame(binds, outputs, "count", capacity, loops), list(outputs))
    lowered = without_unread(lower.lowered(context))
    check_items(lowered, "lowering")
    items = scheduled(lowered)
    check_items(items, "scheduling")
    arena = planned(items)
    check_arena(items, arena)
    arguments = [*(f"const float *{given}" for given in inputs), *(f"float *{output}" for output in outputs), "int count"]
    code = emit.function(f"void {name}({', '.join(arguments)})", items, arena)
    code = code.replace(
        "{\n", f"{{\n{emit.constants(context.constants)}\n", 1
    )  # inside, where names may be those of another function
    return Compiled(graph, context.cut, lowered, items, arena, code, name, shapes)


def _shape(node: fx.Node) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in node.meta["val"].shape)


def _bound(name: str, shape: tuple[int, ...], by_row: bool) -> Bind:
    buffer = Buffer(name, math.prod(shape), outside=True)
    if not by_row:
        return lambda row: stored(buffer, shape)
    return lambda row: stored(buffer, (1, *shape[1:]), f"{row} * {math.prod(shape[1:])}")


@dataclasses.dataclass(frozen=True)
class Library:
    """Compiled functions, built for this machine."""

    handle: ctypes.CDLL

    def run(self, function: Compiled, inputs: Sequence[Tensor], count: int = 0) -> list[np.ndarray]:
        """Return outputs for inputs in float32; `count` is the number of examples."""
        results = [
            np.full([count if size is None else size for size in shape], np.nan, np.float32) for shape in function.shapes
        ]
        arrays = [np.ascontiguousarray(value.numpy()) for value in inputs] + results
        self.handle[function.name](*(array.ctypes.data_as(ctypes.c_void_p) for array in arrays), count)
        return results


def built(folder: pathlib.Path, functions: Sequence[Compiled]) -> Library:
    """One library of these functions, which share an arena."""
    size = max(function.arena.size for function in functions)
    arena = f"static union {{ float f; int32_t i; uint8_t b; }} arena[{size // 4}];" if size else ""
    (folder / "run.c").write_text("\n\n".join(['#include "kernels.h"', arena, *(function.text for function in functions)]))
    command = ["gcc", *FLAGS, "-shared", "-fPIC", f"-I{emit.HERE}", "-o", "run.so", "run.c", "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return Library(ctypes.CDLL(str(folder / "run.so")))
