"""From stored images to a network's input: the one place where pixels become numbers."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from quickstudy.inputs.image import ImageSpec


def to_input(images: UInt8[Tensor, " *shape"], spec: ImageSpec) -> Float[Tensor, " *shape"]:
    """Float images in [0, 1], with strokes light where ink is dark.

    Args:
        images: uint8, of any shape.
        spec: says which ink the images have.

    >>> to_input(torch.tensor([0, 255], dtype=torch.uint8), ImageSpec(ink="dark"))
    tensor([1., 0.])
    """
    light = images.bitwise_not() if spec.ink == "dark" else images  # 255 - value
    return light.to(torch.get_default_dtype()).mul_(1 / 255)
