"""The choice of an engine's plan: a ladder of moves, each tried if what it may save is more than it costs."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from quickstudy.learner import Learner, annealing, set_progress
from quickstudy.task import Task
from quickstudy.training.engine import Engine
from quickstudy.training.memory import Made
from quickstudy.training.meta_gradient import in_double
from quickstudy.training.settings import EngineSettings, plan


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of trials and of their comparison.

    Args:
        share: largest share of the training that one trial may take.
        tasks: most tasks of a trial.
        seconds: seconds of passes after which a plan is not timed once more.
        bytes: upper bound on the bytes that one chunk allocates under vmap, including tensors already freed; peak memory is several
            times smaller.
        call: seconds that calling one operation of a captured graph takes (measured on Conv4 and on rows, on one core); if operations
            take less than this on average, compiling pays off, elsewhere it brings little (8 % for Conv4).
        exact: largest relative difference between the gradients of two plans in float64.
        rounded: the same in float32 and less, which ReLU and max-pooling turn into other paths of the gradient: in second order
            through 5 steps, a plain loop in float32 is off by up to 0.2 of its float64 value.
        compared: tasks whose gradients are compared in float64.
        progress: fractions of the training at which they are compared, since a loss that anneals may be exact at one end only.
    """

    share: float = 0.05
    tasks: int = 32
    seconds: float = 0.5
    bytes: int = 4 * 2**30
    call: float = 2e-5
    exact: float = 1e-6
    rounded: float = 0.25
    compared: int = 2
    progress: tuple[float, ...] = (0.0, 0.5, 1.0)


LIMITS = Limits()


@dataclasses.dataclass(frozen=True)
class Move:
    """One way to make a plan faster.

    Args:
        name: of the move, in words.
        change: the changed plan, or None if the move does not apply to a plan in these trials.
        seconds: what a trial takes beside another trial of the plan.
        seconds_per_operation: the same, for each operation of the captured graph.
        gain: how many times as fast it is at most.
    """

    name: str
    change: Callable[[_Trials, EngineSettings], EngineSettings | None]
    seconds: float
    seconds_per_operation: float
    gain: float


def choose_engine(learner: Learner, tasks: Task, wanted: EngineSettings, run: Callable[[float], float]) -> tuple[Engine, str]:
    """Measure what is left open, on a batch of tasks; return the fastest engine, and the figures that say why.

    Args:
        learner: its gradients are overwritten.
        tasks: a batch of tasks, as they will come.
        wanted: what is fixed.
        run: seconds that the whole training takes, from the seconds that a task takes.
    """
    trials = _Trials(learner, tasks[: min(LIMITS.tasks, tasks.count)], wanted, run)
    for mapping in ("loop", "vmap") if wanted.mapping == "auto" else (wanted.mapping,):
        chunk = wanted.chunk if mapping == "loop" else wanted.chunk or _chunk(learner, tasks)
        trials.add(plan(mapping, chunk=chunk))
    for move in MOVES:
        for tried in sorted(trials.speeds, key=trials.speeds.__getitem__, reverse=True):
            changed = move.change(trials, tried)
            if changed is not None and (trials.asks_for(changed, move.gain) or trials.pays(move, tried)):
                trials.add(changed)
    return trials.engines[trials.best()], f"tasks/s: {trials}"


def _captured(trials: _Trials, tried: EngineSettings) -> EngineSettings | None:
    """Return the plan with a captured graph."""
    return dataclasses.replace(tried, capture=True) if trials.wanted.capture is not False and not tried.capture else None


def _joint(trials: _Trials, tried: EngineSettings) -> EngineSettings | None:
    """Return the plan with one gradient for what tasks share, if tasks are mapped and the result is exact."""
    several = trials.wanted.mapping == "auto" and trials.tasks.count > 1 and tried.chunk != 1
    if not (several and tried.capture and tried.mapping == "vmap"):
        return None
    return dataclasses.replace(tried, mapping="joint")


def _threads(trials: _Trials, tried: EngineSettings) -> EngineSettings | None:
    """Return the plan on as many threads as are wanted, or as torch would use."""
    workers = trials.wanted.workers or torch.get_num_threads()
    applies = tried.capture and tried.workers == 1 and not tried.compile and trials.kind == "cpu" and workers > 1
    return dataclasses.replace(tried, workers=workers) if applies else None


