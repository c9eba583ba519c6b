"""Rendezvous: where processes that a launcher started together exchange addresses, apart from those of earlier starts.

torchrun keeps one store for all its starts and separates them by a count that is each machine's own: after a process was killed on one of
several machines, the counts differ, and the new processes would wait for each other under different names, or find addresses of dead ones.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import uuid

import torch.distributed as dist


def meet(rank: int, size: int) -> dist.Store | None:
    """Return the part of the launcher's store that belongs to this start of all `size` processes; None if the launcher keeps no store.

    The first process draws a name; every other one answers under it, and goes on once its own answer was heard.

    Raises:
        RuntimeError: the launcher, which keeps the store, has died, or the first process did not come.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    launcher = multiprocessing.parent_process()
    if launcher is not None and not launcher.is_alive():  # or its store would be looked for, for minutes
        raise RuntimeError("the launcher has died")
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return dist.PrefixStore(_name(dist.PrefixStore("quickstudy", store), rank, size), store)


def _name(store: dist.Store, rank: int, size: int, patience: float = 300.0) -> str:
    """Return the name of this start, the same in all its processes, which wait `patience` seconds for the first, as torch's stores do."""
    me = uuid.uuid4().hex
    if rank == 0:
        store.set("name", me)
        answers = [store.get(f"{me}/{other}").decode() for other in range(1, size)]
        store.set(f"{me}/heard", json.dumps(answers))
        return me
    until = time.monotonic() + patience
    while time.monotonic() < until:
        name = store.get("name").decode()  # perhaps that of an earlier start, so look again
        store.set(f"{name}/{rank}", me)
        if store.check([f"{name}/heard"]) and me in json.loads(store.get(f"{name}/heard")):
            return name
        time.sleep(0.05)
    raise RuntimeError("the first process did not come")
