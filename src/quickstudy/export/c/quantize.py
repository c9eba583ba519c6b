"""A net as integers: unsigned 8-bit activations, signed 8-bit weights with a scale per output channel, 32-bit sums.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 2, after
training, with zero points of 0: inputs are bytes and every activation follows a ReLU. What stands between a convolution and its ReLU
(bias, batch norm with population statistics, pooling) is folded into it.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from quickstudy.errors import ModelError
from quickstudy.export.c import ops
from quickstudy.export.c.ops import shape_of
from quickstudy.export.capture import Program, layer_of

aten = torch.ops.aten

BITS = 31
"""Multipliers are fractions of 2^31."""


@dataclasses.dataclass
class FloatLayer:
    """Convolution, scale and shift of each channel, 2x2 max-pooling (`pool` 2) or none (1), ReLU."""

    weight: Tensor
    stride: int
    padding: int
    scale: Tensor
    shift: Tensor
    pool: int = 1
    relu: bool = False

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
        multiplier: int32 `[out_channel]`, in `[2^30, 2^31)`: with `shift`, from a sum to an activation.
        shift: int8 `[out_channel]`.
        stride: of the convolution.
        padding: of the convolution.
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
        """uint8 `[example, row, column, channel]` to the same: what the C code computes, written independently of it."""
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
    """The embedding of a captured prototype learner as a chain of layers.

    Raises:
        ModelError: it is no such chain; the message names the operator.
    """
    graph = program.module.graph
    known: dict[fx.Node, Tensor] = {
        node: weights[name.removeprefix("weight.")]
        for node, name in zip(graph.find_nodes(op="placeholder"), program.inputs, strict=True)
        if name.startswith("weight.")
    }
    names = dict(zip(graph.find_nodes(op="placeholder"), program.inputs, strict=True))
    current = next(node for node, name in names.items() if name == "support_x")
    layers: list[FloatLayer] = []
    for node in graph.nodes:
        inputs = list(ops.inputs(node)) if node.op == "call_function" else []
        if inputs and all(item in known for item in inputs):
            known[node] = node.target(*(known.get(item, item) for item in node.args), **node.kwargs)
        elif current in inputs:
            if node.target is aten.mm.default or node.op == "output":
                break
            _extend(layers, node, current, known, layer_of(node, names))
            current = node
    if not layers or any(not layer.relu for layer in layers):
        raise ModelError(_REFUSED.format(what="a net that does not end in a ReLU after every convolution"))
    return layers


_REFUSED = (
    "int8 firmware needs a chain of convolutions, each with bias or batch norm, 2x2 max-pooling or none, and ReLU (such as conv4); this is "
    "{what}. Export with precision='float32', or use net conv4."
)


def _extend(layers: list[FloatLayer], node: fx.Node, current: fx.Node, known: dict[fx.Node, Tensor], name: str) -> None:
    """One more operation of the chain."""
    target = node.target
    if target is aten.convolution.default and node.args[1] in known and shape_of(current)[0] == 1:
        weight, bias, stride, padding, dilation, transposed, _, groups = (_known(item, known) for item in node.args[1:])
        if not transposed and groups == 1 and list(dilation) == [1, 1] and len({*stride}) == len({*padding}) == 1:
            shift = torch.zeros(len(weight)) if bias is None else bias
            layers.append(FloatLayer(weight, stride[0], padding[0], torch.ones(len(weight)), shift))
            return
    elif target in ops.VIEWS or target is operator.getitem:
        return
    elif layers and not layers[-1].relu and target in (aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor):
        other: Any = node.args[1] if node.args[0] is current else node.args[0]
        other = _known(other, known)
        number = torch.as_tensor(other, dtype=torch.float32).reshape(-1).expand(len(layers[-1].scale))
        if target is aten.mul.Tensor:
            layers[-1].scale, layers[-1].shift = layers[-1].scale * number, layers[-1].shift * number
        else:
            layers[-1].shift = layers[-1].shift + (-number if target is aten.sub.Tensor else number)
        if target is not aten.sub.Tensor or node.args[0] is current:
            return
    elif layers and target is aten.max_pool2d_with_indices.default and layers[-1].pool == 1:
        if list(node.args[1]) == [2, 2] == list(node.args[2] or [2, 2]) and not any(node.args[3:]):  # pyright: ignore
            layers[-1].pool = 2
            return
    elif layers and target is aten.relu.default:
        layers[-1].relu = True
        return
    raise ModelError(_REFUSED.format(what=f"operator {target} in layer {name}"))


def _known(item: Any, known: dict[fx.Node, Tensor]) -> Any:
    return known[item] if isinstance(item, fx.Node) else item


def quantized(layers: Sequence[FloatLayer], images: Tensor) -> tuple[list[IntegerLayer], float]:
    """Integer layers, and what one unit of their output stands for.

    Args:
        layers: the net.
        images: float `[example, channel, row, column]` in [0, 1], to measure the range of every activation.
    """
    result, unit, x = [], 1 / 255, images
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
            raise ModelError("the ranges of this net's weights do not fit int8 arithmetic. Export with precision='float32'.")
        unit = out
    return result, unit
