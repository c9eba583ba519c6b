"""fit: meta-train any learner. The loop is: draw tasks, exact meta-gradient, optimizer step; now and then validate and checkpoint."""

from __future__ import annotations

import copy
import dataclasses
import json
import pathlib
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

import lightning_fabric
import torch

from quickstudy import storage
from quickstudy.errors import ModelError, TrainingError
from quickstudy.functional.call import trainable
from quickstudy.inputs.image import ImageSpec
from quickstudy.layers.check import unchanged_buffers
from quickstudy.learner import Learner
from quickstudy.task import Task
from quickstudy.training import checkpoint
from quickstudy.training.describing import describe_module
from quickstudy.training.evaluate import Result, TaskSource, check_fits, evaluate
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.plans import Engine, Plan, choose_engine
from quickstudy.training.prefetch import Prefetch
from quickstudy.training.processes.group import ALONE, Group, Step
from quickstudy.training.processes.interrupt import deferred_interrupt
from quickstudy.training.progress import Progress, silent
from quickstudy.training.saving import SavedLearner, save_learner
from quickstudy.training.settings import TrainingSettings
from quickstudy.training.tracking import Tracker

CALIBRATION_TASKS = range(2**40, 2**40 + 16)
"""Training tasks, far beyond those that training reaches, over which population statistics are measured."""

BLOWN_UP = 1e4
"""A weight as large as this is the outer loop's doing."""

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


@dataclasses.dataclass
class Run:
    """Where a training stands: everything that a checkpoint holds, apart from tensors."""

    step: int = 0
    seconds: float = 0.0
    plan: dict[str, Any] | None = None
    """The engine's, once it is chosen."""
    engine: str = ""
    """The plan in words, and why it was chosen."""
    job: str = ""
    """Of the group that wrote the checkpoint."""
    best: float | None = None
    """Mean of the best validation, None before the first."""
    best_step: int = 0
    stale: int = 0
    """Validations since the best one."""


