"""Trainer: the outer loop. Draw tasks, exact meta-gradient, optimizer step; now and then validate and write a checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import torch

from quickstudy import storage
from quickstudy.errors import ConfigError, ModelError, TrainingError
from quickstudy.functional.call import trainable
from quickstudy.layers.check import restored_buffers, unchanged_buffers
from quickstudy.learner import Learner, set_progress
from quickstudy.task import Task
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.source import TaskSource, scale_of
from quickstudy.training import checkpoint
from quickstudy.training.best import Best
from quickstudy.training.calibration import fit_temperature, input_statistics, power_of_ways
from quickstudy.training.checkpoint import Run
from quickstudy.training.class_weights import check_class_weights, with_balanced_queries
from quickstudy.training.describing import plain
from quickstudy.training.device import mixed_precision, own_device, precision_advice
from quickstudy.training.diagnosis import likely_rate
from quickstudy.training.engine import Engine
from quickstudy.training.error_weights import check_error_weights, with_error_weights
from quickstudy.training.evaluate import Evaluator, Result, check_fits, check_scale, check_symbols
from quickstudy.training.folder import RunFolder
from quickstudy.training.measures import ACCURACY
from quickstudy.training.memory import peak_megabytes
from quickstudy.training.optimizers import OPTIMIZERS
from quickstudy.training.plans import choose_engine
from quickstudy.training.prefetch import Prefetch
from quickstudy.training.processes.group import ALONE, Group, Step
from quickstudy.training.processes.interrupt import deferred_interrupt
from quickstudy.training.progress import Progress
from quickstudy.training.saving import SavedLearner, describe, to_arrays
from quickstudy.training.settings import EngineSettings, ObjectiveSettings, TrainingSettings, plan
from quickstudy.training.tracking import Tracker

CALIBRATION_TASKS = range(2**40, 2**40 + 16)
"""Training tasks, far beyond those that training reaches, over which population statistics and those of inputs are measured."""


class Trainer:
    """Meta-trains a learner; use `fit`. One object per run, so that each part of the loop stays a short method.

    Args:
        learner: changed in place.
        tasks: training tasks; step `s` uses the tasks `s * tasks_per_step` and following.
        validation: tasks of classes that training never sees, or None.
        settings: the outer loop.
        folder: where the run is kept, or None to keep nothing on disk; only the first process of a group writes there.
        group: processes that share the tasks of every step.
    """

    def __init__(
        self,
        learner: Learner,
        tasks: TaskSource,
        validation: TaskSource | None,
        settings: TrainingSettings,
        folder: RunFolder | None,
        group: Group = ALONE,
    ) -> None:
        self.settings, self.group, self.folder = settings.suited_to(learner), group, folder
        self.device = own_device(group.local_rank)
        self.tasks, self.validation = tasks, validation
        if learner.draws:
            learner.prepare(tasks.batch(range(1))[0])
        self.learner = learner.eval().to(self.device)
        self.weights = list(trainable(learner).values())
        self.spec = tasks.input
        self.run, self.begun = Run(), False
        self._check()
        make_optimizer = OPTIMIZERS[self.settings.optimizer or "adam"]
        self.optimizer = make_optimizer([{"params": self.weights}], lr=0.0, weight_decay=self.settings.weight_decay)
        self.best = Best(folder, self.settings.validation.snapshots)
        self.evaluator = Evaluator(learner, self.settings.engine.mapping)
        self.tracker = Tracker(None, 0)
        self.engine = Engine(learner, plan())
        # on a CPU, drawing takes little beside a step, and a thread of its own saves nothing
        self.drawn = Prefetch(self._draw, self.settings.steps, self.device, background=self.device.type != "cpu")

    def begin(self, again: bool = False) -> None:
        """Open the folder, go on from its checkpoint if that is asked for, and let all processes stand where the first one stands.

        Args:
            again: an earlier attempt of the same launch died here.
        """
        optimizer, self.run = self.group.first(lambda: self._open(again))
        self.group.same_(self.learner)
        if self.group.rank > 0:
            self.optimizer.load_state_dict(optimizer)

    def train(self, progress: Progress) -> None:
        """Step until the steps, the minutes or the patience are used up. Ctrl-C saves first, at the end of the step.

        Args:
            progress: is told how far it is, and whether this goes on after an attempt that died.
        """
        if self.run.step and self.folder is not None and not self.folder.resume:
            progress.note(f"started again, going on after step {self.run.step}")
        began = time.monotonic() - self.run.seconds
        saved_at = self.run.seconds
        stopping = deferred_interrupt(shared=self.group.size > 1)
        with contextlib.closing(self.tracker), stopping as interrupted, self.drawn:
            if self.settings.steps:
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

    def abandon(self) -> None:
        """Remove what this run has written if it began here and made no step, so that the next one may begin in the same folder."""
        if self.folder is not None and self.begun and self.run.step == 0:
            self.folder.abandon()

    def save_checkpoint(self) -> None:
        """Write everything that is needed to go on into the folder; nothing without one."""
        if self.folder is not None:
            checkpoint.save(self.folder.checkpoint, self.learner, self.optimizer, self._facts())

    def calibrated(self) -> Learner:
        """Return the learner with its population statistics measured; the same in every process, also if processors differ."""
        batch = self._calibration_tasks()
        self.learner.calibrate(batch[index] for index in range(batch.count))
        self.group.same_(self.learner)
        return self.learner

    def saved(self, result: Result | None = None) -> SavedLearner:
        """Return the learner as it is, with where it comes from."""
        info: dict[str, Any] = {
            "trained_on": self.tasks.describe(),
            "steps": self.run.step,
            "minutes": round(self.run.seconds / 60, 2),
            "megabytes": round(peak_megabytes(self.device) or 0.0, 1),
            "engine": self.run.engine,
            "settings": dataclasses.asdict(self.settings),
        }
        if result is not None:
            info["validation"] = result.to_dict()
        fixed = self.learner.ways is not None  # to the columns that symbols have in all tasks
        symbols = tuple(info["trained_on"].get("symbols", "")) if fixed else ()
        return SavedLearner(self.learner, self.spec, info, self.tasks.target, symbols=symbols, scale=scale_of(self.tasks))

    def finish(self) -> SavedLearner:
        """Return the best learner by validation (the last one without), calibrated, saved, and on the CPU, where it will be used."""
        set_progress(self.learner, 0.0)
        if self.validation is None:
            self.calibrated()
        elif self.settings.steps == 0:
            self._validate(self.validation)
        found = self.group.first(self._finished)
        self.group.same_(self.learner)
        return dataclasses.replace(self.saved(), learner=self.learner.cpu(), **found)

    def _check(self) -> None:
        """Raise an error for what would only be found when the training has ended: nothing to train, or what cannot be saved."""
        if not self.weights and self.settings.steps:
            how = "call requires_grad_() on some that are frozen" if list(self.learner.parameters()) else "choose another net"
            raise ModelError(
                f"{type(self.learner).__name__} on this net has no parameters to train; use it as it is, or {how}. With steps=0 it "
                "is calibrated, judged and saved without training."
            )
        if self.settings.class_weights == "balanced":
            check_class_weights(self.learner, self.tasks)
        if self.settings.objective != ObjectiveSettings():
            check_error_weights(self.settings.objective, self.learner, self.tasks)
        for tasks in (self.tasks, self.validation):
            if tasks is not None:
                check_fits(self.learner, tasks)
                check_scale(tasks, scale_of(self.tasks))
                check_symbols(tasks, self.saved().symbols)
                plain(tasks.describe(), "tasks.describe()")
        describe(self.saved())
        to_arrays(self.learner.state_dict())

    def _open(self, again: bool) -> tuple[dict[str, Any], Run]:
        """Load or begin the run in the folder; return where the optimizer and the run stand."""
        if self.folder is not None:
            resume = self.folder.resume or self._started_again(again)
            if resume or not (again and self.group.restarted):
                self.folder.check(resume)
            if resume:
                self._load_checkpoint()
            self.run.job = self.group.job
            if not resume:
                self.begun = True
                self.folder.begin()
                self.save_checkpoint()  # so that a run can be resumed wherever it breaks off
            self.tracker = Tracker(self.folder.path, self.run.step)
        return self.optimizer.state_dict(), self.run

    def _load_checkpoint(self) -> None:
        """Go on from where the folder's checkpoint stands."""
        assert self.folder is not None
        facts = checkpoint.load(self.folder.checkpoint, self.learner, self.optimizer)
        checkpoint.check_same(facts["began"], self._facts()["began"], self.folder.path)
        self.run = Run(**facts["run"])

    def _started_again(self, again: bool) -> bool:
        """Return whether the checkpoint in the folder is of an earlier attempt of this launch, a process of which had died."""
        if not self.group.restarted or self.folder is None or not self.folder.checkpoint.exists():
            return False
        return again or storage.load(self.folder.checkpoint, "checkpoint").meta["run"].get("job") == self.group.job

    def _finished(self) -> dict[str, Any]:
        """Set the best learner, measure what travels with it, and save it; return what differs from `saved()`."""
        saved = self.saved() if self.validation is None else self.best.set_in(self.learner, self.saved())
        batch, spec = self._calibration_tasks(), self.spec
        info, temperature, power = dict(saved.info), 1.0, 0.0
        if self.tasks.target == "classes" and (self.validation is not None or batch.support.count):
            temperature, power, error = self._temperature()
            if "validation" in info:
                info["validation"] = info["validation"] | {"ece": ACCURACY.rounded(error)}
        statistics = {} if spec is None else input_statistics(spec, (batch.support if batch.support.count else batch.query).x)
        found = {"info": info, "temperature": temperature, "temperature_power": power, "statistics": statistics}
        self.best.save(dataclasses.replace(saved, **found))
        return found

    def _temperature(self) -> tuple[float, float, float]:
        """Fit the temperature to tasks of two numbers of ways; return it at one way, the power of the ways, and the calibration error.

        The tasks are those of validation, or else training tasks that training never reaches.
        """
        tasks = self.validation or self.tasks
        begin, count = 0 if self.validation else CALIBRATION_TASKS.start, self.settings.validation.tasks
        temperature, error = self._fitted(tasks, range(begin, begin + count))
        other = tasks.of_other_ways() if isinstance(tasks, ClassTasks) and self.learner.ways is None else None
        if other is None:
            return temperature, 0.0, error
        here, there = tasks.describe()["ways"], other.describe()["ways"]
        as_many = range(begin, begin + max(1, count * here // there))  # queries, in all
        power = power_of_ways((here, temperature), (there, self._fitted(other, as_many)[0]))
        return temperature / here**power, power, error

    def _fitted(self, tasks: TaskSource, indices: range) -> tuple[float, float]:
        """Return the temperature that is fitted to these tasks, and the calibration error there."""
        return fit_temperature((judged.predictions, judged.tasks.query) for judged in self.evaluator.judged(tasks, indices))

    def _calibration_tasks(self) -> Task:
        """Return the tasks over which population statistics are measured."""
        return self.tasks.batch(CALIBRATION_TASKS).to(self.device)

    def _one_step(self, began: float, interrupted: Callable[[], bool]) -> tuple[dict[str, float], bool]:
        """Do a step, and the validation that is due after it; return the metrics of both, and whether to stop here."""
        set_progress(self.learner, self.settings.done(self.run.step, self.run.seconds))
        if self.run.step and self.learner.measured_every and self.run.step % self.learner.measured_every == 0:
            self.calibrated()
        with unchanged_buffers(self.learner):
            step = self._step(began, interrupted)
        self.run.step += 1
        self.run.seconds = step.seconds
        row, stop = self._row(step.loss), step.stop
        last = self.settings.done(self.run.step, self.run.seconds) >= 1
        if self.validation is not None and (self.run.step % self.settings.validation.every == 0 or last):
            set_progress(self.learner, 0.0)  # as outside of meta-training, so that the graphs of evaluation stay
            with restored_buffers(self.learner):
                row |= self._validate(self.validation)
            stop = self.group.any(interrupted())
        return row, stop

    def _all_indices(self, step: int) -> range:
        """Return all processes' tasks of a step."""
        count = self.settings.tasks_per_step
        return range(step * count, (step + 1) * count)

    def _indices(self, step: int) -> range:
        """Return this process's tasks of a step."""
        return self.group.share(self._all_indices(step))

    def _draw(self, step: int) -> Task:
        """Draw this process's tasks of a step."""
        tasks = self.tasks.batch(self._indices(step))
        if self.settings.class_weights == "balanced":
            tasks = with_balanced_queries(tasks)
        if self.settings.objective != ObjectiveSettings():
            tasks = with_error_weights(tasks, self.settings.objective)
        if tasks.support.count == 0 and not self.learner.draws:
            raise ConfigError(
                f"{type(self.learner).__name__} is trained on few-shot tasks, but these have no support sets; expected tasks such as those "
                "of ClassTasks, or a learner that is trained on batches of all classes."
            )
        return tasks

    def _step(self, began: float, interrupted: Callable[[], bool]) -> Step:
        """Take a step of the optimizer along the mean meta-gradient of all processes."""
        mine = self._indices(self.run.step)
        loss = self._meta_gradient(self.run.step)
        step = self.group.mean_(self.weights, len(mine), Step(loss, time.monotonic() - began, interrupted()))
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.settings.clip or float("inf"))
        if not (torch.isfinite(norm) and abs(step.loss) < float("inf")):
            raise self._not_a_number(step.loss)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.run.step, self.run.seconds)
        self.optimizer.step()
        return step

    def _meta_gradient(self, step: int) -> float:
        """Set the mean meta-gradient of this process's tasks, and return their mean loss."""
        if not self._indices(step):  # more processes than tasks
            self.learner.zero_grad(set_to_none=True)
            return 0.0
        tasks = self.drawn.batch(step)
        with mixed_precision(self.device, self.settings.precision):
            return float(self.engine(tasks))

    def _choose_engine(self, progress: Progress) -> None:
        """Take the engine with which the run began, or the fastest for a run that begins; the same in all processes."""
        advice = precision_advice(self.device, self.settings.precision) if self.group.rank == 0 else None
        if advice:
            progress.note(advice)
        chosen = self.settings.wanted_engine().plan() if self.run.plan is None else EngineSettings(**self.run.plan)
        if chosen is None:
            chosen, why = self.group.first(self._fastest)
            self.run.engine = f"{chosen} ({why})"
            progress.note(f"engine: {self.run.engine}")
        self.run.engine = self.run.engine or f"{chosen} (as set)"
        if chosen != self.engine.plan:
            self.engine = Engine(self.learner, chosen)
        self.run.plan = dataclasses.asdict(chosen)

    def _fastest(self) -> tuple[EngineSettings, str]:
        """Measure the engine; return its plan, and why it was chosen."""
        tasks = self._draw(0).to(self.device)
        with mixed_precision(self.device, self.settings.precision):
            self.engine, why = choose_engine(self.learner, tasks, self.settings.wanted_engine(), self.settings.seconds)
        return self.engine.plan, why

    def _row(self, loss: float) -> dict[str, float]:
        """Return the metrics of a step."""
        tasks_per_second = self.run.step * self.settings.tasks_per_step / max(self.run.seconds, 1e-9)
        return {
            "seconds": self.run.seconds,
            "loss": loss,
            "lr": self.optimizer.param_groups[0]["lr"],
            "tasks_per_second": tasks_per_second,
        }

    def _validate(self, validation: TaskSource) -> dict[str, float]:
        """Judge the learner, keep it if it is the best, and return the metrics."""
        self.calibrated()
        result = self.evaluator(validation, range(self.settings.validation.tasks), group=self.group)
        self.run.stale += 1
        best = result.measure.better(result.mean, self.run.best)
        if best:
            self.run.best, self.run.best_step, self.run.stale = result.mean, self.run.step, 0
        self.group.first(lambda: self.best.keep(self.saved(result), self.run.step, best))
        return {f"validation_{key}": mean for key, mean in result.means.items()} | {"validation_ci95": result.ci95}

    def _over(self) -> bool:
        """Return whether the steps, the minutes or the patience are used up."""
        patience = self.settings.validation.patience
        patient = patience is None or self.run.stale < patience
        return self.settings.done(self.run.step, self.run.seconds) >= 1 or not patient

    def _interrupted(self) -> KeyboardInterrupt:
        """Return the interrupt that says how to go on."""
        interrupt = KeyboardInterrupt()
        where = f"; saved in {self.folder.path}. Go on with: {self.folder.way_on}" if self.folder is not None else ""
        interrupt.add_note(f"interrupted after step {self.run.step}{where}")
        return interrupt

    def _facts(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside tensors."""
        began = {
            "settings": dataclasses.asdict(self.settings),
            "tasks": self._described(self.tasks),
            "validation": self._described(self.validation) if self.validation else {},
            "learner": describe(self.saved())["learner"],
        }
        return {
            "run": dataclasses.asdict(self.run),
            "began": json.loads(json.dumps(plain(began, "run"))),  # as a checkpoint's header holds it
        }

    @staticmethod
    def _described(tasks: TaskSource) -> dict[str, Any]:
        """Return what a resumed run must find again of its tasks: their hash, but not the name of the data, which may have moved."""
        about = {name: value for name, value in tasks.describe().items() if name != "dataset"}
        return about | {"tasks_hash": tasks.fingerprint(1)}

    def _not_a_number(self, loss: float) -> TrainingError:
        """Return the error for a loss or gradient that is not a number, with the rate that is most likely too large."""
        tasks = self.tasks.batch(self._all_indices(self.run.step)).to(self.device)
        likely = likely_rate(self.learner, tasks, self.settings.lr)
        saved = self.folder is not None and self.run.step > 0 and self.folder.checkpoint.exists()
        kept = f" The last good checkpoint, in {self.folder.path}, stays." if saved and self.folder else ""
        return TrainingError(
            f"at step {self.run.step} the loss is {loss} or its gradient is not finite. Most likely {likely} is too large: try a "
            f"third of it, or a smaller clip (now {self.settings.clip}).{kept}"
        )
