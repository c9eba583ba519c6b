"""Advice against a precision that a processor can only imitate."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from quickstudy.training.device import precision_advice


def clock(float32: float, bfloat16: float) -> Callable[[], float]:
    """Return a clock by which each product in float32 and then each in bfloat16 takes so many seconds."""
    steps = [0.0, float32] * 3 + [0.0, bfloat16] * 3
    ticks = iter(itertools.accumulate(steps))
    return lambda: next(ticks)


def test_imitated_bfloat16_is_advised_against() -> None:
    assert precision_advice(torch.device("cpu"), "bf16-mixed", clock(0.001, 0.35)) == (
        "bfloat16 takes 350 times as long as float32 on this processor; --precision 32-true would be faster"
    )


@pytest.mark.parametrize(
    ("device", "precision", "seconds"), [("cpu", "bf16-mixed", 0.0005), ("cpu", "32-true", 9.0), ("cuda", "bf16-mixed", 9.0)]
)
def test_nothing_is_said_where_nothing_is_lost(device: str, precision: str, seconds: float) -> None:
    assert precision_advice(torch.device(device), precision, clock(0.001, seconds)) is None
