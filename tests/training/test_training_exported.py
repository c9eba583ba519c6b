"""Bundles in 8 bits as learners: what is measured is what the graphs do."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import torch
from builders import PROTOTYPES, learner_that

from quickstudy import ClassTasks, discovery, load_data
from quickstudy.errors import ModelError
from quickstudy.export.pack import UNFINISHED, in_8_bits, pack
from quickstudy.export.source import Source
from quickstudy.nets.conv4 import Conv4
from quickstudy.objectives.classes import OneHot
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime.learner import Learner
from quickstudy.task import Examples, Input
from quickstudy.training.evaluate import evaluate
from quickstudy.training.exported import ExportedLearner, load_measurable
from quickstudy.training.saving import SavedLearner

TEMPERATURE = 3.0


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the path of an untrained learner of drawings in 8 bits."""
    torch.manual_seed(0)
    digits = load_data("digits", "train")
    saved = SavedLearner(
        discovery.load("learners", PROTOTYPES)(Conv4(channels=4)),
        digits.spec,
        {"trained_on": {"dataset": "digits/train"}},
        temperature=TEMPERATURE,
    )
    packed = pack(saved, Source(saved), int8=True)
    assert UNFINISHED in packed.notes  # no training has measured its inputs
    path = tmp_path_factory.mktemp("exported") / "small.qs"
    bundles.write(path, packed.bundle)
    return path


def image(x: Input) -> torch.Tensor:
    """Return the single part of inputs."""
    assert isinstance(x, torch.Tensor)
    return x


def test_its_scores_are_those_of_its_graphs(small: pathlib.Path) -> None:
    tasks = ClassTasks(load_data("digits", "test"), ways=2, shots=(1, 3), queries=4)
    saved, graphs = load_measurable(small), Learner.load(small)
    assert isinstance(saved.learner, ExportedLearner)
    found = evaluate(saved, tasks, 3)
    for index, score in enumerate(found.scores):
        task = tasks[index]
        real = task.support.weight > 0
        shown = {"support.image": image(task.support.x)[real].numpy(), "support.y": task.support.y.rows[real].numpy()}
        state = {f"state.{name}": value for name, value in graphs.run("adapt", shown).items()}
        logits = graphs.run("predict", {"query.image": image(task.query.x).numpy(), **state})["prediction"]
        right = (logits.argmax(1) == task.query.y.rows.numpy().argmax(1)).mean()
        assert score == pytest.approx(right, abs=1e-6)
    assert saved.temperature_of(2) == TEMPERATURE


def test_padding_changes_no_answer_and_is_answered_by_zeros(small: pathlib.Path) -> None:
    learner = load_measurable(small).learner
    task = ClassTasks(load_data("digits", "test"), ways=2, shots=2, queries=2)[0]
    state = learner.adapt(task.support)
    mask = torch.tensor([True, False, True, True])
    padded = learner.predict_padded(state, task.query.x, mask)
    assert torch.equal(padded[mask], learner.predict(state, image(task.query.x)[mask]))
    assert not padded[~mask].any()


def test_it_goes_on_from_a_state(small: pathlib.Path) -> None:
    learner = load_measurable(small).learner
    assert learner.continues
    task = ClassTasks(load_data("digits", "test"), ways=2, shots=2, queries=2)[0]
    rows, x = task.support.y.rows, image(task.support.x)
    first, second = (Examples(x[part], OneHot(rows[part])) for part in (slice(2), slice(2, None)))
    together, after = learner.adapt(task.support), learner.adapt(second, learner.adapt(first))
    for name, value in together.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-5)


def test_a_learner_of_pooled_batches_is_asked_few_shot_tasks(tmp_path: pathlib.Path) -> None:
    digits = load_data("digits", "train")
    pooled = discovery.load("learners", learner_that(draws="pooled", gradient_free_adapt=True))
    saved = SavedLearner(
        pooled(Conv4(channels=4)), digits.spec, {"trained_on": {"dataset": "digits/train", "source": "pooled"}}
    )
    path = tmp_path / "pooled.qs"
    bundles.write(path, pack(saved, Source(saved, ways=2), int8=True).bundle)
    assert load_measurable(path).learner.draws == "pooled"


def test_8_bits_are_for_classes() -> None:
    bundle = Learner.load("omniglot").bundle
    target = bundle.manifest.target.model_copy(update={"kind": "values"})
    of_values = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"target": target}))
    with pytest.raises(ModelError, match="this learner predicts values; export without --int8"):
        in_8_bits(of_values, Source(load_measurable("omniglot")))


def test_a_bundle_in_float32_is_a_learner_of_torch() -> None:
    assert not isinstance(load_measurable("omniglot").learner, ExportedLearner)
