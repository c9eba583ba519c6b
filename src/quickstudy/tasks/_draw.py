"""Draw: choices of how tasks are drawn from a data set, beside their sizes."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from quickstudy.errors import check_choice

Frequencies = Literal["equal", "natural"]
Resample = Literal["none", "over", "under"]


@dataclasses.dataclass(frozen=True)
class Draw:
    """Choices of how tasks draw their classes and examples.

    Args:
        unequal: with a range of shots, draw them for each class (an imbalanced support set) instead of once for the task.
        within_groups: all classes of a task come from one group, such as one alphabet.
        augment: change each example at random: `none`; for images `flip` or `affine`; for texts `drop`, `mistype`, `swap`, `repeat`,
            `drop_and_mistype` or `everyday` (all four);
            for sounds `shift`, `speed`, `pitch`, `gain`, `noise`, `mask`, `everyday` (all but masks), `everyday_and_mask` or `speaker`.
        frequencies: numbers of examples of the classes of a task, in both sets: `equal`, or `natural`, in proportion to how many the data
            has of each, at least one; `ways` times `shots` and `ways` times `queries` in all.
        resample: what becomes of a support set with more examples of one class than of another: `none`, `over` (examples of the smaller
            classes are repeated) or `under` (examples of the larger ones are left out).
        hide_from_queries: part of examples that queries lack, such as a name that would tell the answer; several are separated by commas.
        same_style: the first example of every class is of one style, the second of another, and so on, so that what is learned in one
            style is asked for in others. Styles are files of one name in every class, such as one hand's drawings.
    """

    unequal: bool = False
    within_groups: bool = False
    augment: str = "none"
    frequencies: Frequencies = "equal"
    resample: Resample = "none"
    hide_from_queries: str = ""
    same_style: bool = False

    def __post_init__(self) -> None:
        check_choice("frequencies", self.frequencies, get_args(Frequencies))
        check_choice("resample", self.resample, get_args(Resample))


EVENLY = Draw()
"""Choices by which tasks are all drawn alike."""
