"""What every learner promises that is trained on all training classes at once: `draws` names another source than few-shot tasks."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import torch
from builders import JUDGED, Blobs, apart, case, furthest, gradients, make_learner, make_tasks
from torch import Tensor

from quickstudy import discovery
from quickstudy.data.dataset import Dataset, content_fingerprint
from quickstudy.errors import ConfigError, ModelError
from quickstudy.export.bundle import to_bundle
from quickstudy.inputs.rows import RowsSpec
from quickstudy.learner import Learner
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.task import Examples, Task
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.pooled import PooledTasks
from quickstudy.training.engine import meta_gradient
from quickstudy.training.evaluate import evaluate
from quickstudy.training.fit import fit
from quickstudy.training.saving import load_learner
from quickstudy.training.settings import TrainingSettings

POOLED = [name for name in discovery.names("learners") if discovery.load("learners", name).draws]
CLASSES = 7
each_pooled = pytest.mark.parametrize("name", POOLED)


def pooled(count: int, masked: bool = False, seed: int = 0) -> Task:
    """Return batches of 11 random rows of 7 classes, as tasks without support sets; with a mask, the last 3 rows are padding."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 11, 6, dtype=torch.float64, generator=generator)
    y = one_hot(torch.randint(CLASSES, (count, 11), generator=generator), CLASSES, torch.float64)
    mask = (torch.arange(11) < 8).expand(count, -1) if masked else None
    empty = Examples(x[:, :0], OneHot(y.rows[:, :0]), None if mask is None else mask[:, :0])
    return Task(empty, Examples(x, y, mask))


def turned(classes: int, split: int) -> Dataset:
    """Return classes that differ along 2 directions of 8 only, with loud noise along the others: what must be learned to be ignored."""
    random = np.random.default_rng(split)
    turn = np.linalg.qr(np.random.default_rng(99).normal(size=(8, 8)))[0]
    centres = np.zeros((classes, 1, 8))
    centres[..., :2] = 1.5 * random.normal(size=(classes, 1, 2))
    rows = centres + np.array([0.3] * 2 + [2.0] * 6) * random.normal(size=(classes, 20, 8))
    stored, counts = (rows @ turn).reshape(-1, 8).astype(np.float32), np.full(classes, 20)
    names, spec = tuple(f"c{index}" for index in range(classes)), RowsSpec(features=8)
    return Dataset(stored, counts, names, names, spec, "turned", content_fingerprint(stored, counts, names, spec))


def test_some_learner_is_trained_so() -> None:
    assert len(POOLED) >= 3
    assert {discovery.load("learners", name).draws for name in POOLED} <= set(discovery.names("tasks"))


@each_pooled
@pytest.mark.parametrize("masked", [False, True], ids=["even", "padded"])
def test_the_gradient_is_the_derivative_in_every_engine(name: str, masked: bool) -> None:
    learner, tasks = make_learner(name, norm="batch", classes=CLASSES), pooled(3, masked)
    meta_gradient(learner, tasks, "loop")
    looped = gradients(learner)
    meta_gradient(learner, tasks, "vmap")
    assert furthest(gradients(learner), looped) < 1e-8
    direction = {key: torch.randn_like(value) for key, value in learner.named_parameters()}
    ends = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            for key, value in learner.named_parameters():
                value.add_(step * direction[key])
            ends.append(sum(float(learner.loss(tasks[index])) for index in range(3)) / 3)
    along = sum(float((looped[key] * direction[key]).sum()) for key in direction)
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(along, rel=1e-5, abs=1e-7)
    assert max(float(looped[key].abs().max()) for key in looped if key.startswith("net.")) > 1e-4


@each_pooled
def test_padding_of_a_batch_changes_nothing(name: str) -> None:
    learner, task = make_learner(name, norm="batch", classes=CLASSES), pooled(1, masked=True)[0]
    bare = Examples(task.query.x[:8], OneHot(task.query.y.rows[:8]))
    empty = dataclasses.replace(task.support, mask=None)
    assert float(learner.loss(task).detach()) == pytest.approx(float(learner.loss(Task(empty, bare)).detach()), rel=1e-9)


