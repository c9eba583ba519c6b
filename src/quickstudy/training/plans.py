"""The exact meta-gradient of a batch of tasks, computed in the way that is fastest for this learner, net and machine."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from quickstudy.functional.call import trainable
from quickstudy.learner import Learner
from quickstudy.task import Task
from quickstudy.training.graphs import Captured
from quickstudy.training.memory import Made
from quickstudy.training.meta_gradient import Mapping, added, summed_gradient, tensors_of

PAYS_AFTER = 30.0
"""Seconds of training from which it is worth some seconds to capture graphs and to try several workers."""
TRIAL_TASKS = 32
"""Most tasks of a trial."""
MOST_BYTES = 4 * 2**30
"""Of new tensors that a chunk of tasks makes under vmap, freed ones included: several times what it needs at once."""
TRIAL_SECONDS = 0.5
"""Seconds of passes after which a plan is not tried once more."""
COMPILES_AFTER = 300.0
"""Seconds of training from which it is worth a minute to compile."""
SHORT = 2e-5
"""Mean seconds of an operation below which most of them is the call: there compiling pays, elsewhere it brings little (8 % for Conv4)."""
MOST_COMPILED = 2500
"""Operations of the longest graph that is compiled: compilers take more than twice as long for twice as many, and 80 seconds for 2,000."""
EXACT, ROUNDED = 1e-6, 0.25
"""Largest relative difference between the gradients of two engines in float64, and in less: rounding, which ReLU and max-pooling turn
into other paths of the gradient (in second order through 5 steps, a plain loop in float32 is off by up to 0.2 of its float64 value)."""
COMPARED_TASKS = 2
"""Tasks whose gradients are compared in float64."""
NUDGE = 0.1
"""By how much, times a normal number, weights are moved for that."""
JOINT_GAIN = 1.4
"""How many times as fast as under `vmap` a joint gradient is at most."""
TRIAL_SHARE = 0.05
"""Of a training, the most that it may take to try a plan that is rarely the best."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a batch of tasks is worked through.

    Args:
        mapping: `loop` over tasks; `vmap`, all tasks of a chunk in every operation; or `joint`, the same with one gradient for all of
            them, which is faster where tasks share most weights (ANIL, prototypes), and not exact for every layer.
        captured: replay a captured graph, instead of running Python, autograd and vmap anew.
        workers: threads that replay captured graphs of tasks, or chunks, at the same time; with several, every operation runs on one
            thread.
        chunk: most tasks that vmap holds in memory at once; None for all.
        compiled: the captured graph is compiled to machine code; with one worker.
    """

    mapping: Mapping = "loop"
    captured: bool = False
    workers: int = 1
    chunk: int | None = None
    compiled: bool = False

    def __str__(self) -> str:
        kind = "compiled " if self.compiled else "captured "
        return f"{kind * self.captured}{self.mapping}" + (f" x{self.workers}" if self.workers > 1 else "")


class Engine:
    """Sets `.grad` of every meta-parameter to the mean over a batch of tasks.

    Args:
        learner: whose `loss` is differentiated.
        plan: how.
    """

    def __init__(self, learner: Learner, plan: Plan) -> None:
        self.learner, self.plan = learner, plan
        self.gradient = summed_gradient(learner, plan.mapping)
        self.captured = Captured(learner, self.gradient, compiled=plan.compiled) if plan.captured else None

    def __call__(self, tasks: Task) -> Tensor:
        """Set the gradients; the mean loss over the tasks, a scalar."""
        count = tasks.count
        parameters, buffers = tensors_of(self.learner)
        chunks = [tasks[part] for part in self._chunks(count)]
        if self.captured is None:
            parts = [self.gradient(parameters, buffers, chunk) for chunk in chunks]
        else:
            parts = self.captured.replay(parameters, buffers, chunks, self.plan.workers)
        gradients, loss = added(parts)
        for name, parameter in trainable(self.learner).items():
            parameter.grad = gradients[name] / count
        return loss / count

    def _chunks(self, count: int) -> list[slice]:
        """Chunks of sizes as equal as can be, since every size is captured anew."""
        most = 1 if self.plan.mapping == "loop" else min(self.plan.chunk or count, -(-count // self.plan.workers))
        parts = -(-count // most)
        return [slice(part * count // parts, (part + 1) * count // parts) for part in range(parts)]


def meta_gradient(learner: Learner, tasks: Task, mapping: Mapping, chunk: int | None = None) -> Tensor:
    """One meta-gradient without preparations: sets `.grad` to the mean over the tasks, and returns the mean loss, a scalar."""
    return Engine(learner, Plan(mapping, chunk=chunk))(tasks)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What of a plan is fixed; None is left to be measured."""

    mapping: Literal["loop", "vmap"] | None = None
    captured: bool | None = None
    workers: int | None = None
    chunk: int | None = None
    compiled: bool | None = None

    def plan(self) -> Plan | None:
        """The plan, if nothing is open."""
        open_within = self.workers is None or (self.workers == 1 and self.compiled is None)
        if self.mapping is None or self.captured is None or (self.captured and open_within):
            return None
        return Plan(self.mapping, self.captured, self.workers or 1, self.chunk, bool(self.compiled))

    def graphs(self) -> bool:
        """Whether what is fixed needs captured graphs."""
        return bool(self.captured or self.compiled or (self.workers or 1) > 1)


