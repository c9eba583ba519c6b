"""A test program for a board: adapts to a task and predicts, and reports codes, answers, scores and instructions."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from quickstudy.export.c import emit

INSTRUCTIONS_PER_TICK = 40
"""The boards' clock runs at 25 MHz, and an emulated instruction takes one nanosecond."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A task to run on a board.

    Args:
        support: `[example, ...]`, uint8 or float32.
        targets: class of each example, `[example]`.
        queries: `[query, ...]`.
    """

    support: np.ndarray
    targets: np.ndarray
    queries: np.ndarray


def write_program(folder: pathlib.Path, trial: Trial) -> None:
    """Write `main.c` beside the firmware."""
    arrays = [
        emit.array(kind, f"test_{name}", values)
        for name, kind, values in (
            ("support", _kind(trial.support), trial.support),
            ("targets", "int32_t", trial.targets),
            ("queries", _kind(trial.queries), trial.queries),
        )
    ]
    text = _MAIN.format(arrays="\n".join(arrays), count=len(trial.support), queries=len(trial.queries))
    (folder / "main.c").write_text(text)


def _kind(values: np.ndarray) -> str:
    return "uint8_t" if values.dtype == np.uint8 else "float"


def fingerprint(state: bytes) -> int:
    """FNV-1a hash of a state, as the program reports it (int32)."""
    value = 2166136261
    for byte in state:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def scores(output: Mapping[str, Sequence[int]], kind: type[np.generic]) -> np.ndarray:
    """Scores `[query, way]` of a run, from their bits."""
    return np.array(output["score"], np.int32).view(kind).reshape(len(output["answer"]), -1)


_MAIN = """#include <string.h>
#include "board.h"
#include "learner.h"

{arrays}
static qs_state state;

int main(void)
{{
    qs_score scores[QS_WAYS];
    uint32_t start = ticks();
    const int code = qs_adapt(&state, test_support, test_targets, {count}, 0);
    report("adapt_ticks", (int32_t)(ticks() - start));
    report("adapt", code);
    for (int i = 0; i < {queries}; i++) {{
        start = ticks();
        const int answer = qs_predict(&state, test_queries + i * QS_VALUES, scores);
        report("predict_ticks", (int32_t)(ticks() - start));
        report("answer", answer);
        for (int way = 0; way < QS_WAYS; way++) {{
            int32_t bits;
            memcpy(&bits, &scores[way], sizeof bits);
            report("score", bits);
        }}
    }}
    uint32_t hash = 2166136261u;
    for (unsigned i = 0; i < sizeof state; i++)
        hash = (hash ^ ((const uint8_t *)&state)[i]) * 16777619u;
    report("state", (int32_t)hash);
    report("stack", (int32_t)stack_used());
    return 0;
}}
"""
