"""From stored examples to a network's input, in torch; the numbers are those of `TensorLayout.to_network`."""

from __future__ import annotations

import torch
from jaxtyping import Num
from torch import Tensor

from quickstudy.inputs import TensorLayout


def to_input(stored: Num[Tensor, " *stored"], layout: TensorLayout) -> Num[Tensor, " *input"]:
    """Return the network's input `[..., *layout.shape]` for stored examples `[..., *layout.axes]`; int64 stays int64.

    >>> to_input(torch.tensor([[0, 255]], dtype=torch.uint8), TensorLayout(axes=(2,), order=(0,), dtype="uint8", scale=1 / 255))
    tensor([[0., 1.]])
    """
    leading = stored.ndim - len(layout.axes)
    moved = stored.permute(*range(leading), *(leading + axis for axis in layout.order))
    if layout.dtype == "int64":
        return moved
    scale, offset = layout.scale, layout.offset
    if (
        layout.dtype == "uint8" and scale < 0 and offset == -255 * scale
    ):  # a negative: inverting bytes is faster than adding floats
        moved, scale, offset = moved.bitwise_not(), -scale, 0.0
    scaled = moved.to(torch.get_default_dtype())
    if scale != 1:
        scaled = scaled.mul_(scale) if scaled is not moved else scaled * scale
    return scaled + offset if offset else scaled
