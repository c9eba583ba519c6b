"""learner.h, the interface, which is the same for every learner, and weights.h."""

import math
import struct
import zlib
from collections.abc import Sequence

import torch

from quickstudy.export.c import emit
from quickstudy.export.c.ir import C_TYPE
from quickstudy.export.c.program import Request


def state_size(numbers: int) -> int:
    """Return the bytes of a state that keeps so many numbers of 4 bytes, after its fields `examples` and `learner`.

    >>> state_size(10)
    48
    """
    return struct.calcsize(f"=iI{numbers}i")


def input_facts(request: Request) -> dict[str, object]:
    """Return what learner.h says about the type and the order of the numbers of one input."""
    layout = request.layout
    axes = "".join(f"[{size}]" for size in layout.axes)
    scaled = (layout.scale, layout.offset) != (1, 0)
    sees = f"; the net sees number * {layout.scale:.9g} + {layout.offset:.9g}" if scaled else ""
    return {
        "values": math.prod(layout.axes),
        "input": C_TYPE[getattr(torch, layout.dtype)],
        "input_note": f"the {request.input} of one example, {axes}{sees}",
    }


def weights_text(arrays: Sequence[str]) -> str:
    """Return the text of weights.h around these constant arrays."""
    return "/* The meta-learned weights. */\n#include <stdint.h>\n\n" + "\n".join(arrays)


def header(weights: str, **facts: object) -> str:
    """Return the text of learner.h, with a number by which a state knows its learner.

    Args:
        weights: the text of weights.h.
        facts: everything else that the interface names.
    """
    kept = [weights, *(str(facts[name]) for name in ("learner", "input", "values", "ways", "state"))]
    fingerprint = zlib.crc32("\n".join(kept).encode()) or 1  # 0 is a state without a task
    return emit.filled("learner", fingerprint=f"{fingerprint:08x}", **facts)
