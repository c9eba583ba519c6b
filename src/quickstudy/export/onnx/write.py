"""Write a captured program as an ONNX graph: loops as `Loop`, any number of examples and ways, weights left to the bundle."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence

import onnx
import onnx.checker
import onnx.helper
import onnx_ir
import onnx_ir.passes.common
import onnxscript.optimizer
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnxscript import opset20 as op
from torch._decomp import decomposition_table
from torch.onnx._internal.exporter import _core
from torch.onnx._internal.exporter._registration import ONNXRegistry

from quickstudy.errors import ModelError
from quickstudy.export.onnx.program import exported
from quickstudy.export.trace.capture import Program
from quickstudy.export.trace.origin import origin_of
from quickstudy.runtime.bundle import EXTERNAL

OPSET = op.version
"""Version of ONNX's operators that graphs are written in."""
INSTEAD = {
    "solve": "a fixed number of conjugate-gradient steps",
    "cholesky": "a fixed number of conjugate-gradient steps",
    "adaptive_avg_pool": "nn.AvgPool2d, or nn.AdaptiveAvgPool2d(1),",
}
"""Replacements for operators that ONNX lacks, by a part of their names, for messages."""


def to_onnx(program: Program) -> bytes:
    """Return the program as the bytes of an ONNX model, whose inputs `weight.NAME` are neither inputs nor initialisers: see docs/bundle.md.

    Raises:
        ModelError: an operator that ONNX does not have; the message names it and its layer, and what to use instead.
    """
    _check_indices(program)
    given = None
    with quietly():
        try:
            given = exported(program.module)
            written = _core.export(
                given,
                registry=_registry(),
                verbose=False,
                optimize=False,
                opset_version=OPSET,
                input_names=list(program.inputs),
            )
            assert written.exported_program is not None
        except torch.onnx.OnnxExporterError as error:
            raise _not_expressed(program, given, error) from error
        model = written.model_proto
        renamed = _name_outputs(model.graph, list(program.outputs))
        nodes = written.exported_program.graph.nodes
        marks = {renamed.get(str(node.name), str(node.name)): node for node in nodes if _is_mark(node)}
        for loop, name in enumerate(program.loops):
            _make_loop(model.graph, loop, name, marks)
        model = _folded(model)
    onnx.checker.check_model(model)
    data = _bare(model).SerializeToString()
    if EXTERNAL in data:
        raise ModelError("a name in the net contains 'location', which bundles reserve; rename that module or parameter.")
    return data


def unresolved(graph: GraphProto) -> set[str]:
    """Return the names of the values that a graph reads and nothing in it gives: its weights."""
    given = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    read: set[str] = {value.name for value in graph.output}
    for node in graph.node:
        read |= set(node.input)
        given |= set(node.output)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                read |= unresolved(attribute.g)
    return read - given


def _max_pool2d(
    self,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
):
    """Write a max-pooling, whose indices ONNX counts over the whole tensor and torch over one channel.

    So they may be read by derivatives alone, which expect ONNX's way of counting; `_check_indices` makes sure of it.
    """
    output, indices = op.MaxPool(  # pyright: ignore[reportGeneralTypeIssues]
        self,
        kernel_shape=list(kernel_size),
        strides=list(stride or kernel_size),
        pads=list(padding) * 2,
        dilations=list(dilation),
        ceil_mode=int(ceil_mode),
    )
    return output, indices


def _max_pool2d_backward(
    grad_output,
    self,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    indices,
):
    del dilation, ceil_mode
    return op.MaxUnpool(
        grad_output,
        indices,
        op.Shape(self),  # pyright: ignore[reportArgumentType]
        kernel_shape=list(kernel_size),
        strides=list(stride or kernel_size),
        pads=list(padding) * 2,
    )


def _check_indices(program: Program) -> None:
    """Raise a ModelError for a net that itself reads the indices of a max-pooling: torch and ONNX count differently."""
    aten = torch.ops.aten
    for pool in program.module.graph.find_nodes(op="call_function", target=aten.max_pool2d_with_indices.default):
        for part in pool.users:
            readers = {user.target for user in part.users} if part.args[1] == 1 else set()
            if readers - {aten.max_pool2d_with_indices_backward.default, aten.remainder.Scalar}:
                raise ModelError(
                    "the net reads the indices of a max-pooling, which ONNX counts in another way; use its values only."
                )


def _mark(value, loop: int, place: int):
    del loop, place
    return op.Identity(value)


def _collect(value, rows, loop: int, place: int):
    del rows, loop, place
    return op.Identity(value)


def _count(value):
    """Return the number of a tensor's elements, as a node."""
    return op.Size(value)


