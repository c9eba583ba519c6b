"""An extension of griffe: examples in docstrings are shown as code. Markdown would read their `>>>` as quotations."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1(?! *\n)\S.*|\n\1 +\S.*)*", re.MULTILINE)


def fenced(text: str) -> str:
    """Return `text` with each doctest in a fenced block."""
    return EXAMPLE.sub(lambda match: f"{match[1]}```pycon\n{match[0]}\n{match[1]}```", text)


class FencedDoctests(griffe.Extension):
    """Fences the doctests of every docstring."""

    def on_object(self, *, obj: griffe.Object, **others: Any) -> None:
        """Rewrite the docstring of one object."""
        del others
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
