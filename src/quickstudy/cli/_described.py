"""How options are described to people: the types of their values in words, and the text of `--help`."""

from __future__ import annotations

import argparse
import re
import types
import typing
from typing import Any

import jsonargparse

RANGES = {tuple[int, int]: "a range such as 3-10", tuple[float, float]: "a range such as 0.5-2"}
"""Types of a least and a most, in words; on the command line they may be written `3-10`."""
WORDS = {
    **RANGES,
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    type(None): "null",
}
"""Types of values in words."""
SPELLED = {"None": "null", "True": "true", "False": "false"}
"""Values of Python as the command line spells them."""


def expected(hint: Any) -> str:
    """Return the values of a type in words.

    >>> expected(int | tuple[int, int] | None)
    'a whole number, or a range such as 3-10, or null'
    """
    of = typing.get_args(hint)
    if hint in WORDS:
        return WORDS[hint]
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(str(value) for value in of)}"
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return ", or ".join(expected(one) for one in of)
    if typing.get_origin(hint) is tuple and ... not in of:
        return f"a list [{', '.join(expected(one) for one in of)}]"
    if of:  # a list or another sequence
        return f"a list [{expected(of[0])}, ...]"
    return getattr(hint, "__name__", str(hint))


def spelled(text: str) -> str:
    """Return what a docstring says of an argument, with values as the command line spells them.

    >>> spelled("a range `(least, most)`; None for no limit.")
    'a range `least-most`; null for no limit.'
    """
    text = re.sub(r"`\((\w+), (\w+)\)`", r"`\1-\2`", text)
    return re.sub(rf"\b({'|'.join(SPELLED)})\b", lambda word: SPELLED[word[0]], text)


class Formatter(jsonargparse.DefaultHelpFormatter):
    """Writes help in which each option says its type in words, and its default."""

    def _get_help_string(self, action: argparse.Action) -> str:
        """Return what an option does, and in brackets what it takes."""
        text = (action.help or "").strip().removesuffix(".")
        if action.nargs == 0:  # no value follows it
            return text
        required = ["required"] if action.required and action.option_strings else []
        takes = _takes(getattr(action, "_typehint", None) or action.type)
        default = [] if action.required or action.default in (None, argparse.SUPPRESS) else ["default: %(default)s"]
        brackets = "; ".join([*required, *takes, *default])
        return f"{text} ({brackets})" if brackets else text

    def _expand_help(self, action: argparse.Action) -> str:
        """Return an option's help with its values filled in."""
        return spelled(super()._expand_help(action))


def _takes(hint: Any) -> list[str]:
    """Return a type in words if it says something: neither a text nor choices, which stand behind the option already."""
    obvious = hint in (None, bool, str) or str in typing.get_args(hint) or typing.get_origin(hint) is typing.Literal
    return [] if obvious else [expected(hint)]
