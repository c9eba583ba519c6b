"""fit: meta-train any learner. The loop is: draw tasks, exact meta-gradient, optimizer step; now and then validate and checkpoint."""

from __future__ import annotations

import copy
import dataclasses
import json
import pathlib
import time
from typing import Any

import lightning_fabric
import torch

from quickstudy import storage
from quickstudy.data.image import ImageSpec
from quickstudy.errors import ModelError, TrainingError
from quickstudy.learner import Learner, hyperparameters
from quickstudy.task import Task
from quickstudy.training import checkpoint
from quickstudy.training.engine import Engine, Plan, choose_engine
from quickstudy.training.evaluate import Result, TaskSource, evaluate
from quickstudy.training.interrupt import deferred_interrupt
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.prefetch import Prefetch
from quickstudy.training.progress import Progress, silent
from quickstudy.training.saving import SavedLearner, check_saveable, describe_net, save_learner
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
    best: float = -1.0
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
        out: folder of the run, or None to keep nothing on disk.
    """

    def __init__(
        self,
        learner: Learner,
        tasks: TaskSource,
        validation: TaskSource | None,
        settings: TrainingSettings,
        out: pathlib.Path | None,
    ) -> None:
        keep_freed_memory()
        self.settings = settings.suited_to(learner)
        self.fabric = lightning_fabric.Fabric(accelerator="auto", devices=1, precision=self.settings.precision)
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        self.learner = learner.to(self.fabric.device)
        self.tasks, self.validation, self.out = tasks, validation, out
        if not list(learner.parameters()):
            raise ModelError(
                f"{type(learner).__name__} on this net has no parameters to train; use it as it is, or choose another net."
            )
        check_saveable(learner)
        make_optimizer = OPTIMIZERS[self.settings.optimizer or "adam"]
        self.optimizer = make_optimizer(learner.parameters(), lr=0.0, weight_decay=self.settings.weight_decay)
        self.run = Run()
        self.best: dict[str, torch.Tensor] | None = None
        self.spec: ImageSpec | None = getattr(tasks, "spec", None)
        self.tracker = Tracker(None, 0)
        self.engine = Engine(learner, Plan())
        device = self.fabric.device  # on a CPU, drawing takes little beside a step, and a thread of its own saves nothing
        self.drawn = Prefetch(self._draw, self.settings.steps, device, background=device.type != "cpu")

    def train(self, progress: Progress) -> None:
        """Step until the steps, the minutes or the patience are used up. Ctrl-C saves first, at the end of the step."""
        began = time.monotonic() - self.run.seconds
        saved_at = self.run.seconds
        try:
            with deferred_interrupt() as interrupted, self.drawn:
                self._choose_engine(progress)
                while not self._over():
                    row = self._one_step(began)
                    self.tracker.log(self.run.step, row)
                    done = self.settings.done(self.run.step, self.run.seconds)
                    progress.update(done, row)
                    due = self.run.seconds - saved_at > 60 * self.settings.checkpoint_minutes
                    if "validation_accuracy" in row or done >= 1 or due or interrupted():
                        self.save_checkpoint()
                        saved_at = self.run.seconds
                    if interrupted():
                        raise self._interrupted()
        finally:
            self.tracker.close()

    def save_checkpoint(self) -> None:
        """Everything that is needed to go on, in `out`; nothing without a folder."""
        if self.out is not None:
            checkpoint.save(self.out / "checkpoint.safetensors", self.learner, self.optimizer, self._facts())

    def load_checkpoint(self) -> None:
        """Go on from where `out` stands."""
        if self.out is None:
            return
        facts = checkpoint.load(self.out / "checkpoint.safetensors", self.learner, self.optimizer)
        checkpoint.check_same(facts["began"], self._facts()["began"], self.out)
        self.run = Run(**facts["run"])

    def calibrated(self) -> Learner:
        """The learner with its population statistics measured."""
        batch = self.tasks.batch(CALIBRATION_TASKS).to(self.fabric.device)
        self.learner.calibrate(batch[i] for i in range(len(CALIBRATION_TASKS)))
        return self.learner

    def saved(self, result: Result | None) -> SavedLearner:
        """The learner as it is, with where it comes from."""
        info: dict[str, Any] = {
            "trained_on": self.tasks.describe(),
            "steps": self.run.step,
            "minutes": round(self.run.seconds / 60, 2),
            "settings": dataclasses.asdict(self.settings),
        }
        if result is not None:
            info["validation"] = result.to_dict()
        return SavedLearner(self.learner, self.spec, info)

    def _one_step(self, began: float) -> dict[str, float]:
        """A step, and the validation that is due after it; the metrics of both."""
        loss = self._step()
        self.run.step += 1
        self.run.seconds = time.monotonic() - began
        row = self._row(loss)
        last = self.settings.done(self.run.step, self.run.seconds) >= 1
        if self.validation is not None and (self.run.step % self.settings.validate_every == 0 or last):
            row |= self._validate()
        return row

    def finish(self) -> SavedLearner:
        """The best learner by validation (the last one without), set in the learner, saved, and on the CPU, where it will be used."""
        info = self.saved(None).info
        if self.validation is None:
            self.calibrated()
            if self.out is not None:
                save_learner(self.out / "learner.safetensors", self.saved(None))
        elif self.out is None:
            self.learner.load_state_dict(self.best or self.learner.state_dict())
        else:
            _, arrays, meta = storage.load(self.out / "learner.safetensors", "learner")
            self.learner.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
            info = meta["info"]
        return SavedLearner(self.learner.cpu(), self.spec, info)

    def _draw(self, step: int) -> Task:
        count = self.settings.tasks_per_step
        return self.tasks.batch(range(step * count, (step + 1) * count))

    def _step(self) -> float:
        tasks = self.drawn.batch(self.run.step)
        with self.fabric.autocast():
            loss = float(self.engine(tasks))
        norm = torch.nn.utils.clip_grad_norm_(self.learner.parameters(), self.settings.clip or float("inf"))
        if not (torch.isfinite(norm) and abs(loss) < float("inf")):
            raise self._not_a_number(tasks, loss)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.run.step, self.run.seconds)
        self.optimizer.step()
        return loss

    def _choose_engine(self, progress: Progress) -> None:
        """The engine with which the run began, or the fastest for a run that begins."""
        plan = self.settings.wanted().plan() if self.run.plan is None else Plan(**self.run.plan)
        if plan is not None:
            self.engine, self.run.plan = Engine(self.learner, plan), dataclasses.asdict(plan)
            return
        tasks = self.tasks.batch(range(self.settings.tasks_per_step)).to(self.fabric.device)
        with self.fabric.autocast():
            self.engine, why = choose_engine(self.learner, tasks, self.settings.wanted(), self.settings.seconds)
        self.run.plan = dataclasses.asdict(self.engine.plan)
        progress.note(f"engine: {self.engine.plan} ({why})")

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
        result = evaluate(self.calibrated(), self.validation, self.settings.validation_tasks)
        self.run.stale += 1
        if self.out is not None and self.settings.snapshots:
            save_learner(self.out / "snapshots" / f"step-{self.run.step:07d}.safetensors", self.saved(result))
        if result.mean > self.run.best:
            self.run.best, self.run.best_step, self.run.stale = result.mean, self.run.step, 0
            if self.out is None:
                self.best = {name: value.clone() for name, value in self.learner.state_dict().items()}
            else:
                save_learner(self.out / "learner.safetensors", self.saved(result))
        return {"validation_accuracy": result.mean, "validation_ci95": result.ci95}

    def _over(self) -> bool:
        patient = self.settings.patience is None or self.run.stale < self.settings.patience
        return self.settings.done(self.run.step, self.run.seconds) >= 1 or not patient

    def _interrupted(self) -> KeyboardInterrupt:
        interrupt = KeyboardInterrupt()
        by_command = self.out is not None and (self.out / "config.yaml").exists()
        how = f"quickstudy train --resume {self.out}" if by_command else "fit(..., resume=True)"
        where = f"; saved in {self.out}. Go on with: {how}" if self.out else ""
        interrupt.add_note(f"interrupted after step {self.run.step}{where}")
        return interrupt

    def _facts(self) -> dict[str, Any]:
        net = getattr(self.learner, "net", None)
        began = {
            "settings": dataclasses.asdict(self.settings),
            "tasks": self._described(self.tasks),
            "validation": self._described(self.validation) if self.validation else {},
            "learner": hyperparameters(self.learner),
            "net": describe_net(net) if isinstance(net, torch.nn.Module) else {},
        }
        return {
            "run": dataclasses.asdict(self.run),
            "began": json.loads(json.dumps(began)),
        }  # as a checkpoint's header holds it

    @staticmethod
    def _described(tasks: TaskSource) -> dict[str, Any]:
        return tasks.describe() | {"tasks_hash": tasks.fingerprint(1)}

    def _not_a_number(self, tasks: Any, loss: float) -> TrainingError:
        likely = f"inner_lr={self.learner.inner_lr}" if self._inner_loop_diverges(tasks) else f"lr={self.settings.lr}"
        saved = self.out is not None and (self.out / checkpoint.NAME).exists()
        kept = f" The last good checkpoint, in {self.out}, stays." if saved else ""
        return TrainingError(
            f"at step {self.run.step} the loss is {loss} or its gradient is not finite. Most likely {likely} is too large: try a "
            f"third of it, or a smaller clip (now {self.settings.clip}).{kept}"
        )

    def _inner_loop_diverges(self, tasks: Any) -> bool:
        """Whether these tasks, which have no finite loss, have one without the inner loop, from weights that outer steps left small."""
        if not isinstance(getattr(self.learner, "inner_lr", None), float):
            return False
        if any(not float(value.detach().abs().max()) < BLOWN_UP for value in self.learner.parameters()):
            return False
        still = copy.deepcopy(self.learner)
        still.inner_lr = 0.0  # pyright: ignore[reportArgumentType]
        with torch.no_grad():
            return all(bool(torch.isfinite(still.loss(tasks[index]))) for index in range(len(tasks.support.y)))


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
    """Meta-train a learner.

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
    folder = pathlib.Path(out) if out is not None else None
    trainer = Trainer(learner, tasks, validation, settings or TrainingSettings(), folder)
    if folder is not None:
        checkpoint.claim(folder, resume)
        if resume:
            trainer.load_checkpoint()
        trainer.tracker = Tracker(folder, trainer.run.step)
    trainer.train(progress)
    return trainer.finish()
