"""In-place operations as the functions that they are, where nothing else looks at the tensor that they change.

Torch's own derivatives and decompositions change tensors in place that they have just made (`masked_fill_`, `sub_`). An operation whose
tensor may be seen under another name stays as it is, and so is refused by name.
"""

from __future__ import annotations

from torch import fx

from quickstudy.export.c import ops

aten = ops.aten
COPIES = {aten._to_copy.default, aten.clone.default}
"""Those of the views that are new tensors."""


def functional(graph: fx.Graph) -> fx.Graph:
    """The graph, with `x.op_(...)` as `op(x, ...)`; it is changed."""
    place = {node: number for number, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        name = str(node.target).split(".")
        if node.op != "call_function" or name[0] != "aten" or not name[1].endswith("_") or not _alone(node, place):
            continue
        if node.target is aten.copy_.default:
            with graph.inserting_before(node):
                spread = graph.call_function(aten.expand.default, (node.args[1], list(ops.shape_of(node))))
            spread.meta["val"] = node.meta["val"]
            node.target, node.args, node.kwargs = aten._to_copy.default, (spread,), {}
        else:
            node.target = getattr(getattr(aten, name[1][:-1]), name[2])
    return graph


def _alone(node: fx.Node, place: dict[fx.Node, int]) -> bool:
    """True if no other node sees what happens to the changed tensor."""
    changed = node.args[0]
    assert isinstance(changed, fx.Node)
    if changed.op != "call_function" or _is_view(changed):
        return False
    others = [user for user in changed.users if user is not node and ops.is_tensor(user)]
    return not any(_is_view(user) or place[user] > place[node] for user in others)


def _is_view(node: fx.Node) -> bool:
    return node.target in ops.VIEWS - COPIES