class Trainer:
    """Meta-trains a learner; use `fit`. One object per run, so that each part of the loop stays a short method.

    Args:
        learner: changed in place.
        tasks: training tasks; step `s` uses the tasks `s * tasks_per_step` and following.
        validation: tasks of classes that training never sees, or None.
        settings: the outer loop.
        out: folder of the run, or None to keep nothing on disk; only the first process of a group writes there.
        group: processes that share the tasks of every step.
    """

    def __init__(
        self,
        learner: Learner,
        tasks: TaskSource,
        validation: TaskSource | None,
        settings: TrainingSettings,
        out: pathlib.Path | None,
        group: Group = ALONE,
    ) -> None:
        keep_freed_memory()
        self.settings, self.group = settings.suited_to(learner), group
        devices = [group.local_rank] if torch.cuda.is_available() else 1
        self.fabric = lightning_fabric.Fabric(accelerator="auto", devices=devices, precision=self.settings.precision)
        if self.settings.threads or group.local_size > 1:
            torch.set_num_threads(self.settings.threads or 1)
        self.learner = learner.eval().to(self.fabric.device)
        self.tasks, self.validation, self.out = tasks, validation, out
        self.parameters = list(trainable(learner).values())
        if not self.parameters:
            how = "call requires_grad_() on some that are frozen" if list(learner.parameters()) else "choose another net"
            raise ModelError(f"{type(learner).__name__} on this net has no parameters to train; use it as it is, or {how}.")
        describe_module(learner)
        check_fits(learner, tasks)
        make_optimizer = OPTIMIZERS[self.settings.optimizer or "adam"]
        self.optimizer = make_optimizer(self.parameters, lr=0.0, weight_decay=self.settings.weight_decay)
        self.run = Run()
        self.best: dict[str, torch.Tensor] | None = None
        self.spec = tasks.input if isinstance(getattr(tasks, "input", None), ImageSpec) else None
        self.tracker = Tracker(None, 0)
        self.engine = Engine(learner, Plan())
        device = self.fabric.device  # on a CPU, drawing takes little beside a step, and a thread of its own saves nothing
        self.drawn = Prefetch(self._draw, self.settings.steps, device, background=device.type != "cpu")

    def begin(self, resume: bool) -> None:
        """Take `out`, go on from its checkpoint if that is asked for, and let all processes stand where the first one stands."""
        optimizer, self.run = self.group.first(lambda: self._open(resume))
        self.group.same_(self.learner)
        if self.group.rank > 0:
            self.optimizer.load_state_dict(optimizer)

    def train(self, progress: Progress) -> None:
        """Step until the steps, the minutes or the patience are used up. Ctrl-C saves first, at the end of the step."""
        began = time.monotonic() - self.run.seconds
        saved_at = self.run.seconds
        try:
            with deferred_interrupt(shared=self.group.size > 1) as interrupted, self.drawn:
                self._choose_engine(progress)
                while not self._over():
                    row, stop = self._one_step(began, interrupted)
                    self.tracker.log(self.run.step, row)
                    done = self.settings.done(self.run.step, self.run.seconds)
                    progress.update(done, row)
                    due = self.run.seconds - saved_at > 60 * self.settings.checkpoint_minutes
                    if "validation_ci95" in row or done >= 1 or due or stop:
                        self.group.first(self.save_checkpoint)
                        saved_at = self.run.seconds
                    if stop:
                        raise self._interrupted()
        finally:
            self.tracker.close()

    def save_checkpoint(self) -> None:
        """Everything that is needed to go on, in `out`; nothing without a folder."""
        if self.out is not None:
            checkpoint.save(self.out / storage.CHECKPOINT, self.learner, self.optimizer, self._facts())

    def load_checkpoint(self) -> None:
        """Go on from where `out` stands."""
        if self.out is None:
            return
        facts = checkpoint.load(self.out / storage.CHECKPOINT, self.learner, self.optimizer)
        checkpoint.check_same(facts["began"], self._facts()["began"], self.out)
        self.run = Run(**facts["run"])

    def calibrated(self) -> Learner:
        """The learner with its population statistics measured; the same in every process, also where processors differ."""
        batch = self.tasks.batch(CALIBRATION_TASKS).to(self.fabric.device)
        self.learner.calibrate(batch[i] for i in range(len(CALIBRATION_TASKS)))
        self.group.same_(self.learner)
        return self.learner

    def saved(self, result: Result | None) -> SavedLearner:
        """The learner as it is, with where it comes from."""
        info: dict[str, Any] = {
            "trained_on": self.tasks.describe(),
            "steps": self.run.step,
            "minutes": round(self.run.seconds / 60, 2),
            "engine": self.run.engine,
            "settings": dataclasses.asdict(self.settings),
        }
        if result is not None:
            info["validation"] = result.to_dict()
        return SavedLearner(self.learner, self.spec, info, self.tasks.target)

    def finish(self) -> SavedLearner:
        """The best learner by validation (the last one without), set in the learner, saved, and on the CPU, where it will be used."""
        if self.validation is None:
            self.calibrated()
        info = self.group.first(self._set_best)
        self.group.same_(self.learner)
        return SavedLearner(self.learner.cpu(), self.spec, info, self.tasks.target)

    def _open(self, resume: bool) -> tuple[dict[str, Any], Run]:
        """Claim and load `out`; where the optimizer and the run stand."""
        if self.out is not None:
            if checkpoint.claim(self.out, resume or self._started_again(self.out)):
                self.load_checkpoint()
            self.run.job = self.group.job
            self.tracker = Tracker(self.out, self.run.step)
        return self.optimizer.state_dict(), self.run

    def _started_again(self, out: pathlib.Path) -> bool:
        """Whether the run in the folder is this one, some process of which had died."""
        if not self.group.restarted or not (out / storage.CHECKPOINT).exists():
            return False
        return storage.load(out / storage.CHECKPOINT, "checkpoint").meta["run"].get("job") == self.group.job

    def _set_best(self) -> Mapping[str, Any]:
        """Set the best learner, and save it unless it is saved already; where it comes from."""
        if self.validation is None:
            if self.out is not None:
                save_learner(self.out / storage.LEARNER, self.saved(None))
        elif self.out is None:
            self.learner.load_state_dict(self.best or self.learner.state_dict())
        else:
            _, arrays, meta = storage.load(self.out / storage.LEARNER, "learner")
            self.learner.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
            return meta["info"]
        return self.saved(None).info

    def _one_step(self, began: float, interrupted: Callable[[], bool]) -> tuple[dict[str, float], bool]:
        """A step, and the validation that is due after it; the metrics of both, and whether to stop here."""
        with unchanged_buffers(self.learner):
            step = self._step(began, interrupted)
        self.run.step += 1
        self.run.seconds = step.seconds
        row, stop = self._row(step.loss), step.stop
        last = self.settings.done(self.run.step, self.run.seconds) >= 1
        if self.validation is not None and (self.run.step % self.settings.validate_every == 0 or last):
            row |= self._validate()
            stop = self.group.any(interrupted())
        return row, stop

    def _all_indices(self, step: int) -> range:
        count = self.settings.tasks_per_step
        return range(step * count, (step + 1) * count)

    def _indices(self, step: int) -> range:
        """This process's tasks of a step."""
        return self.group.share(self._all_indices(step))

    def _draw(self, step: int) -> Task:
        return self.tasks.batch(self._indices(step))

    def _step(self, began: float, interrupted: Callable[[], bool]) -> Step:
        mine = self._indices(self.run.step)
        loss = self._meta_gradient(self.run.step)
        step = self.group.mean_(self.parameters, len(mine), Step(loss, time.monotonic() - began, interrupted()))
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip or float("inf"))
        if not (torch.isfinite(norm) and abs(step.loss) < float("inf")):
            raise self._not_a_number(step.loss)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.run.step, self.run.seconds)
        self.optimizer.step()
        return step

    def _meta_gradient(self, step: int) -> float:
        """Set the mean meta-gradient of this process's tasks; their mean loss."""
        if not self._indices(step):  # more processes than tasks
            self.learner.zero_grad(set_to_none=True)
            return 0.0
        tasks = self.drawn.batch(step)
        with self.fabric.autocast():
            return float(self.engine(tasks))

    def _choose_engine(self, progress: Progress) -> None:
        """The engine with which the run began, or the fastest for a run that begins; the same in all processes."""
        plan = self.settings.wanted().plan() if self.run.plan is None else Plan(**self.run.plan)
        if plan is None:
            plan, why = self.group.first(self._fastest)
            self.run.engine = f"{plan} ({why})"
            progress.note(f"engine: {self.run.engine}")
        self.run.engine = self.run.engine or f"{plan} (as set)"
        if plan != self.engine.plan:
            self.engine = Engine(self.learner, plan)
        self.run.plan = dataclasses.asdict(plan)

    def _fastest(self) -> tuple[Plan, str]:
        tasks = self._draw(0).to(self.fabric.device)
        with self.fabric.autocast():
            self.engine, why = choose_engine(self.learner, tasks, self.settings.wanted(), self.settings.seconds)
        return self.engine.plan, why

    def _row(self, loss: float) -> dict[str, float]:
        tasks_per_second = self.run.step * self.settings.tasks_per_step / max(self.run.seconds, 1e-9)
        return {
            "seconds": self.run.seconds,
            "loss": loss,
            "lr": self.optimizer.param_groups[0]["lr"],
            "tasks_per_second": tasks_per_second,
        }

    def _validate(self) -> dict[str, float]:
        assert self.validation is not None
        count, engine = self.settings.validation_tasks, self.settings.engine
        result = evaluate(self.calibrated(), self.validation, count, engine=engine, group=self.group)
        self.run.stale += 1
        best = result.measure.better(result.mean, self.run.best)
        if best:
            self.run.best, self.run.best_step, self.run.stale = result.mean, self.run.step, 0
        self.group.first(lambda: self._keep(result, best))
        return {f"validation_{result.measure.key}": result.mean, "validation_ci95": result.ci95}

    def _keep(self, result: Result, best: bool) -> None:
        """Keep a validated learner as the best one, and as a snapshot where these were asked for."""
        if self.out is not None and self.settings.snapshots:
            save_learner(self.out / "snapshots" / f"step-{self.run.step:07d}.safetensors", self.saved(result))
        if best and self.out is None:
            self.best = {name: value.clone() for name, value in self.learner.state_dict().items()}
        elif best and self.out is not None:
            save_learner(self.out / storage.LEARNER, self.saved(result))

    def _over(self) -> bool:
        patient = self.settings.patience is None or self.run.stale < self.settings.patience
        return self.settings.done(self.run.step, self.run.seconds) >= 1 or not patient

    def _interrupted(self) -> KeyboardInterrupt:
        interrupt = KeyboardInterrupt()
        by_command = self.out is not None and (self.out / "config.yaml").exists()
        how = f"quickstudy train --resume {shlex.quote(str(self.out))}" if by_command else "fit(..., resume=True)"
        where = f"; saved in {self.out}. Go on with: {how}" if self.out else ""
        interrupt.add_note(f"interrupted after step {self.run.step}{where}")
        return interrupt

    def _facts(self) -> dict[str, Any]:
        began = {
            "settings": dataclasses.asdict(self.settings),
            "tasks": self._described(self.tasks),
            "validation": self._described(self.validation) if self.validation else {},
            "learner": describe_module(self.learner),
        }
        return {
            "run": dataclasses.asdict(self.run),
            "began": json.loads(json.dumps(began)),
        }  # as a checkpoint's header holds it

    @staticmethod
    def _described(tasks: TaskSource) -> dict[str, Any]:
        return tasks.describe() | {"tasks_hash": tasks.fingerprint(1)}

    def _not_a_number(self, loss: float) -> TrainingError:
        tasks = self.tasks.batch(self._all_indices(self.run.step)).to(self.fabric.device)
        likely = (
            f"{self.learner.rate}={getattr(self.learner, self.learner.rate)}"
            if self._inner_loop_diverges(tasks)
            else f"lr={self.settings.lr}"
        )
        saved = self.out is not None and (self.out / storage.CHECKPOINT).exists()
        kept = f" The last good checkpoint, in {self.out}, stays." if saved else ""
        return TrainingError(
            f"at step {self.run.step} the loss is {loss} or its gradient is not finite. Most likely {likely} is too large: try a "
            f"third of it, or a smaller clip (now {self.settings.clip}).{kept}"
        )

    def _inner_loop_diverges(self, tasks: Any) -> bool:
        """Whether these tasks, which have no finite loss, have one without the inner loop, from weights that outer steps left small."""
        if not self.learner.rate:
            return False
        if any(not float(value.detach().abs().max()) < BLOWN_UP for value in self.learner.parameters()):
            return False
        still = copy.deepcopy(self.learner)
        setattr(still, still.rate, 0.0)
        with torch.no_grad():
            return all(bool(torch.isfinite(still.loss(tasks[index]))) for index in range(tasks.count))


