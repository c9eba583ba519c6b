"""Losses of transcripts that weigh characters and words."""

from __future__ import annotations

import itertools
import pathlib

import numpy as np
import pytest
import torch
from builders import Descent, Prototypes, learner_class
from torch.func import grad, vmap

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConfigError
from quickstudy.functional.edits import edit_distance, spoken, words
from quickstudy.functional.expected_errors import expected_word_errors
from quickstudy.learner import Learner
from quickstudy.nets.frames import Frames
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.sequences import Tokens
from quickstudy.tasks.sinusoid import SinusoidTasks
from quickstudy.tasks.source import TaskSource
from quickstudy.tasks.strings import StringTasks
from quickstudy.training.error_weights import check_error_weights, with_error_weights
from quickstudy.training.fit import fit
from quickstudy.training.settings import ObjectiveSettings, TrainingSettings, ValidationSettings
from quickstudy.training.tracking import read_metrics

MiniBatches = learner_class(takes="adapt_steps inner_batch inner_optimizer")
WANTED = torch.tensor([[2, 1, 3]])
"""Symbol 2, a space, and symbol 3: two words."""


def exact(logits: torch.Tensor) -> torch.Tensor:
    """Return the expected word errors per word by going through every path."""
    total = torch.zeros((), dtype=logits.dtype)
    for path in itertools.product(range(logits.shape[-1]), repeat=logits.shape[1]):
        share = logits.log_softmax(-1)[0, range(len(path)), list(path)].sum().exp()
        said = words(spoken(torch.eye(logits.shape[-1])[list(path)].unsqueeze(0)))
        total = total + share * edit_distance(said, words(WANTED))[0] / 2
    return total


def test_value_and_gradient_are_those_of_all_paths() -> None:
    logits = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    key = torch.tensor(3)
    value = expected_word_errors(logits, WANTED, key, samples=100_000)[0]
    assert value.item() == pytest.approx(exact(logits).item(), abs=0.01)
    found = grad(lambda x: expected_word_errors(x, WANTED, key, samples=100_000)[0])(logits)
    torch.testing.assert_close(found, grad(exact)(logits), atol=0.01, rtol=0)
    keys = torch.arange(8000)
    few = vmap(lambda key: grad(lambda x: expected_word_errors(x, WANTED, key, samples=2)[0])(logits))(keys)
    torch.testing.assert_close(
        few.mean(0), grad(exact)(logits), atol=0.03, rtol=0
    )  # without bias, however few samples there are


@pytest.fixture
def spoken_words() -> Dataset:
    """Return pictures of two voices with transcripts of two words."""
    pictures = np.random.default_rng(0).integers(0, 255, (24, 6, 12), np.uint8)
    return from_arrays(pictures, ["ann/a b", "ann/b a", "ann/b", "bob/a", "bob/b a", "bob/a b"] * 4)


@pytest.fixture
def tasks(spoken_words: Dataset) -> StringTasks:
    return StringTasks(spoken_words, shots=3, queries=4)


def test_a_loss_is_the_weighed_sum_of_its_parts(tasks: StringTasks) -> None:
    batch = tasks.batch([0, 1])
    logits = torch.randn(2, 4, 12, 4, generator=torch.Generator().manual_seed(0))
    weight = torch.ones(2, 4)

    def losses(character: float, word: float) -> torch.Tensor:
        y = with_error_weights(batch, ObjectiveSettings(character, word)).query.y
        return vmap(lambda y, logits, weight: y.loss(logits, weight))(y, logits, weight)

    plain = vmap(lambda y, logits, weight: Tokens.loss(y, logits, weight))(batch.query.y, logits, weight)
    torch.testing.assert_close(losses(1, 0), plain)
    torch.testing.assert_close(losses(2, 0.5), 2 * plain + 0.5 * losses(0, 1))
    assert (losses(0, 1) > 0).all()


def test_a_training_learns_from_word_errors_alone(tmp_path: pathlib.Path) -> None:
    picture = np.zeros((4, 8), np.uint8)
    data = from_arrays(np.stack([picture, 255 - picture] * 20), ["ann/a", "ann/b"] * 20)
    source = StringTasks(data, shots=2, queries=8)
    torch.manual_seed(0)
    learner = Descent(Frames(bands=4, length=8, channels=8), inner_steps=0, head_ways=4)
    settings = TrainingSettings(steps=60, lr=0.02, objective=ObjectiveSettings(0, 1), validation=ValidationSettings(30, 5))
    saved = fit(learner, source, source, settings, tmp_path)
    judged = [row for row in read_metrics(tmp_path / "metrics.csv") if row["validation_ci95"]]
    assert len(judged) == 2
    assert all(row["validation_character_error_rate"] and row["validation_word_error_rate"] for row in judged)
    task = source.batch([0])[0]
    scores = task.query.y.scores(saved.learner.predict(saved.learner.adapt(task.support), task.query.x), torch.ones(8))
    assert scores["word_error_rate"] < 0.2  # each of two symbols is one word; a guess has 0.5 at best


@pytest.mark.parametrize(
    ("learner", "source", "message"),
    [
        (Prototypes(MLP(in_features=1)), SinusoidTasks(), "are for transcripts, but the tasks ask for values; leave them out"),
        (
            MiniBatches(Frames(bands=6, length=12, channels=8)),
            None,
            r"trains on support sets alone; .* take anil or maml or meta_sgd",
        ),
    ],
)
def test_what_they_would_not_change_is_refused(
    tasks: StringTasks, learner: Learner, source: TaskSource | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"objective\.word_weight 2 .*{message}"):
        check_error_weights(ObjectiveSettings(word_weight=2), learner, source or tasks)


def test_weights_are_checked() -> None:
    with pytest.raises(ConfigError, match="both 0"):
        ObjectiveSettings(0, 0)
    with pytest.raises(ConfigError, match="word_weight is -1"):
        ObjectiveSettings(1, -1)