def choose_engine(learner: Learner, tasks: Task, wanted: Wanted, run: Callable[[float], float]) -> tuple[Engine, str]:
    """Measure what is left open, on a batch of tasks; the fastest engine, and the figures that say why.

    Args:
        learner: its gradients are overwritten.
        tasks: a batch of tasks, as they will come.
        wanted: what is fixed.
        run: seconds that the whole training takes, from the seconds that a task takes.
    """
    trials = _Trials(learner, tasks[: min(TRIAL_TASKS, tasks.count)])
    for mapping in (wanted.mapping,) if wanted.mapping else ("loop", "vmap"):
        trials.add(Plan(mapping, chunk=wanted.chunk if mapping == "loop" else wanted.chunk or _chunk(learner, tasks)))
    long = run(1 / max(trials.speeds.values())) > PAYS_AFTER
    if wanted.graphs() or (wanted.captured is None and long):
        for plan, speed in list(trials.speeds.items()):
            if speed * 3 > max(trials.speeds.values()):
                trials.add(dataclasses.replace(plan, captured=True))
    several = wanted.mapping is None and trials.tasks.count > 1
    for plan in [plan for plan in trials.speeds if plan.captured and plan.mapping == "vmap" and plan.chunk != 1 and several]:
        near = trials.speeds[plan] * JOINT_GAIN > max(trials.speeds.values())
        if near and trials.cheap(plan, run) and trials.joint_is_exact():
            trials.add(dataclasses.replace(plan, mapping="joint"))
    best = trials.best(wanted)
    if best.captured and tasks.device.type == "cpu":
        trials.add(dataclasses.replace(best, workers=wanted.workers or torch.get_num_threads()))
    alone = dataclasses.replace(best, workers=1)
    pays = run(1 / trials.speeds[best]) > COMPILES_AFTER and trials.short(alone)
    if best.captured and (wanted.compiled or (wanted.compiled is None and (wanted.workers or 1) == 1 and pays)):
        compiled, other = dataclasses.replace(alone, compiled=True), dataclasses.replace(alone, mapping="vmap")
        trials.add(compiled)
        fails = compiled not in trials.engines
        if alone.mapping == "joint" and trials.short(other) and (fails or trials.cheap(compiled, run)):
            trials.add(dataclasses.replace(other, compiled=True))  # of which compilers may make more
    best = trials.best(wanted)
    return trials.engines[best], f"tasks/s: {trials}"


