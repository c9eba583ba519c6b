"""learner.h, the interface, the same for every learner, and weights.h."""

import zlib
from collections.abc import Sequence

from quickstudy.export.c import emit

HEAD = 8
"""Bytes of a state before what the learner keeps."""


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
