"""Turn a captured graph into the `ExportedProgram` that torch writes as ONNX, without tracing it again.

`torch.export.export` would run the graph once more, to find sizes that the graph says already. Torch's exporter would run it a third time,
to compose what ONNX lacks of other operations, and finds nothing to do if our own table (`quickstudy.export.trace.decompositions.onnx`) has
left only operations that ONNX has. Together the two would take most of an export's time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx
from torch._decomp import get_decompositions
from torch._dispatch.python import enable_python_dispatcher
from torch._guards import detect_fake_mode
from torch.export import ExportedProgram, ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_structure


class Exported(ExportedProgram):
    """A program whose `run_decompositions` returns it as it is if none of its operations stands in the table."""

    def run_decompositions(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, decomp_table: Mapping[Any, Callable[..., Any]] | None = None, **options: Any
    ) -> ExportedProgram:
        """Return the program with the operations of the table composed of others."""
        targets = {node.target for node in self.graph.nodes if node.op == "call_function"}
        if decomp_table is not None and targets.isdisjoint(decomp_table) and not any(map(_changes, targets)):
            return self
        return super().run_decompositions(decomp_table, **options)  # pyright: ignore[reportArgumentType]


def _changes(target: Any) -> bool:
    """Say whether an operation changes one of its arguments in place."""
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable


def _functional(module: fx.GraphModule) -> fx.GraphModule:
    """Return the graph with new tensors instead of changed ones, because ONNX has no operations in place."""
    values = [node.meta["val"] for node in module.graph.find_nodes(op="placeholder")]
    mode = detect_fake_mode(values)
    assert mode is not None
    with mode, enable_python_dispatcher(), torch.no_grad():
        table: Any = get_decompositions([torch.ops.aten.copy])
        return make_fx(functionalize(module), decomposition_table=table)(*values)


def exported(module: fx.GraphModule) -> Exported:
    """Return the program of a captured graph; tensors that the graph holds become constants.

    Args:
        module: the graph, whose nodes hold in `meta["val"]` tensors with the sizes that stand for any size.
    """
    if any(_changes(node.target) for node in module.graph.nodes):
        module = _functional(module)
    graph, constants = fx.Graph(), {}
    copies: dict[fx.Node, fx.Node] = {}
    for node in module.graph.find_nodes(op="get_attr"):
        constants[str(node.target)] = getattr(module, str(node.target))
        copies[node] = graph.placeholder(f"constant_{node.name}")
        copies[node].meta = dict(node.meta)
    held = len(copies)
    results = graph.graph_copy(module.graph, copies)
    assert isinstance(results, tuple)
    graph.output(results)
    given = [node.name for node in results if isinstance(node, fx.Node)]
    inputs = [node.name for node in graph.find_nodes(op="placeholder")]
    signature = ExportGraphSignature(
        [
            *(
                InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(name), target)
                for name, target in zip(inputs[:held], constants, strict=True)
            ),
            *(InputSpec(InputKind.USER_INPUT, TensorArgument(name), None) for name in inputs[held:]),
        ],
        [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(name), None) for name in given],
    )
    call = ModuleCallSignature(
        [spec.arg for spec in signature.input_specs[held:]],
        [spec.arg for spec in signature.output_specs],
        tree_structure((tuple(inputs[held:]), {})),
        tree_structure(tuple(results)),
    )
    return Exported(torch.nn.Module(), graph, signature, {}, {}, [ModuleCallEntry("", call)], constants=constants)