_TRANSLATIONS = {
    torch.ops.aten.sym_numel.default: _count,
    torch.ops.quickstudy.enter.default: _mark,
    torch.ops.quickstudy.leave.default: _mark,
    torch.ops.quickstudy.take.default: _mark,
    torch.ops.quickstudy.collect.default: _collect,
    torch.ops.aten.max_pool2d_with_indices.default: _max_pool2d,
    torch.ops.aten.max_pool2d_with_indices_backward.default: _max_pool2d_backward,
}


@functools.cache
def _registry() -> ONNXRegistry:
    """Return the ONNX forms of operators. `torch.onnx.export` collects them in each call, which takes most of a small graph's time."""
    found = ONNXRegistry.from_torchlib(OPSET)
    for operator, form in _TRANSLATIONS.items():
        found.register_op(operator, form)
    return found


def _is_mark(node: torch.fx.Node) -> bool:
    return node.op == "call_function" and str(node.target).startswith("quickstudy.")


def _make_loop(graph: GraphProto, loop: int, times: str, marks: dict[str, torch.fx.Node]) -> None:
    """Put the nodes between the marks of a loop into an ONNX `Loop`.

    Args:
        graph: is changed.
        loop: number of the loop.
        times: name of the input that holds the number of steps; empty for a loop over the rows of a tensor, which has as many steps.
        marks: nodes of all marks, by the name of their value.
    """
    entering, leaving, taking, collecting = (_marked(marks, loop, kind) for kind in ("enter", "leave", "take", "collect"))
    inside = _between(graph, {*entering.values(), *taking.values()}, {*leaving.values(), *collecting.values()})
    opening = {node.output[0]: node for node in graph.node if node.output[0] in {*entering.values(), *taking.values()}}
    carried = sorted(leaving)
    index, going_on = entering.get(0, f"{times}_index_{loop}"), f"going_on_{loop}"
    rows = [onnx.helper.make_node("Gather", [opening[name].input[0], index], [name]) for name in taking.values()]
    info = _typed(graph)
    body = onnx.helper.make_graph(
        [*rows, *inside, onnx.helper.make_node("Identity", [going_on], [f"{going_on}_next"])],
        f"loop_{loop}",
        [
            onnx.helper.make_tensor_value_info(index, TensorProto.INT64, []),
            onnx.helper.make_tensor_value_info(going_on, TensorProto.BOOL, []),
            *(info(entering[place]) for place in carried),
        ],
        [
            onnx.helper.make_tensor_value_info(f"{going_on}_next", TensorProto.BOOL, []),
            *(info(leaving[place]) for place in carried),
            *(info(name) for name in collecting.values()),
        ],
    )
    handed_on = [*(leaving[place] for place in carried), *collecting.values()]
    results = {name: f"{name}_last" for name in handed_on}
    starts = [opening[entering[place]].input[0] for place in carried]
    counting = [] if times else _counting(loop, opening[next(iter(taking.values()))].input[0])
    trips = times or counting[-1].output[0]
    node = onnx.helper.make_node("Loop", [trips, "", *starts], list(results.values()), body=body)
    _replace(graph, [*rows, *inside], list(opening.values()), [*counting, node], results)
    if times and times not in {value.name for value in graph.input}:
        graph.input.append(onnx.helper.make_tensor_value_info(times, TensorProto.INT64, []))


def _counting(loop: int, rows: str) -> list[NodeProto]:
    """Return the nodes that compute how many rows there are."""
    shape, count = f"rows_{loop}", f"trips_{loop}"
    return [
        onnx.helper.make_node("Shape", [rows], [shape], start=0, end=1),
        onnx.helper.make_node("Squeeze", [shape], [count]),
    ]


def _typed(graph: GraphProto) -> Callable[[str], onnx.ValueInfoProto]:
    """Return a function from a value's name to its description, of the graph's type and any shape."""
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return lambda name: onnx.helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None)


def _name_outputs(graph: GraphProto, names: Sequence[str]) -> dict[str, str]:
    """Give the outputs their names, by nodes of their own; return the new names of inner values that had one of these."""
    del graph.output[len(names) :]
    renamed = {name: f"{name}__inside" for node in graph.node for name in node.output if name in names}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)
    for output, name in zip(graph.output, names, strict=True):
        graph.node.append(onnx.helper.make_node("Identity", [renamed.get(output.name, output.name)], [name]))
        output.name = name
    return renamed


def _marked(marks: dict[str, torch.fx.Node], loop: int, kind: str) -> dict[int, str]:
    """Return the value of each place of a loop, by the kind of its mark."""
    target = getattr(torch.ops.quickstudy, kind).default
    found = {int(node.args[-1]): name for name, node in marks.items() if node.target is target and node.args[-2] == loop}  # pyright: ignore
    return dict(sorted(found.items()))