def _compiled(trials: _Trials, tried: EngineSettings) -> EngineSettings | None:
    """Return the plan with a compiled graph, if most of its time is that of calling operations."""
    allowed = trials.wanted.compile is not False and (trials.wanted.workers or 1) == 1
    if not (allowed and tried.capture and tried.workers == 1 and not tried.compile):
        return None
    changed = dataclasses.replace(tried, compile=True)
    return changed if trials.wanted.compile or trials.short(tried) else None


MOVES = (
    Move("capture", _captured, seconds=0.5, seconds_per_operation=0.0, gain=3.0),
    Move("joint", _joint, seconds=0.0, seconds_per_operation=0.0, gain=1.4),
    Move("threads", _threads, seconds=0.0, seconds_per_operation=0.0, gain=2.0),
    Move("compile", _compiled, seconds=5.0, seconds_per_operation=0.04, gain=7.0),
)
"""Ladder of moves with costs and gains as measured on 2 to 16 cores: ANIL on a strided net is 1.4 times as fast with a joint gradient, 16
threads are twice as fast as operations on 16 threads, and sinusoids are 4 to 7 times as fast compiled, which takes 80 seconds for 2,000
operations."""


class _Trials:
    """Engines, their speeds on the same tasks, and the seconds that their trials took."""

    def __init__(self, learner: Learner, tasks: Task, wanted: EngineSettings, run: Callable[[float], float]) -> None:
        self.learner, self.tasks, self.kind, self.wanted, self.run = learner, tasks, tasks.device.type, wanted, run
        self.engines: dict[EngineSettings, Engine] = {}
        self.speeds: dict[EngineSettings, float] = {}
        self.took: dict[EngineSettings, float] = {}
        self.failures: list[str] = []
        self.right: tuple[Tensor, Tensor] | None = None
        self.joint: bool | None = None

    def add(self, tried: EngineSettings) -> None:
        """Measure a plan, or note why it cannot be used. The first must work, and its gradients are what others are held against."""
        if tried in self.engines or (tried.mapping == "joint" and not self.joint_is_exact()):
            return
        begin, engine = time.perf_counter(), Engine(self.learner, tried)
        try:
            found = self._gradients(engine)  # warms up, and captures
            right = self._agrees(found)
            seconds = self._seconds(engine) if right else math.inf
        except (RuntimeError, NotImplementedError) as error:  # an operation that vmap or the tracer does not know
            if self.right is None:
                raise
            self.failures.append(f"{tried} fails ({str(error).splitlines()[0][:60]})")
            return
        if not right:
            self.failures.append(f"{tried} fails (another gradient)")
            return
        self.right = self.right or found
        self.engines[tried], self.speeds[tried] = engine, self.tasks.count / seconds
        self.took[tried] = time.perf_counter() - begin

    def pays(self, move: Move, tried: EngineSettings) -> bool:
        """Return whether a move may save more than its trial costs, and the trial takes little of the training."""
        best = max(self.speeds.values())
        whole = self.run(1 / best)
        saved = whole * (1 - best / (self.speeds[tried] * move.gain))
        operations = self.operations(tried) if move.seconds_per_operation else 0
        cost = self.took[tried] + move.seconds + move.seconds_per_operation * operations
        return cost < min(saved, LIMITS.share * whole)

    def asks_for(self, changed: EngineSettings, gain: float) -> bool:
        """Return whether the settings ask for a changed plan, whatever its trial costs: the best of those that could be the fastest."""
        wanted = self.wanted
        if changed.compile or changed.workers != 1:
            asked = wanted.compile if changed.compile else changed.workers == wanted.workers
            return bool(asked) and changed.mapping == self.best().mapping
        before = dataclasses.replace(changed, capture=False)
        return wanted.wants_graphs() and self.speeds.get(before, 0.0) * gain > max(self.speeds.values())

    def joint_is_exact(self) -> bool:
        """Return whether a joint gradient is that of a loop, in float64, in which kinks hardly count; note it if it is not."""
        if self.joint is not None:
            return self.joint
        try:
            learner, tasks = in_double(self.learner, self.tasks[: LIMITS.compared])
            fractions = LIMITS.progress if annealing(learner) else (0.0,)
            with torch.autocast(self.kind, enabled=False):
                self.joint = all(_joint_is_looped(learner, tasks, done) for done in fractions)
            why = "another gradient in float64"
        except (RuntimeError, NotImplementedError, TypeError) as error:  # no copy, or no float64 on this device
            self.joint, why = False, str(error).splitlines()[0][:60]
        if not self.joint:
            self.failures.append(f"joint fails ({why})")
        return self.joint

    def operations(self, tried: EngineSettings) -> float:
        """Return the length of the graph of a captured plan; infinite if nothing is captured."""
        captured = self.engines[tried].captured
        return math.inf if captured is None else max(captured.operations, 1)

    def short(self, tried: EngineSettings) -> bool:
        """Return whether the operations of a captured plan take so little time that most of it is their calls."""
        calls = self.operations(tried) * len(self.engines[tried].chunks(self.tasks.count))
        return self.tasks.count / self.speeds[tried] / calls < LIMITS.call

    def best(self) -> EngineSettings:
        """Return the fastest plan; captured, compiled, and with so many workers, if that is wanted and works."""
        wanted = self.wanted
        graphs = [tried for tried in self.speeds if tried.capture] if wanted.wants_graphs() else []
        allowed = [tried for tried in graphs if tried.compile or not wanted.compile]
        as_many = [tried for tried in allowed if tried.workers == (wanted.workers or tried.workers)]
        return max(as_many or allowed or graphs or self.speeds, key=self.speeds.__getitem__)

    def _gradients(self, engine: Engine) -> tuple[Tensor, Tensor]:
        """Return the gradient in full precision and under autocast; without autocast both are one tensor."""
        used = _gradient(engine, self.tasks)
        if not torch.is_autocast_enabled(self.kind):
            return used, used
        with torch.autocast(self.kind, enabled=False):  # by an engine whose graph goes again
            return _gradient(Engine(self.learner, engine.plan), self.tasks), used

    def _agrees(self, found: tuple[Tensor, Tensor]) -> bool:
        """Return whether gradients are near enough to those of the first plan.

        In mixed precision rounding alone may turn one into another (by the whole of its length, in second order through kinks), so that
        there a gradient must only be a number and point the same way.
        """
        if self.right is None or not self.right[0].isfinite().all():
            return True
        (whole, used), (right, right_used) = found, self.right
        same_way = used is whole or bool(torch.dot(used, right_used) > 0)  # NaN is not
        return same_way and _close(whole, right)

    def _seconds(self, engine: Engine) -> float:
        """Return the seconds per pass: the minimum of three, since others can only slow a pass down. Long passes run fewer times."""
        passes: list[float] = []
        while len(passes) < 3 and sum(passes) < LIMITS.seconds:
            begin = time.perf_counter()
            float(engine(self.tasks))  # float waits for a GPU
            passes.append(time.perf_counter() - begin)
        return min(passes)

    def __str__(self) -> str:
        return ", ".join([f"{tried} {speed:.1f}" for tried, speed in self.speeds.items()] + self.failures)


def _chunk(learner: Learner, tasks: Task) -> int | None:
    """Return the most tasks that vmap may hold at once by `LIMITS.bytes`, measured on one task; None for all of them."""
    with Made() as made:
        Engine(learner, plan("loop"))(tasks[:1])
    most = max(1, LIMITS.bytes // max(made.bytes, 1))
    return most if most < tasks.count else None


def _gradient(engine: Engine, tasks: Task) -> Tensor:
    """Return a copy of what the engine sets for these tasks, in one row."""
    engine(tasks)
    return torch.cat([value.grad.flatten() for value in engine.learner.parameters() if value.grad is not None])


def _joint_is_looped(learner: Learner, tasks: Task, done: float) -> bool:
    """Return whether the joint gradient is that of a loop, at this fraction of the training."""
    set_progress(learner, done)
    return _close(*(_gradient(Engine(learner, plan(mapping)), tasks) for mapping in ("joint", "loop")))


def _close(found: Tensor, right: Tensor) -> bool:
    """Return whether a gradient is as near to the right one as rounding lets it be; NaN is not."""
    limit = LIMITS.exact if found.dtype == torch.float64 else LIMITS.rounded
    return bool(torch.dist(found, right) <= limit * right.norm().clamp(min=1e-30))
