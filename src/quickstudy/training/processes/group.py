"""Group: processes that meta-train together. Each takes a share of the tasks of a step; their meta-gradients are averaged in one bucket.

The average is taken explicitly, since functional calls bypass the hooks of `DistributedDataParallel`. Whatever sets the variables `RANK`,
`WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT` makes a group: `quickstudy train --processes`, torchrun, a cluster's scheduler. Tensors on a
CPU travel by gloo, those on GPUs by NCCL.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from quickstudy.errors import ConfigError, ProcessError, QuickstudyError
from quickstudy.training.processes.rendezvous import meet

T = TypeVar("T")


class Step(NamedTuple):
    """Figures that all processes must hold alike after the meta-gradient of a step.

    Attributes:
        loss: mean over the tasks.
        seconds: since the training began, by the first process's clock.
        stop: somebody pressed Ctrl-C.
    """

    loss: float
    seconds: float
    stop: bool


@dataclasses.dataclass(frozen=True)
class Group:
    """One process among those that train together; by default a group of one, whose methods return their arguments unchanged.

    Every process of the group must call the same methods in the same order.

    Args:
        rank: which one it is; 0 is the first, which alone writes files.
        size: how many there are, on all machines.
        local_rank: which one it is on its machine, and so which GPU is its own.
        local_size: how many there are on its machine.
        restarted: the group was started again, after one of its processes had died.
        job: what all groups have in common that one launch starts again.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    restarted: bool = False
    job: str = ""

    @classmethod
    def join(cls) -> Group:
        """Return the group that the environment describes, once all its processes are there; a group of one if it describes none.

        Raises:
            ConfigError: an environment that no group can be made from, or more processes than GPUs.
            ProcessError: the others did not come.
        """
        if not launched():
            return cls()
        group = cls(_variable("RANK"), _variable("WORLD_SIZE"), _variable("LOCAL_RANK", 0), _variable("LOCAL_WORLD_SIZE", 1))
        check_devices(group.local_rank + 1)
        if not dist.is_initialized():
            with group._together():
                # before there is a group: its functions bind the group of the moment in which they are imported as a default, and keep it
                importlib.import_module("torch.distributed.nn.functional")
                try:
                    store = meet(group.rank, group.size)
                    ranks = {} if store is None else {"store": store, "rank": group.rank, "world_size": group.size}
                    dist.init_process_group(**ranks)
                except ValueError as error:  # says which variable is missing
                    raise ConfigError(f"no group of processes can be made: {error}. Start them with torchrun.") from error
            atexit.register(dist.destroy_process_group)
        again = _variable("TORCHELASTIC_RESTART_COUNT", 0) > 0  # of this machine only
        return dataclasses.replace(group, restarted=group.any(again), job=_job())

    def share(self, indices: range) -> range:
        """Return this process's part of the tasks: parts follow each other by rank, and the first ones are longer by one where they must.

        >>> [Group(rank, size=3).share(range(10, 18)) for rank in range(3)]
        [range(10, 13), range(13, 16), range(16, 18)]
        """
        least, longer = divmod(len(indices), self.size)
        begin = self.rank * least + min(self.rank, longer)
        return indices[begin : begin + least + (self.rank < longer)]

    @torch.no_grad()
    def mean_(self, parameters: Iterable[Tensor], tasks: int, step: Step) -> Step:
        """Turn every `.grad`, a mean over this process's tasks, into the mean over all tasks, and say what holds for all.

        Args:
            parameters: the meta-parameters.
            tasks: how many this process had; none will do.
            step: the mean loss over them, this process's clock, and whether it was told to stop.
        """
        if self.size == 1:
            return step
        weights = list(parameters)
        given = [
            float(weight.grad is not None) for weight in weights
        ]  # what has no gradient anywhere must have none afterwards
        figures = torch.tensor([tasks, tasks * step.loss, step.seconds if self.rank == 0 else 0.0, step.stop, *given])
        flat = [torch.zeros_like(w).flatten() if w.grad is None else (tasks * w.grad).flatten() for w in weights]
        bucket = self._sum(torch.cat([*flat, figures.to(weights[0].device)]))
        *gradients, figures = bucket.split([*(weight.numel() for weight in weights), len(figures)])
        count, loss, seconds, stop, *given = figures.tolist()
        for weight, gradient, anywhere in zip(weights, gradients, given, strict=True):
            weight.grad = torch.empty_like(weight).copy_(gradient.view_as(weight) / count) if anywhere else None
        return Step(loss / count, seconds, stop > 0)

    def any(self, flag: bool) -> bool:
        """Return whether a flag is set in any process."""
        return flag if self.size == 1 else bool(self._sum(torch.tensor(float(flag))) > 0)

    def first(self, work: Callable[[], T]) -> T:
        """Call `work` in the first process only, and return its result in all, with tensors on the CPU; an error there is raised in all."""
        if self.size == 1:
            return work()
        result: list[Any] = [None, None]
        if self.rank == 0:
            try:
                result[0] = tree_map_only(Tensor, Tensor.cpu, work())
            except QuickstudyError as error:
                result[1] = error
        with self._together():
            dist.broadcast_object_list(result, src=0)
        if result[1] is not None:
            raise result[1]
        return result[0]

    def same_(self, module: nn.Module) -> None:
        """Give every process the parameters and buffers of the first one."""
        state = self.first(lambda: dict(module.state_dict()))
        if self.rank > 0:
            module.load_state_dict(state)

    def gather(self, values: Sequence[float]) -> list[float]:
        """Return the values of all processes, by rank."""
        if self.size == 1:
            return list(values)
        parts: list[Any] = [None] * self.size
        with self._together():
            dist.all_gather_object(parts, list(values))
        return [value for part in parts for value in part]

    def _sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes; it is summed on the CPU if the device has no backend of its own."""
        summed = values if values.device.type == "cuda" else values.cpu()
        with self._together():
            dist.all_reduce(summed)
        return summed.to(values.device)

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """Report a failure within as the loss of another process."""
        try:
            yield
        except RuntimeError as error:  # neither gloo nor NCCL raises anything narrower
            why = str(error).partition("\n")[0]
            raise ProcessError(
                f"process {self.rank} of {self.size} has lost the others: {why}. The last checkpoint stays; see what another process "
                "said, and resume."
            ) from error


ALONE = Group()


def launched() -> bool:
    """Return whether this process was started as one of several."""
    return "RANK" in os.environ and _variable("WORLD_SIZE", 1) > 1


def is_first() -> bool:
    """Return whether this process is the one that writes and speaks; true without a group."""
    return not launched() or _variable("RANK") == 0


def _job() -> str:
    """Return the launch's name, or else the process that launched this one, which stays when its children are started again."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return f"launched by {os.getppid()}" if name == "none" else name


def check_devices(processes: int) -> None:
    """Raise a ConfigError unless every process on this machine has a GPU of its own, or there is none."""
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise ConfigError(
            f"{processes} processes on this machine, which has {torch.cuda.device_count()} GPUs; expected at most one process for each. "
            "Start fewer, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the CPU."
        )


def _variable(name: str, default: int | None = None) -> int:
    """Return a variable of the environment as a whole number."""
    value = os.environ.get(name, default)
    try:
        return int(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the variable {name} is {value!r}; expected a whole number, as torchrun sets it.") from error
