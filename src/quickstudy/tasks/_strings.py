"""Strings: choices of what the strings of a task of transcripts are, beside their number."""

from __future__ import annotations

import dataclasses

from quickstudy.tasks._ranges import Range


@dataclasses.dataclass(frozen=True)
class Strings:
    """Choices of what the strings of a task are.

    Args:
        length: examples that a string is joined of, or a range `(least, most)`; 1 takes examples as they are. Strings that are longer
            than an example of the data set lose their last ones.
        alphabet: symbols that transcripts may hold; None: those of the data.
        shuffled: give the symbols other columns in each task, so that nothing but its strings says which is which.
    """

    length: Range = 1
    alphabet: str | None = None
    shuffled: bool = False


WHOLE = Strings()
"""Choices by which every example is a string."""
