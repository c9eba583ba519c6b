"""Write C: templates, a program as a function, constants as arrays."""

from __future__ import annotations

import pathlib
import re
import string
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from quickstudy.export.c.ir import C_TYPE, Begin, End, Item, Kernel, literal
from quickstudy.export.c.plan import Arena

UNION = {torch.float32: "f", torch.int64: "i", torch.bool: "b", torch.uint8: "b"}
HERE = pathlib.Path(__file__).parent


def filled(template: str, **facts: object) -> str:
    """Return the text of a template of this folder, with a fact in the place of each `$name`."""
    return string.Template((HERE / f"{template}.template").read_text(encoding="utf-8")).substitute(facts)


def c_name(name: str) -> str:
    """Return a tensor's name as a C identifier.

    >>> c_name("net.blocks.0.0.weight")
    'net_blocks_0_0_weight'
    """
    return re.sub(r"\W", "_", name)


def function(signature: str, items: Sequence[Item], arena: Arena) -> str:
    """Write a function that runs the items, with its buffers as pointers into the arena."""
    lines = [signature, "{"]
    for buffer, offset in sorted(arena.offsets.items(), key=lambda pair: pair[0].name):
        kind = C_TYPE[buffer.dtype]
        lines.append(f"    {kind} *const {buffer.name} = &arena[{offset // 4}].{UNION[buffer.dtype]};")
    depth = 1
    for item in items:
        if isinstance(item, Begin):
            lines.append(f"{'    ' * depth}{item.code} {{")
            depth += 1
        elif isinstance(item, End):
            depth -= 1
            lines.append(f"{'    ' * depth}}}")
        elif isinstance(item, Kernel):
            lines.append(textwrap.indent(item.code, "    " * depth))
    return "\n".join([*lines, "}"])


def constants(table: Mapping[tuple[str, str], str]) -> str:
    """Write constants, which are given as names by (type, content)."""
    return "\n".join(f"static const {kind} {name} = {text};" for (kind, text), name in table.items())


def array(kind: str, name: str, values: np.ndarray) -> str:
    """Write a constant array."""
    if kind == "float":
        numbers: Iterable[str] = (literal(float(value), torch.float32) for value in values.ravel())
    else:
        numbers = (str(int(value)) for value in values.ravel())
    body = textwrap.fill(", ".join(numbers), 120, initial_indent="    ", subsequent_indent="    ")
    return f"static const {kind} {name}[{values.size}] = {{\n{body}\n}};\n"
