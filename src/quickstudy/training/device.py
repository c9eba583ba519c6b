"""Device, precision and threads of a training. No variables of other launchers (SLURM_*, LT_*) are read here, nor by what it uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


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
