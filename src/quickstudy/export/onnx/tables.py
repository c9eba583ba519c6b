"""Tables of vectors in 8 bits: rows that a graph looks up by their number, such as those of hashed n-grams of a text."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from onnx import GraphProto, NodeProto

from quickstudy.export.onnx.write import unresolved

LEAST = 1024
"""Numbers of a table from which on 8 bits save more than their scales and operations take."""


def quantise_tables(graph: GraphProto) -> int:
    """Store the tables of a graph as whole numbers of 8 bits, and turn the rows that are looked up back into numbers.

    Every column has a scale of its own, by which its largest number becomes 127; a number is then off by half a scale at most.

    Args:
        graph: is changed. Only tables whose rows are looked up along their first axis, and which nothing else reads, are quantised.

    Returns:
        How many tables there are.
    """
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    inner = {name for node in graph.node for part in node.attribute if part.HasField("g") for name in unresolved(part.g)}
    outer = [tensor for tensor in graph.initializer if tensor.name not in inner]  # what a loop reads stays as it is
    found = [tensor for tensor in outer if _is_table(tensor, readers.get(tensor.name, []))]
    for tensor in found:
        table = onnx.numpy_helper.to_array(tensor)
        scale = np.maximum(np.abs(table).max(0), np.finfo(np.float32).tiny).astype(np.float32) / 127
        whole = np.clip(np.rint(table / scale), -127, 127).astype(np.int8)
        tensor.CopyFrom(onnx.numpy_helper.from_array(whole, tensor.name))
        graph.initializer.append(onnx.numpy_helper.from_array(scale, f"{tensor.name}.scale"))
        for place, node in enumerate(readers[tensor.name]):
            _turn_back(graph, node, f"{tensor.name}.{place}")
    return len(found)


def _is_table(tensor: onnx.TensorProto, readers: list[NodeProto]) -> bool:
    """Say whether a tensor is a large table of numbers whose rows are looked up, and nothing else."""
    looked_up = [node.op_type == "Gather" and node.input[0] == tensor.name and not _axis(node) for node in readers]
    large = len(tensor.dims) == 2 and int(np.prod(tensor.dims)) >= LEAST
    return tensor.data_type == onnx.TensorProto.FLOAT and large and bool(looked_up) and all(looked_up)


def _axis(node: NodeProto) -> int:
    """Return the axis along which a node looks up."""
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def _turn_back(graph: GraphProto, node: NodeProto, name: str) -> None:
    """Let a node look up whole numbers, and put behind it what multiplies them by their scales."""
    output, whole = node.output[0], f"{name}.whole"
    node.output[0] = whole
    scaled = onnx.helper.make_node(
        "DequantizeLinear", [whole, f"{node.input[0]}.scale"], [output], name=f"{name}.dequantize", axis=-1
    )
    graph.node.insert([*graph.node].index(node) + 1, scaled)
