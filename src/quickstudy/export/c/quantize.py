"""Turn a net into integers: unsigned 8-bit activations, signed 8-bit weights with a scale per output channel, 32-bit sums.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 2, applied after
training. All zero points are 0, because inputs are bytes and every activation follows a ReLU. Bias, batch norm with population statistics
and pooling between a convolution and its ReLU are folded into the convolution.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from quickstudy.errors import ModelError
from quickstudy.export.c import ops
from quickstudy.export.c.ops import shape_of
from quickstudy.export.trace.capture import Program, layer_of

aten = torch.ops.aten

BITS = np.iinfo(np.int32).bits - 1
"""Bits after the point of a multiplier, which is an int32 that stands for a fraction."""


class IntegerError(ModelError):
    """Error of a learner that has no int8 form, and may have one in float32."""


@dataclasses.dataclass
class FloatLayer:
    """A layer: convolution, scale and shift of each channel, 2x2 max-pooling (`pool` is 2) or none (`pool` is 1), and ReLU.

    `moved` says that the results lie in another order or shape than the convolution gave them.
    """

    weight: Tensor
    stride: int
    padding: int
    scale: Tensor
    shift: Tensor
    pool: int = 1
    relu: bool = False
    moved: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        y = y * self.scale.view(1, -1, 1, 1) + self.shift.view(1, -1, 1, 1)
        return F.relu(F.max_pool2d(y, 2) if self.pool == 2 else y)


@dataclasses.dataclass(frozen=True)
class IntegerLayer:
    """A layer in integers.

    Args:
        weight: int8 `[out_channel, row, column, in_channel]`.
        bias: int32 `[out_channel]`.
        multiplier: int32 `[out_channel]`, in `[2^30, 2^31)`; an activation is a sum times `multiplier * 2^-31 * 2^-shift`.
        shift: int8 `[out_channel]`.
        stride: stride of the convolution.
        padding: padding of the convolution.
        pool: 2 for 2x2 max-pooling, else 1.
    """

    weight: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    stride: int
    padding: int
    pool: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the layer's result for uint8 `[example, row, column, channel]`, of the same form.

        It is what the C code computes, written independently of it.
        """
        window = self.weight.shape[1]
        padded = np.pad(x.astype(np.int64), ((0, 0), (self.padding,) * 2, (self.padding,) * 2, (0, 0)))
        patches = np.lib.stride_tricks.sliding_window_view(padded, (window, window), (1, 2))[:, :: self.stride, :: self.stride]
        sums = np.einsum("nrqcij,oijc->nrqo", patches, self.weight.astype(np.int64)) + self.bias
        if self.pool == 2:
            rows, columns = sums.shape[1] // 2 * 2, sums.shape[2] // 2 * 2
            sums = np.maximum.reduce([sums[:, i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1)])
        places = BITS + self.shift.astype(np.int64)
        scaled = (np.maximum(sums, 0) * self.multiplier.astype(np.int64) + (1 << (places - 1))) >> places
        return np.minimum(scaled, 255).astype(np.uint8)


def layers_of(program: Program, weights: dict[str, Tensor]) -> list[FloatLayer]:
    """Return the embedding of a captured learner of prototypes as a chain of layers.

    Raises:
        IntegerError: it is no such chain; the message names the operator.
    """
    graph = program.module.graph
    known: dict[fx.Node, Tensor] = {
        node: weights[name.removeprefix("weight.")]
        for node, name in zip(graph.find_nodes(op="placeholder"), program.inputs, strict=True)
        if name.startswith("weight.")
    }
    names = dict(zip(graph.find_nodes(op="placeholder"), program.inputs, strict=True))
    current = next(node for node, name in names.items() if name.startswith("support.") and name != "support.y")
    layers: list[FloatLayer] = []
    for node in graph.nodes:
        inputs = list(ops.inputs(node)) if node.op == "call_function" else []
        if inputs and all(item in known for item in inputs):
            known[node] = node.target(*(known.get(item, item) for item in node.args), **node.kwargs)
        elif current in inputs:
            if node.op == "output" or (
                node.target is aten.mm.default and node.args[1] is current and node.args[0] not in known
            ):
                break  # the sums of the classes, labels times features; features and weights would be a linear layer
            _extend(layers, _Step(node, current, known, layer_of(node, names)))
            current = node
    if not layers or any(not layer.relu for layer in layers):
        raise IntegerError(_REFUSED.format(what="a net without a ReLU after every convolution"))
    return layers


_REFUSED = (
    "int8 firmware needs a chain of convolutions, each with bias or batch norm, 2x2 max-pooling or none, and ReLU (such as conv4); this is "
    "{what}. Export in float32 (precision='float32'; on the command line without --int8), or use net conv4."
)


_SAME = {aten._to_copy.default, aten.alias.default, aten.clone.default, aten.detach.default}
_MOVED = ops.VIEWS - _SAME - {aten.as_strided.default, aten.expand.default, aten.select.int, aten.slice.Tensor}
"""Views that leave nothing out and repeat nothing. At the end of the net they cost nothing, as distances take features in any order."""
_TURNING = {aten.permute.default, aten.t.default}
"""Views that change the order, even where the shape stays."""


@dataclasses.dataclass(frozen=True)
class _Step:
    """One operation of the chain: the `node`, what it continues, which values are `known`, and the name of its layer."""

    node: fx.Node
    current: fx.Node
    known: dict[fx.Node, Tensor]
    layer: str

    def numbers(self, *places: Any) -> list[Any]:
        """Return arguments as tensors and numbers; one that is computed from an input stays a node."""
        return [self.known.get(item, item) if isinstance(item, fx.Node) else item for item in places]


