"""Figures of a learner: seconds, size and separation, with reasons for what is lacking."""

from __future__ import annotations

import numpy as np
import torch
from builders import Descent, Prototypes
from torch import nn

from quickstudy.data import Dataset, from_arrays
from quickstudy.nets.identity import Identity
from quickstudy.nets.mlp import MLP
from quickstudy.report.figures import measure
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.sinusoid import SinusoidTasks
from quickstudy.training.saving import SavedLearner


def clusters(classes: int) -> Dataset:
    rng = np.random.default_rng(0)
    middles = 10 * rng.standard_normal((classes, 1, 4))
    rows = (middles + rng.standard_normal((classes, 6, 4))).astype(np.float32).reshape(-1, 4)
    return from_arrays(rows, np.repeat(np.arange(classes), 6), name="clusters")


def test_prototypes_of_clusters_are_small_fast_and_know_what_they_were_not_shown() -> None:
    tasks = ClassTasks(clusters(12), 3, shots=2, queries=3)
    saved = SavedLearner(Prototypes(Identity(4)), tasks.input)
    found = measure(saved, tasks, count=20)
    assert found.auroc is not None
    assert found.auroc > 0.95
    assert 0 < found.adapt_seconds < 1
    assert found.onnx_adapt_seconds is not None
    assert 0 < found.onnx_adapt_seconds < 1
    assert found.onnx_bytes is not None
    assert 500 < found.onnx_bytes < 50_000
    assert set(found.to_dict()) == {"adapt_seconds", "onnx_bytes", "onnx_adapt_seconds", "auroc"}


def test_a_set_without_other_classes_has_no_auroc_and_says_why() -> None:
    tasks = ClassTasks(clusters(3), 3, shots=1, queries=3)
    found = measure(SavedLearner(Prototypes(Identity(4)), tasks.input), tasks, count=2)
    assert found.auroc is None
    assert "3 classes" in found.to_dict()["no_auroc"]


class Bessel(nn.Module):
    """A net whose operation no exported form exists for."""

    features = 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


def test_what_cannot_be_exported_is_named() -> None:
    tasks = ClassTasks(clusters(8), 3, shots=1, queries=3)
    found = measure(SavedLearner(Prototypes(Bessel()), tasks.input), tasks, count=2)
    assert found.onnx_bytes is None
    assert found.adapt_seconds > 0
    assert found.not_exported


def test_values_have_no_auroc() -> None:
    tasks = SinusoidTasks()
    found = measure(SavedLearner(Descent(MLP(1, (8,))), tasks.input, target="values"), tasks, count=2)
    assert found.auroc is None
    assert found.onnx_adapt_seconds is not None
