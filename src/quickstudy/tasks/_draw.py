"""Draw: choices of how tasks are drawn from a data set, beside their sizes."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Draw:
    """Choices of how tasks draw their classes and examples.

    Args:
        unequal: with a range of shots, draw them for each class (an imbalanced support set) instead of once for the task.
        within_groups: all classes of a task come from one group, such as one alphabet.
        augment: change each example at random: `none`; for images `flip` or `affine`; for texts `drop`, `mistype` or `drop_and_mistype`;
            for sounds `shift`, `speed`, `pitch`, `gain`, `noise`, `mask`, `everyday` (all but masks) or `everyday_and_mask`.
    """

    unequal: bool = False
    within_groups: bool = False
    augment: str = "none"


EVENLY = Draw()
"""Choices by which tasks are all drawn alike."""
