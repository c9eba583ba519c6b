"""Prefetch: the tasks of the next step are drawn, and on their way to the device, while this step is computed."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from types import TracebackType

import torch
from torch.utils._pytree import tree_map

from quickstudy.task import Task


class Prefetch:
    """Batches of tasks by step, one step ahead; a context manager, which ends its thread. The same tasks as without it.

    Args:
        draw: the tasks of a step, on the CPU; called in one other thread, in which an error is kept until its step asks for it.
        steps: how many there are; nothing is drawn beyond.
        device: where the tasks are wanted.
        background: draw ahead; False: when a step asks, in its own thread.

    >>> with Prefetch(torch.tensor, steps=3, device=torch.device("cpu")) as drawn:
    ...     [drawn.batch(step) for step in range(3)]
    [tensor(0), tensor(1), tensor(2)]
    """

    def __init__(self, draw: Callable[[int], Task], steps: int, device: torch.device, background: bool = True) -> None:
        self._draw, self._steps, self._device, self._background = draw, steps, device, background
        self._ahead: dict[int, concurrent.futures.Future[Task]] = {}

    def __enter__(self) -> Prefetch:
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "prefetch")  # which starts its thread when it is first needed
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def batch(self, step: int) -> Task:
        """Return the tasks of a step, on the device."""
        if not self._background:
            return self._drawn(step)
        waiting = self._ahead.pop(step, None) or self._pool.submit(self._drawn, step)
        tasks = waiting.result()
        if step + 1 < self._steps:
            self._ahead = {step + 1: self._pool.submit(self._drawn, step + 1)}
        return tasks

    def _drawn(self, step: int) -> Task:
        tasks = self._draw(step)
        if self._device.type == "cuda":  # from pinned memory, the copy does not wait for the step before
            tasks = tree_map(lambda leaf: torch.empty_like(leaf, pin_memory=True).copy_(leaf), tasks)
        return tasks.to(self._device)
