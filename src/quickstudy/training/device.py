"""Device, precision and threads of a training. No variables of other launchers (SLURM_*, LT_*) are read here, nor by what it uses."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

BFLOAT16 = {"slower": 2.0}
"""Ratio of seconds in bfloat16 and in float32 from which on bfloat16 is advised against: processors with instructions for it take 0.3 to
1.0 of the time, others 100 times as long and more."""


def own_device(local_rank: int) -> torch.device:
    """Return the device of this process among those on its machine: its GPU if there is one, else the CPU."""
    if torch.cuda.is_available():
        if local_rank > 0:  # one of several processes: what names no device must not land on the first one's
            torch.cuda.set_device(local_rank)
        return torch.device("cuda", local_rank)
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


def mixed_precision(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which `bf16-mixed` convolves and multiplies in bfloat16, and `32-true` does nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed")


def precision_advice(device: torch.device, precision: str, clock: Callable[[], float] = time.perf_counter) -> str | None:
    """Return advice if a training in bfloat16 would be slower than one in float32, because the processor can only imitate bfloat16.

    Args:
        device: where the training runs; only a CPU is measured, which takes some hundredths of a second.
        precision: as `mixed_precision` takes it.
        clock: returns seconds.
    """
    if device.type != "cpu" or precision != "bf16-mixed":
        return None
    seconds = {dtype: _seconds_of_product(dtype, clock) for dtype in (torch.float32, torch.bfloat16)}
    ratio = seconds[torch.bfloat16] / max(seconds[torch.float32], 1e-9)
    if ratio < BFLOAT16["slower"]:
        return None
    return f"bfloat16 takes {ratio:.0f} times as long as float32 on this processor; --precision 32-true would be faster"


def _seconds_of_product(dtype: torch.dtype, clock: Callable[[], float]) -> float:
    """Return seconds of a product of two matrices: the minimum of three, because other processes can only slow one down."""
    matrix, found = torch.ones(256, 256, dtype=dtype), []
    for _ in range(3):
        began = clock()
        torch.mm(matrix, matrix)
        found.append(clock() - began)
    return min(found)


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Give every operation on a CPU so many threads within, and as many as before afterwards. None changes nothing."""
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)
