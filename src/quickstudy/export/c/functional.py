"""Replace operations in place by functions, if nothing else reads the tensor that they change.

Torch's own derivatives and decompositions change tensors that they have just made (`masked_fill_`, `sub_`).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from quickstudy.errors import ModelError
from quickstudy.export.c import ops
from quickstudy.export.trace.capture import layer_of

aten = ops.aten
COPIES = {aten._to_copy.default, aten.clone.default}
"""Operations that count as views here, but whose results are new tensors in torch."""


def functional(graph: fx.Graph, inputs: Sequence[str]) -> fx.Graph:
    """Replace `x.op_(...)` by `op(x, ...)` in the graph, which is changed.

    Args:
        graph: as captured.
        inputs: names of its placeholders.

    Raises:
        ModelError: the changed tensor is seen under another name.
    """
    place = {node: number for number, node in enumerate(graph.nodes)}
    for node in place:
        namespace, _, rest = str(node.target).partition(".")
        name, _, overload = rest.partition(".")
        if node.op != "call_function" or namespace != "aten" or not name.endswith("_"):
            continue
        if not _alone(node, place):
            names = dict(zip(graph.find_nodes(op="placeholder"), inputs, strict=True))
            raise ModelError(
                f"operator {node.target} in layer {layer_of(node, names)} changes a tensor that is seen elsewhere too. Use the operation "
                f"without the last underscore ({name[:-1]}), or export the learner to ONNX."
            )
        if node.target is aten.copy_.default:
            with graph.inserting_before(node):
                spread = graph.call_function(aten.expand.default, (node.args[1], list(ops.shape_of(node))))
            spread.meta["val"] = node.meta["val"]
            node.target, node.args, node.kwargs = aten._to_copy.default, (spread,), {}
        else:
            node.target = getattr(getattr(aten, name[:-1]), overload)
    return graph


def _alone(node: fx.Node, place: dict[fx.Node, int]) -> bool:
    """Say whether the changed tensor is a new one that no other node sees afterwards, itself or as a view."""
    changed, way = node.args[0], node
    while isinstance(changed, fx.Node) and changed.op == "call_function":
        others = [user for user in changed.users if user is not way and ops.is_tensor(user)]
        if any(_is_view(user) or place.get(user, 0) > place[node] for user in others):
            return False
        if not _is_view(changed):
            return True
        changed, way = changed.args[0], changed
    return False


def _is_view(node: fx.Node) -> bool:
    return node.target in ops.VIEWS - COPIES
