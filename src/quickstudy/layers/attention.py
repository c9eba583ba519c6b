"""Attention with derivatives of every order, and for many tasks at once: torch's fused kernels have the first one only, for one task."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

ATTENTION = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)
"""Layers of torch that attend. In eval mode they take a kernel for inference, which has no derivatives."""

_lock = threading.Lock()
_inside: list[contextlib.ExitStack] = []


def attends(module: nn.Module) -> bool:
    """Return whether a layer of the module is one of torch's attention."""
    return any(isinstance(layer, ATTENTION) for layer in module.modules())


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Compose `scaled_dot_product_attention` of operations that can be differentiated again and again.

    torch chooses the kernel by flags of the whole process: the first thread to enter sets them, the last one to leave sets them back,
    and others that compute attention in between get the same numbers more slowly.
    """
    stack = contextlib.ExitStack()
    with _lock:
        if not _inside:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        _inside.append(stack)
    try:
        yield
    finally:
        with _lock:
            _inside.remove(stack)
            if _inside:
                _inside[0].push(stack.pop_all())  # one that is still inside will set them back
            else:
                stack.close()