def _between(graph: GraphProto, entering: set[str], leaving: set[str]) -> list[NodeProto]:
    """Return the nodes that depend on what enters, up to what leaves."""
    inside, known = [], set(entering)
    for node in graph.node:
        if node.output[0] not in entering and known.intersection(node.input):
            inside.append(node)
            if node.output[0] not in leaving:  # behind the loop, its results have other names
                known.update(node.output)
    return inside


def _replace(
    graph: GraphProto, inside: list[NodeProto], enters: list[NodeProto], loop: list[NodeProto], renamed: dict[str, str]
) -> None:
    """Put the nodes of `loop` behind all that they read, in the place of the nodes `inside` and `enters`; rename results after them."""
    gone = {node.output[0] for node in (*inside, *enters)}
    before = [node for node in graph.node if node.output[0] not in gone]
    needed = _ancestors(
        before, [*(name for node in loop for name in node.input), *(name for node in inside for name in node.input)]
    )
    first = [node for node in before if node.output[0] in needed]
    last = [node for node in before if node.output[0] not in needed]
    for node in last:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    nodes = [*first, *loop, *last]
    del graph.node[:]
    graph.node.extend(nodes)


def _ancestors(nodes: list[NodeProto], names: Sequence[str]) -> set[str]:
    """Return the first outputs of the nodes that these values are computed by."""
    wanted, found = set(names), set()
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            found.add(node.output[0])
            wanted |= _read_by(node)
    return found


def _read_by(node: NodeProto) -> set[str]:
    """Return the values that a node reads, also from inside a loop."""
    inner = (unresolved(attribute.g) for attribute in node.attribute if attribute.HasField("g"))
    return set(node.input).union(*inner)


def _folded(model: ModelProto) -> ModelProto:
    """Return the model without constant and repeated computations.

    The optimizer's rewriting rules are left out, because they drop `+ 1e-8` as if it were 0.
    """
    graph = onnx_ir.from_proto(model)
    onnxscript.optimizer.fold_constants(graph)
    onnx_ir.passes.common.IdentityEliminationPass()(graph)
    onnx_ir.passes.common.CommonSubexpressionEliminationPass()(graph)
    onnx_ir.passes.common.RemoveUnusedNodesPass()(graph)
    return onnx_ir.to_proto(graph)


def _bare(model: ModelProto) -> ModelProto:
    """Return the model without weights among its inputs, and without notes for people."""
    for index in reversed([i for i, value in enumerate(model.graph.input) if value.name.startswith("weight.")]):
        del model.graph.input[index]
    model.producer_name, model.producer_version = "quickstudy", ""
    model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:]
    strip(model.graph)
    return model


def strip(graph: GraphProto) -> None:
    """Remove notes for people from a graph and from the graphs inside it."""
    del graph.value_info[:]
    del graph.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                strip(attribute.g)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let nothing be printed or logged inside this context: torch's exporter reports its own steps, which no user can act on."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _not_expressed(program: Program, exported: torch.export.ExportedProgram | None, error: BaseException) -> ModelError:
    """Return the error that names the operator without an ONNX form, its layer, and what to use instead."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = str(error).strip().splitlines()[0]
    found = re.search(r"op='(\w+\.(\w+))'", reason)
    if found is None:
        return ModelError(f"ONNX cannot express the captured learner: {reason}")
    nodes = _computing(program, {found[1]})
    if not nodes and exported is not None:
        nodes = _computing(program, _rewritten(exported, found[1]))
    origins = [str(origin) for node in nodes if (origin := origin_of(node))]
    usual = "layers made of convolution, linear, pooling, normalisation, attention and elementwise functions"
    instead = next((better for part, better in INSTEAD.items() if part in found[2]), usual)
    where = origins[0] if origins else "an operator of the learner"
    return ModelError(f"{where} has no ONNX form, as it computes {found[2]}. Use {instead} instead.")


def _computing(program: Program, operators: set[str]) -> list[torch.fx.Node]:
    """Return the nodes of these operators."""
    return [node for node in program.module.graph.nodes if _name(node.target) in operators]


def _rewritten(exported: torch.export.ExportedProgram, operator: str) -> set[str]:
    """Return the operators that torch writes as this one when it composes all that can be composed of others."""
    table = {**decomposition_table, **torch.export.default_decompositions()}
    composed = exported.run_decompositions({key: made for key, made in table.items() if hasattr(key, "_schema")})
    nodes = [node for node in composed.graph.nodes if _name(node.target) == operator]
    return {_name(node.meta.get("original_aten")) for node in nodes}


def _name(target: object) -> str:
    """Return an operator's name without its overload: `aten.relu` for `aten.relu.default`."""
    return str(target).rpartition(".")[0]
