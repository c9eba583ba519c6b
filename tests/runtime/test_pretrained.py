"""Learners that ship with the package: small, licensed, measured, and fit for their kind of data without torch."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quickstudy.errors import DataError, UnlikeTrainingWarning
from quickstudy.estimators.classifier import FewShotClassifier
from quickstudy.estimators.regressor import FewShotRegressor
from quickstudy.runtime import Learner, Skill, pretrained

MOST_BYTES = 2_000_000
TEXTS = {
    "card": ["where is my card", "the card has not come yet", "my bank card is late"],
    "weather": ["will it rain tomorrow", "what is the weather like", "is it going to be sunny"],
    "music": ["play a song", "put on some music", "i want to hear jazz"],
}
ASKED = {
    "card": "i am still waiting for a new credit card",
    "weather": "how cold does it get tonight",
    "music": "next track please, something by the beatles",
}


@pytest.mark.parametrize("name", pretrained.names())
def test_a_shipped_learner_is_small_and_says_what_it_can(name: str) -> None:
    assert pretrained.find(name).stat().st_size < MOST_BYTES
    manifest = Learner.load(pretrained.find(name)).bundle.manifest
    assert manifest.licence == "Apache-2.0"
    assert manifest.statistics
    source = manifest.results["trained_on"].get("source")
    if source == "table_values_prior":
        return  # values have no probabilities; benchmarks/table_values.py measures them
    assert manifest.temperature != 1.0  # the end of its training was reached, which measures one
    if source == "table_prior":
        return  # which no data of classes can measure: benchmarks/tables.py does
    measured = manifest.results["measured"]
    assert {row["shots"] for row in measured} == {1, 5}
    assert all(row["accuracy"] > 75 for row in measured)
    assert manifest.unknown


def test_intents_are_told_apart_by_sentences_that_share_few_words() -> None:
    texts = [text for several in TEXTS.values() for text in several]
    labels = [label for label, several in TEXTS.items() for _ in several]
    learned = FewShotClassifier.from_pretrained("intents").fit(texts, labels)
    assert learned.predict([*ASKED.values()]).tolist() == [*ASKED]


VOWELS = {"a": (800, 1200), "e": (500, 1900), "i": (300, 2300), "o": (480, 900), "u": (330, 800)}
"""First and second formant of vowels, in Hz."""


def spoken(word: str, seed: int, rate: int = 16000) -> tuple[np.ndarray, int]:
    """Return a word of vowels by a speaker of a random pitch, length of the vocal tract, and speed: harmonics with formants."""
    random = np.random.default_rng(seed)
    pitch, tract, seconds = random.uniform(90, 250), random.uniform(0.9, 1.1), random.uniform(0.16, 0.26)
    parts = []
    for vowel in word:
        time = np.arange(int(seconds * rate)) / rate
        tones = np.arange(1, int(4000 / pitch))[:, None] * pitch
        loud = 0.02 + sum(np.exp(-(((tones - formant * tract) / 120) ** 2)) for formant in VOWELS[vowel])
        waves = loud * np.sin(2 * np.pi * tones * time + random.uniform(0, 6, tones.shape))
        parts.append(waves.sum(0) * np.sin(np.pi * time / seconds) ** 0.5)
    wave = np.concatenate(parts)
    return wave / np.abs(wave).max() + 0.003 * random.normal(size=len(wave)), rate


def test_words_of_other_speakers_are_known_from_one_recording_each() -> None:
    words, right = ["ai", "ou", "ea", "ue"], []
    for task in range(3):
        examples = [spoken(word, 100 * task + place) for place, word in enumerate(words)]
        learned = FewShotClassifier.from_pretrained("sounds").fit(examples, words)
        asked = [spoken(word, 1000 + 100 * task + 7 * place + other) for place, word in enumerate(words) for other in range(5)]
        right += (learned.predict(asked) == np.repeat(words, 5)).tolist()
    assert np.mean(right) > 0.85


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_tables_are_learned_from_forty_rows(load: Callable[..., Any]) -> None:
    rows, labels = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    known, asked = order[:40], order[40:140]
    learned = FewShotClassifier.from_pretrained("tables").fit(rows[known], labels[known])
    assert learned.score(rows[asked], labels[asked]) > 0.9


def test_later_rows_have_as_many_values_as_the_first_ones(tmp_path: pathlib.Path) -> None:
    """Although the skill keeps no examples that would say how many, neither at once nor from a file."""
    rows, values = np.random.default_rng(0).normal(size=(2, 8, 3))
    skill = Learner.load("table_values").adapt(rows, values[:, :2])
    skill.save(tmp_path / "mine.qs")
    for known in (skill, Skill.load(tmp_path / "mine.qs")):
        before = known.outputs(rows)["prediction"]
        for count in (1, 3):
            with pytest.raises(DataError, match=f"y has {count} values per example; expected 2, as earlier ones have"):
                known.add(rows, values[:, :count])
        np.testing.assert_array_equal(known.outputs(rows)["prediction"], before)
        known.add(rows[:2], values[:2, :2])


def test_values_of_tables_are_predicted_from_thirty_rows() -> None:
    """Better than by nearest neighbours on scaled columns, on average over splits, and in the values' own unit."""
    rows, values = load_diabetes(return_X_y=True)
    ours, theirs = [], []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(values))
        known, asked = order[:30], order[30:230]
        ours.append(
            FewShotRegressor.from_pretrained("table_values").fit(rows[known], values[known]).score(rows[asked], values[asked])
        )
        neighbours = make_pipeline(StandardScaler(), KNeighborsRegressor()).fit(rows[known], values[known])
        theirs.append(neighbours.score(rows[asked], values[asked]))
    assert np.mean(ours) > max(0.2, np.mean(theirs))


@pytest.mark.filterwarnings("ignore::quickstudy.errors.InputWarning")
def test_tables_far_wider_than_those_of_training_are_warned_of() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 95))
    with pytest.warns(UnlikeTrainingWarning, match="the rows have 95 numbers each, where those of training had 41"):
        FewShotClassifier.from_pretrained("tables").fit(rows, [0, 1] * 10)


def test_tables_of_ten_classes_are_learned() -> None:
    """Six drawings of each digit, on average, of which a network that was trained on six classes at most made 49 %."""
    rows, labels = load_digits(return_X_y=True)
    rows = rows[:, rows[:60].std(0) > 0]
    learned = FewShotClassifier.from_pretrained("tables").fit(rows[:60], labels[:60])
    assert learned.score(rows[60:260], labels[60:260]) > 0.5


def without_torch(*words: object) -> str:
    """Return what a command prints in a process that has no torch."""
    code = "import sys; sys.modules['torch'] = None; from quickstudy.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_intents_answer_without_torch(tmp_path: pathlib.Path) -> None:
    table, skill = tmp_path / "mine.csv", tmp_path / "mine.qs"
    rows = [f"{text},{label}" for label, several in TEXTS.items() for text in several]
    table.write_text("\n".join(["message,topic", *rows]))
    without_torch("adapt", "intents", table, "--text", "message", "--label", "topic", "-o", skill)
    answers = json.loads(without_torch("predict", skill, *ASKED.values(), "--json"))["predictions"]
    assert [row["class"] for row in answers] == [*ASKED]