@each_pooled
def test_training_fills_in_the_number_of_classes(name: str, tmp_path: pathlib.Path) -> None:
    data, settings = turned(CLASSES, split=0), TrainingSettings(steps=2, validation=JUDGED)
    learner = discovery.load("learners", name)(MLP(8, (6,)), **case(name, "SMALL", {}))
    saved = fit(learner, PooledTasks(data, batch_size=5), ClassTasks(data, 3, 1, 2), settings, tmp_path)
    assert saved.learner.classes == CLASSES
    assert saved.statistics or saved.spec is not None
    loaded = load_learner(tmp_path).learner
    assert loaded.classes == CLASSES
    task = ClassTasks(data, 3, 2, 2)[0]
    found = [one.predict(one.adapt(task.support), task.query.x) for one in (saved.learner, loaded)]
    assert torch.equal(*found)
    assert fit(type(learner)(MLP(8, (6,))), PooledTasks(data, batch_size=5), None, settings).temperature == 1.0
    with pytest.raises(ConfigError, match=f"classes is 4, but the training data has {CLASSES} classes; expected {CLASSES}"):
        fit(type(learner)(MLP(8, (6,)), 4), PooledTasks(data), None, settings)


@each_pooled
def test_without_a_classifier_it_says_what_is_missing(name: str) -> None:
    with pytest.raises(ModelError, match="has no classifier of training classes; expected classes, their number"):
        make_learner(name).loss(pooled(1)[0])


@each_pooled
def test_few_shot_tasks_are_learned_as_they_are_used(name: str) -> None:
    """The loss of a task with a support set is the contract's, whether there is a classifier or not."""
    plain, other = make_learner(name), make_learner(name, classes=CLASSES)
    other.load_state_dict(plain.state_dict(), strict=False)
    task = make_tasks()[0]
    expected = task.query.y.loss(plain.predict(plain.adapt(task.support), task.query.x), task.query.weight)
    for learner in (plain, other):
        torch.testing.assert_close(learner.loss(task), expected)
    fit(make_learner(name, dtype=torch.float32, classes=CLASSES), Blobs(), None, TrainingSettings(steps=1, validation=JUDGED))


def weights_of(learner: Learner) -> set[str]:
    return {name for name in learner.state_dict() if name.startswith("classifier")}


@each_pooled
def test_exports_leave_the_classifier_out(name: str) -> None:
    data = turned(CLASSES, split=0)
    saved = fit(
        discovery.load("learners", name)(MLP(8, (6,)), **case(name, "SMALL", {})),
        PooledTasks(data),
        None,
        TrainingSettings(steps=1, validation=JUDGED),
    )
    assert weights_of(saved.learner)
    bundle = to_bundle(saved)
    assert set(bundle.weights) == {f"weight.{key}" for key in saved.learner.state_dict().keys() - weights_of(saved.learner)}
    assert bundle.manifest.learner["args"]["classes"] is None
    assert weights_of(saved.learner), "exporting changes nothing"
    task, bare = ClassTasks(data, 3, 1, 2)[0], saved.learner.exported()
    assert not weights_of(bare)

    def output(learner: Learner) -> Tensor:
        return learner.predict(learner.adapt(task.support), task.query.x).detach()

    assert apart(output(bare), output(saved.learner)) == 0


@each_pooled
def test_what_it_learns_of_many_classes_helps_with_new_ones(name: str) -> None:
    torch.manual_seed(0)
    learner = discovery.load("learners", name)(MLP(8, (16, 16)))
    tasks = ClassTasks(turned(40, split=1), ways=3, shots=2, queries=5)
    before = evaluate(learner, tasks, 60).mean
    settings = TrainingSettings(steps=150, tasks_per_step=1, lr=0.01, validation=JUDGED)
    assert evaluate(fit(learner, PooledTasks(turned(60, split=0)), None, settings), tasks, 60).mean > before + 0.15
