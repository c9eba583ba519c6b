"""Sounds at the command line: trained on a folder, adapted to a folder or a table, asked by files, exported; all answer alike."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile

from quickstudy import FewShotClassifier, SoundSpec
from quickstudy.runtime import Learner

Call = Callable[..., Any]


def wave(hertz: float, seconds: float = 0.3, rate: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(folder: pathlib.Path, pitches: range, copies: int) -> pathlib.Path:
    """Write a folder of tones with one class for each pitch; the lengths and rates of a class differ."""
    for hertz in pitches:
        (folder / f"at{hertz}").mkdir(parents=True)
        for copy in range(copies):
            rate = 8000 + 1000 * copy
            soundfile.write(folder / f"at{hertz}" / f"{copy}.wav", wave(hertz, 0.2 + 0.05 * copy, rate), rate)
    return folder


@pytest.fixture
def run(cli: Call, tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a run on ten tones, with the net of sounds that nobody named."""
    folder = write(tmp_path / "tones", range(200, 3200, 300), copies=4)
    sizes = ("--ways", 2, "--queries", 3, "--net.channels", 4, "--draw.augment", "everyday_and_mask", "--seconds", 0.8)
    limits = ("--mels", 32, "--steps", 2, "--validation.every", 2, "--validation.tasks", 3)
    outcome = cli("train", "--data", folder, *sizes, *limits, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome
    return tmp_path / "run"


def test_from_a_folder_to_answers(cli: Call, pasted: Call, run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    info = json.loads(cli("info", run, "--json").out)
    assert info["learner"]["modules"]["net"]["name"] == "conv4"
    assert (info["input"]["kind"], info["input"]["seconds"], info["input"]["mels"]) == ("sound", 0.8, 32)
    found = json.loads(cli("evaluate", run, "--ways", 2, "--queries", 3, "--tasks", 5, "--json").out)["results"]
    assert found[0]["dataset"] == "tones/test"
    mine = write(tmp_path / "mine", range(400, 3000, 1200), copies=2)
    lines = [f"mine/{file.parent.name}/{file.name},{file.parent.name}" for file in sorted(mine.rglob("*.wav"))]
    (tmp_path / "mine.csv").write_text("\n".join(["take,word", *lines]))
    bundle, skills = tmp_path / "small.qs", []
    assert cli("export", run, "-o", bundle).code == 0
    for learner, support in ((run, [mine]), (bundle, [tmp_path / "mine.csv", "--sound", "take", "--label", "word"])):
        skills.append(tmp_path / f"{learner.name}-skill.qs")
        outcome = cli("adapt", learner, *support, "-o", skills[-1])
        assert outcome.code == 0, outcome
        assert len(pasted(outcome.out)) == 1
    soundfile.write(tmp_path / "asked.flac", wave(400), 8000)
    soundfile.write(tmp_path / "asked.ogg", wave(2800, rate=44100), 44100)
    asked = [tmp_path / "asked.flac", tmp_path / "asked.ogg"]
    answers = [json.loads(cli("predict", skill, *asked, "--json").out)["predictions"] for skill in skills]
    assert [row["class"] for row in answers[0]] == ["at400", "at2800"]
    probabilities = [[list(row["probabilities"].values()) for row in rows] for rows in answers]
    np.testing.assert_allclose(probabilities[1], probabilities[0], rtol=1e-4)


def test_sounds_in_python_are_paths_or_samples(cli: Call, run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pairs = [(wave(hertz, 0.3, 16000), 16000) for hertz in (400, 410, 2800, 2790)]
    labels = ["low", "low", "high", "high"]
    paths = [tmp_path / f"{number}.wav" for number in range(4)]
    for path, (samples, rate) in zip(paths, pairs, strict=True):
        soundfile.write(path, samples, rate, subtype="FLOAT")
    assert cli("export", run, "-o", tmp_path / "small.qs").code == 0
    trained = FewShotClassifier(run).fit(pairs, labels)
    exported = Learner.load(tmp_path / "small.qs").adapt(paths, labels)
    assert trained.predict(paths).tolist() == labels
    np.testing.assert_allclose(exported.predict_proba(pairs), trained.predict_proba(pairs), rtol=1e-3)
    trained.save(tmp_path / "mine.qs")
    again = FewShotClassifier.load(tmp_path / "mine.qs")
    assert again.predict([wave(2800), wave(400)]).tolist() == ["high", "low"]
    assert again.predict(np.stack([wave(2800), wave(400)])).tolist() == ["high", "low"]
    assert isinstance(exported.engine.reader_for(None), SoundSpec)


def test_a_learner_of_sounds_is_exported_to_c(cli: Call, run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert cli("export", run, "-o", tmp_path / "c", "--target", "c").code == 0
    assert "typedef uint8_t qs_input; /* the sound of one example, [1][32][32]" in (tmp_path / "c" / "learner.h").read_text()


def test_bad_sounds_are_refused_by_name(refused: Call, run: pathlib.Path, cli: Call, tmp_path: pathlib.Path) -> None:
    mine = write(tmp_path / "mine", range(400, 3000, 1200), copies=1)
    skill = tmp_path / "mine.qs"
    assert cli("adapt", run, mine, "-o", skill).code == 0
    (tmp_path / "page.wav").write_text("<html>")
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    assert "page.wav' cannot be read as a sound" in refused("predict", skill, tmp_path / "page.wav")
    assert "silent.wav' is silent from beginning to end" in refused("predict", skill, tmp_path / "silent.wav")
    assert "there is no file of a sound" in refused("predict", skill, tmp_path / "none.wav")
    (tmp_path / "mine.csv").write_text("sound,label\nmine/none.wav,a\nmine/at400/0.wav,b\n")
    assert "there is no file of a sound" in refused("adapt", run, tmp_path / "mine.csv", "-o", skill)
    (tmp_path / "texts.csv").write_text("text,label\nhello,a\nbye,b\n")
    words = refused("adapt", run, tmp_path / "texts.csv", "-o", skill)
    assert "is a table of texts, but this learner takes sounds; name their column with --sound" in words
    assert "--rate" in cli("train", "--help").out


def test_learners_of_other_kinds_refuse_tables_of_sounds(refused: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.csv").write_text("sound,label\na.wav,a\nb.wav,b\n")
    message = refused("adapt", "omniglot", tmp_path / "mine.csv", "-o", tmp_path / "a.qs")
    assert "is a table of sounds, but this learner takes images; name their column with --image" in message