def fit(
    learner: Learner,
    tasks: TaskSource,
    validation: TaskSource | None = None,
    settings: TrainingSettings | None = None,
    out: str | pathlib.Path | None = None,
    *,
    resume: bool = False,
    progress: Progress = silent,
) -> SavedLearner:
    """Meta-train a learner; in each of several processes of a group (see `Group`), with the same arguments, it trains one together.

    Args:
        learner: changed in place.
        tasks: training tasks.
        validation: tasks of classes that training never sees; the best learner on them is returned and saved.
        settings: the outer loop.
        out: folder for `learner.safetensors` (the best so far), `checkpoint.safetensors`, `metrics.csv` and TensorBoard events; None
            keeps nothing on disk.
        resume: go on from the checkpoint in `out`, to end bit for bit where an unbroken run ends.
        progress: is told how far it is, such as `quickstudy.training.progress.progress_line`.

    Returns:
        The best learner by validation, or the last one without validation.

    Raises:
        TrainingError: the loss stopped being a number; what was saved stays.
        ConfigError: `out` holds a run already, or one with other settings.
        StorageError: a file could not be written; what was saved stays.

    >>> from quickstudy import ClassTasks, evaluate, load_data
    >>> from quickstudy.learners.protonet import ProtoNet
    >>> from quickstudy.nets.conv4 import Conv4
    >>> tasks = ClassTasks(load_data("digits", "train"), ways=3, shots=1, queries=2)
    >>> saved = fit(ProtoNet(Conv4(channels=4)), tasks, settings=TrainingSettings(steps=2, engine="loop"))
    >>> saved.info["steps"]
    2
    """
    folder, group = pathlib.Path(out) if out is not None else None, Group.join()
    progress = progress if group.rank == 0 else silent
    trainer = Trainer(learner, tasks, validation, settings or TrainingSettings(), folder, group)
    trainer.begin(resume)
    if trainer.run.step and not resume:
        progress.note(f"started again, going on after step {trainer.run.step}")
    trainer.train(progress)
    return trainer.finish()
