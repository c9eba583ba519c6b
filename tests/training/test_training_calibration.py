"""Temperature and calibration error, beside closed forms and a search over temperatures."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import Prototypes
from torch import Tensor

from quickstudy.data.arrays import from_arrays
from quickstudy.functional.classes import ABSENT, present_ways
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.learner import State
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.calibration import Reliability, fit_temperature, input_statistics, power_of_ways
from quickstudy.training.evaluate import evaluate
from quickstudy.training.fit import fit
from quickstudy.training.processes.group import ALONE
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import TrainingSettings, ValidationSettings

from .conftest import FEATURES


def queries(labels: torch.Tensor, ways: int, mask: torch.Tensor | None = None) -> Examples:
    return Examples(torch.zeros(*labels.shape, 1), one_hot(labels, ways), mask)


@pytest.mark.parametrize("scale", [0.05, 1.0, 40.0])
def test_the_temperature_is_the_one_that_drew_the_labels(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 100, 4, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(-1).flatten(0, 1), 1, generator=generator).view(200, 100)
    batches = [(scale * logits[part], queries(labels[part], 4)) for part in (slice(0, 70), slice(70, 200))]
    temperature, error = fit_temperature(batches)
    assert temperature == pytest.approx(scale, rel=0.03)
    assert error < 0.01

    def likelihood(candidate: float) -> float:
        return -float(F.cross_entropy((scale * logits / candidate).flatten(0, 1), labels.flatten()))

    best = likelihood(temperature)
    assert all(best >= likelihood(temperature * factor) for factor in (0.9, 0.999, 1.001, 1.1))


def test_two_ways_in_closed_form() -> None:
    """Of ten queries with a margin of 3, seven are right: `1 / (1 + exp(-3 / T)) = 0.7`."""
    logits = torch.tensor([[3.0, 0.0]]).repeat(10, 1)[None]
    temperature, error = fit_temperature([(logits, queries(torch.tensor([[0] * 7 + [1] * 3]), 2))])
    assert temperature == pytest.approx(3 / math.log(0.7 / 0.3), rel=1e-9)
    assert error == pytest.approx(0.0, abs=1e-9)


def test_padding_and_hidden_ways_do_not_count() -> None:
    logits = torch.tensor([[[3.0, 0.0, -1e30]] * 10 + [[0.0, 9.0, 9.0]] * 2])
    labels = torch.tensor([[0] * 7 + [1] * 3 + [0, 0]])
    mask = torch.arange(12)[None] < 10
    temperature, error = fit_temperature([(logits, queries(labels, 3, mask))])
    assert temperature == pytest.approx(3 / math.log(0.7 / 0.3), rel=1e-9)
    assert error == pytest.approx(0.0, abs=1e-9)


def test_without_a_mistake_no_temperature_is_the_best() -> None:
    logits = torch.tensor([[[3.0, 0.0], [0.0, 1.0]]])
    assert fit_temperature([(logits, queries(torch.tensor([[0, 1]]), 2))])[0] == 1.0


def test_the_calibration_error_by_hand() -> None:
    """Bins of Guo et al.: |accuracy - confidence| of each, weighted by how many predictions it has."""
    confidences = np.array([0.55, 0.56, 0.81, 0.82, 0.83, 0.99])
    correct = np.array([1, 0, 1, 1, 0, 1])
    logits = torch.tensor(np.log(np.stack([confidences, 1 - confidences], -1)))[None]
    labels = torch.tensor(1 - correct)[None]
    reliability = Reliability()
    reliability.add(logits, queries(labels, 2))
    places = np.ceil(confidences * 15).astype(int) - 1
    expected = sum(
        (places == place).mean() * abs(correct[places == place].mean() - confidences[places == place].mean())
        for place in set(places.tolist())
    )
    assert reliability.error() == pytest.approx(expected, rel=1e-6)
    assert reliability.gathered(ALONE).error() == pytest.approx(expected, rel=1e-6)


def test_statistics_of_inputs_are_those_of_their_stored_form() -> None:
    random = np.random.default_rng(0)
    spec = ImageSpec(8, 6, 3)
    stored = {"image": random.integers(0, 256, (10, 8, 6, 3)).astype(np.uint8)}
    x = torch.from_numpy(spec.to_network(stored)["image"]).unflatten(0, (2, 5))
    assert input_statistics(spec, x) == pytest.approx(spec.statistics(stored), rel=1e-6)
    rows = {"rows": random.normal(size=(6, 4)).astype(np.float32)}
    assert input_statistics(RowsSpec(4), torch.from_numpy(rows["rows"])[None]) == pytest.approx(RowsSpec(4).statistics(rows))


class Shrinking(Prototypes):
    """Prototypes whose logits shrink as ways are added, and are five times as sure as they should be."""

    def predict(self, state: State, x: Tensor) -> Tensor:
        logits = super().predict(state, x)
        return 5 * 8 * logits / logits.shape[1]


def test_the_temperature_follows_the_number_of_ways() -> None:
    """It is fitted to tasks of two sizes, and then right on tasks of a third; without the power it would be off by their ratio."""
    random = torch.Generator().manual_seed(0)
    centres = 1.2 * torch.randn(40, FEATURES, generator=random)
    rows = centres.repeat_interleave(30, 0) + torch.randn(1200, FEATURES, generator=random)
    data = from_arrays(rows.numpy(), np.arange(40).repeat(30))
    validation = ClassTasks(data, ways=4, shots=5, queries=10)
    settings = TrainingSettings(steps=0, validation=ValidationSettings(tasks=100))
    saved = fit(Shrinking(Identity(FEATURES)), validation, validation, settings)
    assert saved.temperature_power == pytest.approx(-1, abs=0.15)
    other = ClassTasks(data, ways=32, shots=5, queries=10, seed=1)
    found = evaluate(saved, other, 30)
    fixed = evaluate(dataclasses.replace(saved, temperature=saved.temperature_of(4), temperature_power=0.0), other, 30)
    assert found.ece < 0.05 < 0.15 < fixed.ece


def test_logits_that_are_no_numbers_are_judged_all_the_same() -> None:
    logits = torch.tensor([[[math.nan, 1.0, ABSENT], [0.0, 1.0, ABSENT]]])
    assert present_ways(logits).tolist() == [2]
    assert SavedLearner(Prototypes(Identity(2)), temperature=2.0, temperature_power=-1.0).temperature_of(0) == 2.0


def test_the_power_is_between_two_temperatures() -> None:
    assert power_of_ways((5, 3.0), (20, 3.0)) == 0
    assert power_of_ways((5, 4.0), (20, 1.001)) == pytest.approx(-1, abs=0.01)
    assert power_of_ways((5, 1e-3), (20, 8.0)) == 1  # no more than ways can do
    assert power_of_ways((5, 4.0), (20, 1.0)) == 0  # one of them could not be fitted


def test_tasks_of_other_ways_are_larger_or_else_smaller() -> None:
    data = from_arrays(np.zeros((100, 2)), np.arange(10).repeat(10))
    assert ClassTasks(data, 2, queries=5).of_other_ways().ways == (8, 8)
    assert ClassTasks(data, 8, queries=5).of_other_ways().ways == (2, 2)
    assert ClassTasks(data, 3, shots=2, queries=5).of_other_ways().ways == (2, 2)
    assert ClassTasks(data, (2, 5), queries=5).of_other_ways() is None
