"""Ctrl-C between two steps: what a run saves is then whole, and it goes on bit for bit as if it had not been stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def deferred_interrupt(shared: bool = False) -> Iterator[Callable[[], bool]]:
    """Note the first Ctrl-C (or SIGTERM) within: call what is yielded to know. A second one stops at once, as usual.

    Args:
        shared: this is one of several processes, which must stop together: no number of them stops it at once.

    >>> with deferred_interrupt() as interrupted:
    ...     signal.raise_signal(signal.SIGINT)
    ...     interrupted()
    True
    """
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted.is_set  # signals are not this thread's business
        return

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if noted.is_set() and not shared:
            signal.signal(number, before[number])
            signal.raise_signal(number)
        noted.set()

    before: dict[int, Any] = {number: signal.getsignal(number) for number in _stopping()}
    held: set[int] = set()
    try:
        for number in before:
            signal.signal(number, note)
        if shared:  # `launch` holds Ctrl-C back until now
            held = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        yield noted.is_set
    finally:
        if shared:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopping() -> list[signal.Signals]:
    """Return the signals that ask a program to stop, but for those that are ignored, or handled outside Python."""
    numbers = [signal.SIGINT]
    if multiprocessing.parent_process() is None:  # in a child, SIGTERM is `Process.terminate`, which must not wait
        numbers.append(signal.SIGTERM)
    return [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
