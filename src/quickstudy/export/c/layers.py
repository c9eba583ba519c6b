"""Write convolution and pooling, forward and backward, as calls of kernels (`kernels.h`) that also do what follows element by element."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from quickstudy.errors import ModelError
from quickstudy.export.c import ops
from quickstudy.export.c.context import Context
from quickstudy.export.c.ir import Value
from quickstudy.export.c.ops import shape_of
from quickstudy.export.c.sections import example_axis
from quickstudy.export.trace.capture import layer_of

aten = torch.ops.aten


@dataclasses.dataclass(frozen=True)
class Chain:
    """A convolution, and what its kernel does to each result on the way.

    Args:
        start: the convolution, or its backward operation.
        bias: added to each channel.
        relu: negative results become 0.
        mask: a tensor; results become 0 if its number at their place is at most 0 (the derivative of ReLU).
    """

    start: fx.Node
    bias: fx.Node | None = None
    relu: bool = False
    mask: fx.Node | None = None


@dataclasses.dataclass(frozen=True)
class Fusions:
    """All chains of a program.

    Args:
        outer: each chain, by its last node.
        inner: the other nodes of the chains, which are not computed by themselves.
    """

    outer: dict[fx.Node, Chain]
    inner: set[fx.Node]


def fusions(live: set[fx.Node], kept: set[fx.Node]) -> Fusions:
    """Return the chains among the live nodes; what is kept for every example ends a chain."""
    found = Fusions({}, set())
    for node in live:
        if node.target is aten.convolution.default:
            _forward_chain(node, live, kept, found)
        elif node.target is aten.convolution_backward.default:
            _backward_chain(node, live, kept, found)
    return found


def _only_user(node: fx.Node, live: set[fx.Node], kept: set[fx.Node]) -> fx.Node | None:
    """Return the one node that reads this one's value; None if there are more, or if the value is kept."""
    users = [user for user in node.users if user in live]
    return users[0] if len(users) == 1 and node not in kept and len(node.users) == 1 else None


def _forward_chain(node: fx.Node, live: set[fx.Node], kept: set[fx.Node], found: Fusions) -> None:
    """Find the bias and the ReLU that follow a convolution."""
    bias: Any = node.args[2]
    last, relu = node, False
    follower = _only_user(last, live, kept)
    if follower is not None and follower.target is aten.add.Tensor and not follower.kwargs and bias is None:
        other: Any = follower.args[1] if follower.args[0] is last else follower.args[0]
        channels = shape_of(node)[1]
        if isinstance(other, fx.Node) and example_axis(other) is None and shape_of(other)[-3:] == (channels, 1, 1):
            found.inner.add(last)
            last, bias = follower, other
            follower = _only_user(last, live, kept)
    if follower is not None and follower.target is aten.relu.default:
        found.inner.add(last)
        last, relu = follower, True
    if last is not node:
        found.outer[last] = Chain(node, bias, relu)


def _backward_chain(node: fx.Node, live: set[fx.Node], kept: set[fx.Node], found: Fusions) -> None:
    """Find the derivative of the ReLU before a convolution, which follows the gradient of the convolution's input."""
    for item in node.users:
        if item not in live or item.args[1] != 0:
            continue
        follower = _only_user(item, live, kept)
        if follower is None or follower.target is not aten.mul.Tensor:
            continue
        other: Any = follower.args[1] if follower.args[0] is item else follower.args[0]
        if isinstance(other, fx.Node) and other.target is aten.sign.default and shape_of(other) == shape_of(follower):
            source: Any = other.args[0]
            if source.target is aten.relu.default or _is_relu(source):  # elsewhere a sign may be -1
                found.inner.add(item)
                found.outer[follower] = Chain(node, mask=source)


def _is_relu(node: fx.Node) -> bool:
    """Say whether a node is a view of a ReLU's result."""
    while node.target in ops.VIEWS:
        node = node.args[0]  # pyright: ignore[reportAssignmentType]
    return node.target is aten.relu.default


def fused(context: Context, chain: Chain, node: fx.Node) -> Value:
    """Return a chain as one kernel."""
    if chain.start.target is aten.convolution_backward.default:
        return _input_gradient(context, chain.start, node, chain.mask)
    return _convolved(context, chain.start, node, chain.bias, chain.relu)


def _convolution(context: Context, node: fx.Node) -> Value:
    """Write a convolution that nothing follows."""
    bias: Any = node.args[2]
    return _convolved(context, node, node, bias, False)


def _convolved(context: Context, node: fx.Node, last: fx.Node, bias: fx.Node | None, relu: bool) -> Value:
    """Write a convolution with its bias and ReLU; `last` is the node whose value that is."""
    x, weight = (context.in_memory(context.value(item)) for item in node.args[:2])
    shape = _shape(context, node, x.shape, weight.shape, shape_of(node), node.args[3:9])
    given = [] if bias is None else [context.in_memory(context.value(bias))]
    y = context.allocate(last, shape_of(node))
    code = f"qs_conv2d({x.pointer}, {weight.pointer}, {given[0].pointer if given else 'NULL'}, {y.pointer}, &{shape}, {int(relu)});"
    context.emit(code, [x, weight, *given], [y])
    return y


