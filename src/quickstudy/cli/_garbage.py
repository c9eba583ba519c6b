"""rarely_collected: make Python look for garbage seldom, while a command makes many objects of which few are garbage."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def rarely_collected(objects: int = 10**6) -> Iterator[None]:
    """Let the garbage collector run once per so many new objects inside this context, instead of once per 700.

    Importing torch and tracing a learner make millions of objects that stay. To look through them again and again takes a fifth of an
    export's time.
    """
    before = gc.get_threshold()
    gc.set_threshold(objects, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
