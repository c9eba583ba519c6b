"""Memory: how much of it operations allocate, and how the C library hands it out."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MALLOPT = {"M_TRIM_THRESHOLD": -1, "M_TOP_PAD": -2, "M_MMAP_MAX": -4, "M_ARENA_MAX": -8}
"""Names and numbers of the options in glibc's malloc.h."""


class Made(TorchDispatchMode):
    """Counts what operations return within it.

    `largest`: elements of the largest tensor. `bytes`: of all new tensors together, which is more than was ever needed at once.

    >>> import torch
    >>> with Made() as made:
    ...     _ = torch.zeros(4, 2).add(1.0).view(8)
    >>> made.largest, made.bytes
    (8, 64)
    """

    largest, bytes = 1, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                self.largest = max(self.largest, leaf.numel())
                storage = leaf.untyped_storage()
                self.bytes += storage.nbytes() if storage._cdata not in given else 0  # views make nothing
        return found


def peak_megabytes(device: torch.device | None = None) -> float | None:
    """Return the most memory, in MB, that this process has held so far: on a GPU that of its tensors; None if the system does not say.

    >>> peak_megabytes() > 1
    True
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for good; for programs of our own, never called by the library.

    By default glibc gives the large tensors of every task back to the operating system, which then hands them out again page by page,
    cleared: up to a third of the time of a second-order step. Without glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MALLOPT["M_ARENA_MAX"], 1)  # one heap for all threads: those of other arenas are given back whatever is asked
        mallopt(MALLOPT["M_MMAP_MAX"], 0)
        mallopt(MALLOPT["M_TRIM_THRESHOLD"], 2**31 - 1)
        mallopt(MALLOPT["M_TOP_PAD"], 64 * 2**20)