def convolution_gradient(context: Context, item: fx.Node) -> Value:
    """Return one of the gradients of a convolution: with respect to input (0), weight (1) or bias (2)."""
    node: Any = item.args[0]
    part = item.args[1]
    if part == 0:
        return _input_gradient(context, node, item, None)
    grad = context.in_memory(context.value(node.args[0]))
    if example_axis(node.args[0]) is None:
        raise ModelError("the C target computes gradients of convolutions for support examples only.")
    if part == 2:
        target = context.collector(item, shape_of(item))
        _, channels, height, width = grad.shape
        code = f"qs_sum_positions({grad.pointer}, {target.pointer}, {channels}, {height * width});"
        context.emit(code, [grad, target], [target])
        return target
    x = context.in_memory(context.value(node.args[1]))
    target = context.collector(item, shape_of(item))
    shape = _shape(context, node, x.shape, target.shape, grad.shape, node.args[4:10])
    context.emit(
        f"qs_conv2d_weight_gradient({grad.pointer}, {x.pointer}, {target.pointer}, &{shape});", [grad, x, target], [target]
    )
    return target


def _input_gradient(context: Context, node: fx.Node, last: fx.Node, mask: fx.Node | None) -> Value:
    """Write the gradient of a convolution's input, and the derivative of the ReLU before it if there is a mask."""
    grad, weight = (context.in_memory(context.value(node.args[place])) for place in (0, 2))
    given = [] if mask is None else [context.in_memory(context.value(mask))]
    item = next(user for user in node.users if user.args[1] == 0)
    x = context.allocate(last, shape_of(item))
    shape = _shape(context, node, x.shape, weight.shape, grad.shape, node.args[4:10])
    code = f"qs_conv2d_input_gradient({grad.pointer}, {weight.pointer}, {given[0].pointer if given else 'NULL'}, {x.pointer}, &{shape});"
    over = given[0].aligned if given else frozenset()
    context.emit(code, [grad, weight, *given], [x], over)
    return x


def _shape(context: Context, node: fx.Node, x: Any, weight: Any, y: Any, settings: Any) -> str:
    """Return the name of the constant that describes a convolution."""
    stride, padding, dilation, transposed, _, groups = settings
    layer = layer_of(node, context.names)
    if transposed or groups != 1 or list(dilation) != [1, 1]:
        raise ModelError(
            f"layer {layer} is a convolution with transposed={transposed}, groups={groups}, dilation={list(dilation)}; the C target has "
            "kernels for groups=1 and dilation=1. Use those, or export the learner to ONNX."
        )
    if stride[0] != stride[1] or padding[0] != padding[1] or weight[2] != weight[3]:
        raise ModelError(
            f"layer {layer} is a convolution that is not square; the C target has square kernels, strides and paddings."
        )
    if x[0] != 1:
        raise ModelError(f"layer {layer} sees {x[0]} examples at once; the C target computes one at a time.")
    numbers = (x[1], x[2], x[3], y[1], y[2], y[3], weight[2], stride[0], padding[0])
    return context.constant("qs_conv_shape", "conv", f"{{{', '.join(map(str, numbers))}}}")


def _window(context: Context, node: fx.Node, x: Any, y: Any, settings: Any) -> str:
    """Return the name of the constant that describes a max-pooling."""
    kernel, stride, padding, dilation = (*settings, *([], [0, 0], [1, 1])[len(settings) - 1 :])[:4]
    stride = stride or kernel
    square = all(pair[0] == pair[-1] for pair in (kernel, stride, padding))
    if not square or any(step != 1 for step in dilation) or kernel[0] > 15:
        raise ModelError(
            f"max-pooling in layer {layer_of(node, context.names)} has window {list(kernel)}, stride {list(stride)}, dilation "
            f"{list(dilation)}; the C target has square windows of up to 15 without dilation."
        )
    numbers = (x[1], x[2], x[3], y[1], y[2], y[3], kernel[0], stride[0], padding[0])
    return context.constant("qs_conv_shape", "pool", f"{{{', '.join(map(str, numbers))}}}")


def _max_pool(context: Context, node: fx.Node) -> tuple[Value, Value | None]:
    """Write a max-pooling; the places of the maxima only if something reads them."""
    x = context.in_memory(context.value(node.args[0]))
    shape = shape_of(node, 0)
    parts: dict[Any, fx.Node] = {user.args[1]: user for user in node.users}
    y = context.allocate(parts[0], shape)
    window = _window(context, node, x.shape, shape, node.args[1:5])
    places = context.allocate(parts[1], shape, torch.uint8) if 1 in parts else None
    code = f"qs_max_pool({x.pointer}, {y.pointer}, {places.pointer if places else 'NULL'}, &{window});"
    context.emit(code, [x], [y, *([places] if places else [])])
    return y, places


def _max_pool_gradient(context: Context, node: fx.Node) -> Value:
    """Write the derivative of a max-pooling."""
    grad = context.in_memory(context.value(node.args[0]))
    places = context.value(node.args[7])
    x = context.allocate(node, shape_of(node))
    window = _window(context, node, x.shape, grad.shape, node.args[2:6])
    context.emit(f"qs_max_pool_gradient({grad.pointer}, {places.pointer}, {x.pointer}, &{window});", [grad, places], [x])
    return x


RULES: dict[Any, Callable[[Context, fx.Node], Any]] = {
    aten.convolution.default: _convolution,
    aten.convolution_backward.default: lambda context, node: None,  # its parts are computed where they are taken
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.max_pool2d_with_indices_backward.default: _max_pool_gradient,
}