def _extend(layers: list[FloatLayer], step: _Step) -> None:
    """Add one operation to the chain."""
    target, last = step.node.target, layers[-1] if layers else None
    if target is aten.convolution.default:
        done = (last is None or not last.moved) and _convolution(layers, step)
    else:
        done = _changes_nothing(step) or (last is not None and _OPERATIONS.get(target, _affine)(last, step))
    if not done:
        raise IntegerError(_REFUSED.format(what=f"operator {target} in layer {step.layer}"))


def _changes_nothing(step: _Step) -> bool:
    """Say whether a node gives the same numbers in the same order and shape."""
    target = step.node.target
    return target in _SAME or (target in _MOVED - _TURNING and shape_of(step.node) == shape_of(step.current))


def _convolution(layers: list[FloatLayer], step: _Step) -> bool:
    """Say whether a node is a convolution with known weights that the kernel can do."""
    weight, bias, stride, padding, dilation, transposed, _, groups = step.numbers(*step.node.args[1:])
    known = isinstance(weight, Tensor) and (bias is None or isinstance(bias, Tensor)) and shape_of(step.current)[0] == 1
    if not known or transposed or groups != 1 or list(dilation) != [1, 1] or not len({*stride}) == len({*padding}) == 1:
        return False
    shift = torch.zeros(len(weight)) if bias is None else bias
    layers.append(FloatLayer(weight, stride[0], padding[0], torch.ones(len(weight)), shift))
    return True


def _pooling(layer: FloatLayer, step: _Step) -> bool:
    """Say whether a node is the first max-pooling of a layer, of 2x2 without padding."""
    usual = ([2, 2], [2, 2], [0, 0], [1, 1], False)
    unusual = any(given not in (plain, []) for given, plain in zip(step.node.args[1:], usual, strict=False))
    if layer.moved or layer.pool != 1 or unusual:
        return False
    layer.pool = 2
    return True


def _affine(layer: FloatLayer, step: _Step) -> bool:
    """Say whether a node scales or shifts each channel. A scale may move before max-pooling only if it turns no maximum around."""
    if layer.moved or layer.relu:
        return False
    left, right = step.node.args[:2]
    (other,) = step.numbers(right if left is step.current else left)
    number, channels, target = torch.as_tensor(0.0 if isinstance(other, fx.Node) else other), len(layer.scale), step.node.target
    if isinstance(other, fx.Node) or step.node.kwargs or (number.numel() > 1 and number.shape[-3:] != (channels, 1, 1)):
        return False
    number = number.float().reshape(-1).expand(channels)
    if target is aten.mul.Tensor and not (layer.pool == 2 and (number < 0).any()):
        layer.scale, layer.shift = layer.scale * number, layer.shift * number
    elif target is aten.add.Tensor or (target is aten.sub.Tensor and left is step.current):
        layer.shift = layer.shift + (-number if target is aten.sub.Tensor else number)
    else:
        return False
    return True


def _move(layer: FloatLayer, step: _Step) -> bool:
    """Note that the results lie elsewhere from now on."""
    layer.moved = True
    return True


def _rectify(layer: FloatLayer, step: _Step) -> bool:
    """Note that the layer ends in a ReLU."""
    layer.relu = True
    return True


def _takes_the_first(layer: FloatLayer, step: _Step) -> bool:
    """Say whether a node takes the values of a max-pooling, not their places."""
    return bool(step.node.args[1] == 0)


_OPERATIONS: dict[Any, Callable[[FloatLayer, _Step], bool]] = {
    **dict.fromkeys(_MOVED, _move),
    operator.getitem: _takes_the_first,
    aten.relu.default: _rectify,
    aten.max_pool2d_with_indices.default: _pooling,
}
"""Functions that take an operation into the last layer and say whether they can; all other operations are `_affine` or none."""


def quantized(layers: Sequence[FloatLayer], x: Tensor, unit: float) -> tuple[list[IntegerLayer], float]:
    """Return the layers in integers, and how much one unit of their output is in floating point.

    Args:
        layers: the net.
        x: inputs as the net sees them, float `[example, channel, row, column]`, to measure the range of every activation.
        unit: how much one unit of the inputs' bytes is in `x`.

    Raises:
        IntegerError: a multiplier does not fit its bits.
    """
    result = []
    for layer in layers:
        x = layer(x)
        out = max(float(x.max()), 1e-6) / 255
        weight = (layer.weight * layer.scale.view(-1, 1, 1, 1)).double()
        step = weight.abs().amax((1, 2, 3)).clamp(min=1e-9) / 127
        factor = (step * unit / out).numpy()
        exponent = np.ceil(np.log2(factor)).astype(np.int64)
        multiplier = np.round(factor / 2.0**exponent * 2.0**BITS).astype(np.int64)
        exponent, multiplier = (
            np.where(multiplier >= 2**BITS, exponent + 1, exponent),
            np.where(multiplier >= 2**BITS, multiplier // 2, multiplier),
        )
        limit = float(2**BITS - 1 - 255 * 127 * weight[0].numel())
        bias = (layer.shift.double() / (step * unit)).round().clamp(-limit, limit)
        integers = (weight / step.view(-1, 1, 1, 1)).round().to(torch.int8)
        result.append(
            IntegerLayer(
                integers.permute(0, 2, 3, 1).contiguous().numpy(),
                bias.to(torch.int32).numpy(),
                multiplier.astype(np.int32),
                (-exponent).astype(np.int8),
                layer.stride,
                layer.padding,
                layer.pool,
            )
        )
        if (-exponent).min() < 1 - BITS or (-exponent).max() > BITS:
            raise IntegerError(
                "the ranges of this net's weights do not fit int8 arithmetic. Export in float32 (precision='float32'; on the command line "
                "without --int8)."
            )
        unit = out
    return result, unit
