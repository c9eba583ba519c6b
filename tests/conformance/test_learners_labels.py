"""Promises of learners of label sets, checked for every learner that names `MultiHot` among its `targets`."""

from __future__ import annotations

import dataclasses
import pathlib

import exports
import numpy as np
import pytest
import torch
from builders import case, furthest, gradients, make_learner, make_tasks

from quickstudy import discovery
from quickstudy.data.arrays import from_label_sets
from quickstudy.errors import ConfigError, ModelError
from quickstudy.export.c.firmware import FirmwareSettings, write_firmware
from quickstudy.inputs.rows import RowsSpec
from quickstudy.objectives.labels import MultiHot
from quickstudy.runtime.learner import begun
from quickstudy.runtime.skill_file import engine_of
from quickstudy.task import Examples, Task
from quickstudy.tasks.labels import LabelTasks
from quickstudy.training.engine import meta_gradient
from quickstudy.training.evaluate import check_fits
from quickstudy.training.saving import SavedLearner

LEARNERS = discovery.names("learners")
ABLE = [name for name in LEARNERS if MultiHot in discovery.load("learners", name).targets]
each_able = pytest.mark.parametrize("name", ABLE)


def as_labels(tasks: Task) -> Task:
    """Return tasks of classes as tasks of label sets: the classes, and whether it is one of the first two."""

    def more(part: Examples) -> Examples:
        rows = part.y.rows
        return dataclasses.replace(part, y=MultiHot(torch.cat([rows, rows[..., :2].sum(-1, keepdim=True)], -1)))

    return dataclasses.replace(tasks, support=more(tasks.support), query=more(tasks.query))


@each_able
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
def test_batched_is_looped_and_the_gradient_is_the_derivative(name: str, ragged: bool) -> None:
    learner, tasks = make_learner(name), as_labels(make_tasks(2, ragged=ragged))
    looped_loss = meta_gradient(learner, tasks, "loop")
    looped = gradients(learner)
    loss = meta_gradient(learner, tasks, "vmap")
    assert float(loss) == pytest.approx(float(looped_loss), rel=1e-10)
    assert furthest(gradients(learner), looped) < 1e-8
    if not learner.exact_gradient:
        return
    start = {key: value.detach().clone() for key, value in learner.named_parameters()}
    ends = []
    for step in (1e-6, -1e-6):
        learner.load_state_dict({key: value + step * looped[key] for key, value in start.items()}, strict=False)
        with torch.no_grad():
            ends.append(sum(float(learner.loss(tasks[index])) for index in range(2)) / 2)
    expected = sum(float(value.square().sum()) for value in looped.values())
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(expected, rel=1e-5)


@each_able
def test_adapting_for_longer_brings_the_labels_nearer(name: str) -> None:
    learner, support = make_learner(name), as_labels(make_tasks())[0].support
    steps = next(step for step in ("adapt_steps", "inner_steps") if hasattr(learner, step))
    losses = []
    for count in (0, 30):
        setattr(learner, steps, count)
        state = learner.adapt(support)
        assert "counts" not in state  # no label is hidden
        with torch.no_grad():
            losses.append(float(support.y.loss(learner.predict(state, support.x), support.weight)))
    assert losses[1] < losses[0] - 0.05


@each_able
def test_it_is_the_same_without_torch(name: str) -> None:
    """Exported graphs fit another number of labels than they were traced with, and give torch's probabilities and labels."""
    shipped = exports.shipped(name, target="labels")
    single = SavedLearner(make_learner(name, dtype=torch.float32), RowsSpec(6), target="labels")
    task = as_labels(make_tasks(ways=4))[0]
    x, y, queries = (part.float().numpy() for part in (task.support.x, task.support.y.rows, task.query.x))  # type: ignore[union-attr]
    of_torch, without = begun(engine_of(single), None, False, {}).add(x, y), shipped.adapt(x, y)
    assert without.labels == of_torch.labels == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(without.predict_proba(queries), of_torch.predict_proba(queries), rtol=1e-4, atol=1e-5)
    assert without.predict(queries) == of_torch.predict(queries)


@pytest.mark.parametrize("name", [name for name in LEARNERS if name not in ABLE])
def test_every_other_learner_says_which_answers_it_can(name: str) -> None:
    data = from_label_sets(np.zeros((12, 6), np.float32), [["a"], ["b"], []] * 4)
    tasks, learner = LabelTasks(data, ways=2, shots=1, queries=1), make_learner(name, **case(name, "SMALL", {}))
    with pytest.raises(
        ConfigError, match=f"the tasks ask for labels, but .* predicts .* only; take another learner: {', '.join(ABLE)}"
    ):
        check_fits(learner, tasks)


def test_c_refuses_them_in_words(tmp_path: pathlib.Path) -> None:
    saved = SavedLearner(make_learner(ABLE[0], dtype=torch.float32), RowsSpec(6), target="labels")
    with pytest.raises(ModelError, match="answers with sets of labels, which C does not take yet; export without --target c"):
        write_firmware(tmp_path / "c", saved, FirmwareSettings(3, 10))
    assert not (tmp_path / "c").exists()