def _chunk(learner: Learner, tasks: Task) -> int | None:
    """Most tasks that vmap may hold at once by `MOST_BYTES`; None for all of them. Measured on one task."""
    with Made() as made:
        Engine(learner, Plan())(tasks[:1])
    most = max(1, MOST_BYTES // max(made.bytes, 1))
    return most if most < tasks.count else None


class _Trials:
    """Engines, their speeds on the same tasks, and the seconds that their trials took."""

    def __init__(self, learner: Learner, tasks: Task) -> None:
        self.learner, self.tasks, self.kind = learner, tasks, tasks.device.type
        self.engines: dict[Plan, Engine] = {}
        self.speeds: dict[Plan, float] = {}
        self.took: dict[Plan, float] = {}
        self.failures: list[str] = []
        self.right: tuple[Tensor, Tensor] | None = None

    def add(self, plan: Plan) -> None:
        """Measure a plan, or note why it cannot be used. The first must work, and its gradients are what others are held against."""
        if plan in self.engines:
            return
        begin, engine = time.perf_counter(), Engine(self.learner, plan)
        try:
            found = self._gradients(engine)  # warms up, and captures
            right = self._agrees(found)
            seconds = self._seconds(engine) if right else math.inf
        except (RuntimeError, NotImplementedError) as error:  # an operation that vmap or the tracer does not know
            if self.right is None:
                raise
            self.failures.append(f"{plan} fails ({str(error).splitlines()[0][:60]})")
            return
        if not right:
            self.failures.append(f"{plan} fails (another gradient)")
            return
        self.right = self.right or found
        self.engines[plan], self.speeds[plan] = engine, self.tasks.count / seconds
        self.took[plan] = time.perf_counter() - begin

    def _gradients(self, engine: Engine) -> tuple[Tensor, Tensor]:
        """In full precision, and as autocast rounds it; the same one where it does not."""
        used = _gradient(engine, self.tasks)
        if not torch.is_autocast_enabled(self.kind):
            return used, used
        with torch.autocast(self.kind, enabled=False):  # by an engine whose graph goes again
            return _gradient(Engine(self.learner, engine.plan), self.tasks), used

    def _agrees(self, found: tuple[Tensor, Tensor]) -> bool:
        """Whether gradients are near enough to those of the first plan. In mixed precision rounding alone may turn one into another (by the
        whole of its length, in second order through kinks), so that it must be a number, and point the same way."""
        if self.right is None or not self.right[0].isfinite().all():
            return True
        (whole, used), (right, right_used) = found, self.right
        same_way = used is whole or bool(torch.dot(used, right_used) > 0)  # NaN is not
        return same_way and _close(whole, right)

    def joint_is_exact(self) -> bool:
        """Whether a joint gradient is that of a loop, in float64, where kinks hardly count; noted where it is not. The weights are moved a
        little: where some are zero, as at the start, an error may be hidden."""
        try:
            learner = copy.deepcopy(self.learner).double()
            tasks = tree_map(lambda part: part.double() if part.is_floating_point() else part, self.tasks[:COMPARED_TASKS])
            random = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for value in learner.parameters():
                    value.add_(NUDGE * torch.randn(value.shape, generator=random, dtype=value.dtype).to(value.device))
            with torch.autocast(self.kind, enabled=False):
                exact = _close(*(_gradient(Engine(learner, Plan(mapping)), tasks) for mapping in ("joint", "loop")))
            why = "another gradient in float64"
        except (RuntimeError, NotImplementedError, TypeError) as error:  # no copy, or no float64 on this device
            exact, why = False, str(error).splitlines()[0][:60]
        if not exact:
            self.failures.append(f"joint fails ({why})")
        return exact

    def _seconds(self, engine: Engine) -> float:
        """Of one pass: the least of three, as other work on the machine can only add to it; fewer where they are long."""
        passes: list[float] = []
        while len(passes) < 3 and sum(passes) < TRIAL_SECONDS:
            begin = time.perf_counter()
            float(engine(self.tasks))  # float waits for a GPU
            passes.append(time.perf_counter() - begin)
        return min(passes)

    def cheap(self, plan: Plan, run: Callable[[float], float]) -> bool:
        """Whether another trial like that of a plan takes little of the training."""
        return plan in self.took and self.took[plan] < TRIAL_SHARE * run(1 / self.speeds[plan])

    def operations(self, plan: Plan) -> float:
        """Length of the graph of a captured plan; infinite where nothing is captured."""
        captured = self.engines[plan].captured if plan in self.engines else None
        return math.inf if captured is None else max(captured.operations, 1)

    def short(self, plan: Plan) -> bool:
        """Whether a captured plan is worth compiling: few operations, of which each takes so little time that most of it is the call."""
        operations = self.operations(plan)
        return operations <= MOST_COMPILED and self.tasks.count / self.speeds[plan] / operations < SHORT

    def best(self, wanted: Wanted) -> Plan:
        """The fastest; captured, compiled, and with so many workers, if that is wanted and works."""
        graphs = [plan for plan in self.speeds if plan.captured] if wanted.graphs() else []
        allowed = [plan for plan in graphs if plan.compiled or not wanted.compiled]
        as_many = [plan for plan in allowed if plan.workers == (wanted.workers or plan.workers)]
        return max(as_many or allowed or graphs or self.speeds, key=self.speeds.__getitem__)

    def __str__(self) -> str:
        return ", ".join([f"{plan} {speed:.1f}" for plan, speed in self.speeds.items()] + self.failures)


def _gradient(engine: Engine, tasks: Task) -> Tensor:
    """What the engine sets for these tasks, in one row; a copy."""
    engine(tasks)
    return torch.cat([value.grad.flatten() for value in engine.learner.parameters() if value.grad is not None])


def _close(found: Tensor, right: Tensor) -> bool:
    """Whether a gradient is as near to the right one as rounding lets it be; NaN is not."""
    limit = EXACT if found.dtype == torch.float64 else ROUNDED
    return bool(torch.dist(found, right) <= limit * right.norm().clamp(min=1e-30))
