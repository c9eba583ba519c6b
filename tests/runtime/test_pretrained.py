"""Learners that ship with the package: small, licensed, measured, and fit for their kind of data without torch."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from quickstudy.estimators.classifier import FewShotClassifier
from quickstudy.runtime import Learner, pretrained

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
    measured = manifest.results["measured"]
    assert {row["shots"] for row in measured} == {1, 5}
    assert all(row["accuracy"] > 75 for row in measured)
    assert manifest.unknown
    assert manifest.temperature != 1.0  # the end of its training was reached, which measures one
    assert manifest.statistics


def test_intents_are_told_apart_by_sentences_that_share_few_words() -> None:
    texts = [text for several in TEXTS.values() for text in several]
    labels = [label for label, several in TEXTS.items() for _ in several]
    learned = FewShotClassifier.from_pretrained("intents").fit(texts, labels)
    assert learned.predict([*ASKED.values()]).tolist() == [*ASKED]


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
