"""launch: do some work in several processes of this machine. If one dies, all start again and go on from their last checkpoint.

For several machines take torchrun, which does the same with its `--max-restarts`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch.distributed
from torch.multiprocessing import ProcessContext, ProcessExitedException, ProcessRaisedException, start_processes

from quickstudy.errors import ConfigError, ProcessError, QuickstudyError, TrainingError
from quickstudy.training.processes.group import check_devices
from quickstudy.training.progress import Progress, silent

LOST = 75
"""Exit code of a process that lost another one: a temporary failure, in the words of sysexits.h."""
INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a process that was told to stop, as a shell has it."""
CONSEQUENCES = (LOST, INTERRUPTED, -signal.SIGTERM)
"""Exit codes of processes that ended because another one had died, or because they were told to stop."""


def launch(work: Callable[..., None], processes: int, *arguments: Any, restarts: int = 3, progress: Progress = silent) -> None:
    """Call `work(*arguments)` in each of several new processes, in which `fit` trains together with the others.

    Ctrl-C (or SIGTERM) is passed on: training stops in all of them after the same step, saved. A second one stops at once.

    Args:
        work: a function at the top level of a module; it leaves its results in files. A script that calls `launch` does so under
            `if __name__ == "__main__":`, since the new processes import it.
        processes: how many.
        arguments: of `work`; must be picklable.
        restarts: how often all are started again when one was killed. An error is no reason to start again.
        progress: is told of every restart.

    Raises:
        QuickstudyError: the error that `work` raised.
        TrainingError: any other exception in `work`, with its traceback; or a process died once more than `restarts`.
        KeyboardInterrupt: after Ctrl-C.
    """
    if processes < 1 or restarts < 0:
        raise ConfigError(f"{processes} processes and {restarts} restarts; expected at least 1 process and 0 restarts.")
    check_devices(processes)
    died, job = None, uuid.uuid4().hex
    for restart in range(restarts + 1):
        store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # where they find each other
        place = {
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is in this process
            "TORCHELASTIC_RESTART_COUNT": str(restart),
            "TORCHELASTIC_RUN_ID": job,
        }
        died = _attempt(work, arguments, place)
        if died is None:
            return
        if restart < restarts:
            progress.note(f"{died}; all start again ({restart + 1} of {restarts}) and go on from the last checkpoint")
    raise TrainingError(
        f"{died}, after {restarts} restarts. Perhaps memory ran out: try fewer processes or tasks_per_step. The last checkpoint stays."
    )


def _attempt(
    work: Callable[..., None], arguments: tuple[Any, ...], place: dict[str, str], patience: float = 10.0
) -> str | None:
    """Start all processes and wait for them; None when they have done their work, else which one died.

    Once one has ended badly, the others have `patience` seconds to end by themselves.
    """
    processes, told = int(place["WORLD_SIZE"]), multiprocessing.get_context("spawn").SimpleQueue()
    exited: list[ProcessExitedException] = []
    raised: list[ProcessRaisedException] = []
    with _started(processes, (work, arguments, place, told)) as (context, interrupted):
        done = False
        while not done:
            try:
                done = context.join(grace_period=patience)
            except ProcessExitedException as failure:
                exited.append(failure)
            except ProcessRaisedException as failure:
                raised.append(failure)
    lost = []
    while not told.empty():
        problem = told.get()
        if not isinstance(problem, ProcessError):
            raise problem
        lost.append(str(problem))
    if raised:
        traceback = raised[0].msg.partition("error:\n")[2]
        raise TrainingError(f"process {raised[0].error_index} of {processes} failed:\n{traceback}")
    if exited and interrupted():
        raise KeyboardInterrupt
    died = [failure.msg for failure in exited if failure.exit_code not in CONSEQUENCES]
    return " and ".join(died) or next(iter([*lost, *(failure.msg for failure in exited)]), None)


def _work(rank: int, work: Callable[..., None], arguments: tuple[Any, ...], place: dict[str, str], told: Any) -> None:
    """Do the work of one process; an unexpected exception is left to torch, which hands its traceback on."""
    os.environ.update(place | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
    signal.signal(signal.SIGINT, signal.default_int_handler)  # how it is told to stop, also where a shell had Ctrl-C ignored
    try:
        work(*arguments)
    except QuickstudyError as error:
        told.put(error)
        sys.exit(LOST if isinstance(error, ProcessError) else error.exit_code)
    except KeyboardInterrupt as interrupt:
        told.put(interrupt)
        sys.exit(INTERRUPTED)  # so that the others are not waited for without end


@contextlib.contextmanager
def _started(processes: int, arguments: tuple[Any, ...]) -> Iterator[tuple[ProcessContext, Callable[[], bool]]]:
    """Yield the processes, none of which is left afterwards, and whether Ctrl-C was pressed, which is passed on to them."""
    pressed = threading.Event()

    def pass_on(number: int, frame: object) -> None:
        del number, frame
        for process in children:
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL if pressed.is_set() else signal.SIGINT)
        pressed.set()

    mask = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT}
    )  # they inherit it, so that Ctrl-C waits until they can note it
    before = {}
    try:
        context = cast(ProcessContext, start_processes(_work, arguments, processes, join=False))
        children = context.processes
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        yield context, pressed.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in children:
            process.kill()
            process.join()
