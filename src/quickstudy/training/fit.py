"""fit: meta-train any learner."""

from __future__ import annotations

import contextlib
import os

from quickstudy.errors import ProcessError, TrainingError, UserError
from quickstudy.learner import Learner
from quickstudy.tasks.source import TaskSource
from quickstudy.training.device import threads
from quickstudy.training.folder import RunFolder
from quickstudy.training.loop import Trainer
from quickstudy.training.processes.group import Group
from quickstudy.training.progress import Progress, silent
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import TrainingSettings


def fit(
    learner: Learner,
    tasks: TaskSource,
    validation: TaskSource | None = None,
    settings: TrainingSettings | None = None,
    out: str | os.PathLike[str] | RunFolder | None = None,
    *,
    progress: Progress = silent,
) -> SavedLearner:
    """Meta-train a learner; in each of several processes of a group (see `Group`), with the same arguments, it trains one together.

    Args:
        learner: changed in place.
        tasks: training tasks.
        validation: tasks of classes that training never sees; the best learner on them is returned and saved.
        settings: the outer loop.
        out: folder for `learner.safetensors` (the best so far), `checkpoint.safetensors`, `metrics.csv` and TensorBoard events; a
            `RunFolder(path, resume=True)` to go on from its checkpoint; None keeps nothing on disk.
        progress: is told how far it is, such as `quickstudy.training.progress.progress_line`.

    Returns:
        The best learner by validation, or the last one without validation.

    Raises:
        TrainingError: the loss stopped being a number; what was saved stays.
        ModelError, ConfigError: nothing to train, what could not be saved, or a run with other settings in `out`.
        ConflictError, BusyError: `out` holds a run already, or another training is at work in it.
        StorageError: a file could not be written; what was saved stays.

    >>> from quickstudy import ClassTasks, evaluate, load_data
    >>> from quickstudy.learners.protonet import ProtoNet
    >>> from quickstudy.nets.conv4 import Conv4
    >>> tasks = ClassTasks(load_data("digits", "train"), ways=3, shots=1, queries=2)
    >>> saved = fit(ProtoNet(Conv4(channels=4)), tasks, settings=TrainingSettings(steps=2))
    >>> saved.info["steps"]
    2
    """
    folder = out if out is None or isinstance(out, RunFolder) else RunFolder(out)
    group, settings = Group.join(), settings or TrainingSettings()
    trainer = Trainer(learner, tasks, validation, settings, folder, group)
    with contextlib.ExitStack() as stack:
        again = group.first(lambda: _held(folder, group, stack))
        stack.enter_context(threads(settings.threads or (1 if group.local_size > 1 else None)))
        return _trained(trainer, again, progress if group.rank == 0 else silent)


def _trained(trainer: Trainer, again: bool, progress: Progress) -> SavedLearner:
    """Return the trained learner; a run that makes no step leaves nothing in its folder."""
    try:
        trainer.begin(again)
        trainer.train(progress)
        return trainer.finish()
    except (UserError, TrainingError) as error:
        if not isinstance(error, ProcessError):  # after which all processes may start again
            trainer.abandon()
        raise


def _held(folder: RunFolder | None, group: Group, stack: contextlib.ExitStack) -> bool:
    """Hold the folder of the run until the stack is closed; return whether an earlier attempt of this launch died there."""
    if folder is None:
        return False
    resume = folder.resume or group.restarted
    if not resume or not folder.path.exists():
        folder.check(resume)  # which is refused leaves no trace
    return stack.enter_context(folder.held(group.job))
