"""Changes of images, batched and driven by given random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def flip(
    images: Float[Tensor, "image channel height width"], random: Float[Tensor, "image number"]
) -> Float[Tensor, "image channel height width"]:
    """Mirror half of the images left to right.

    Args:
        images: float `[image, channel, height, width]`.
        random: uniform in [0, 1), `[image, number]`.
    """
    return torch.where(random[:, 0].view(-1, 1, 1, 1) < 0.5, images.flip(-1), images)


def affine(
    images: Float[Tensor, "image channel height width"], random: Float[Tensor, "image number"]
) -> Float[Tensor, "image channel height width"]:
    """Turn by up to 10 degrees, scale by up to 15 %, shear by up to 0.15 and shift by up to 8 % of the width; zeros come in."""
    signed = 2 * random - 1
    angle = signed[:, 0] * math.radians(10)
    scale = 1 + 0.15 * signed[:, 1]
    shear = 0.15 * signed[:, 2]
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [[cosine, shear - sine, 0.16 * signed[:, 3]], [sine, cosine, 0.16 * signed[:, 4]]]
    y, x = _centres(images.shape[2], images).unsqueeze(1), _centres(images.shape[3], images)
    # not F.affine_grid, which takes longer than the sampling itself
    grid = [a.view(-1, 1, 1) * x + b.view(-1, 1, 1) * y + c.view(-1, 1, 1) for a, b, c in rows]
    return F.grid_sample(images, torch.stack(grid, dim=-1), align_corners=False)


def _centres(size: int, like: Tensor) -> Float[Tensor, " pixel"]:
    """Return where the centres of the pixels of one axis lie between the image's edges at -1 and 1."""
    return (2 * torch.arange(size, dtype=like.dtype, device=like.device) + 1) / size - 1


AUGMENTATIONS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {"flip": (flip, 6), "affine": (affine, 6)}
"""Changes by the name that `Draw` takes, with how many random numbers each draws per image: the affine one uses five, and rows of an even
number stay aligned."""
