"""Transcripts at the command line: trained on voices in a table, evaluated, adapted to a table of one more voice, asked by files."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
from builders import DESCENT

from quickstudy.training.saving import load_learner

Call = Callable[..., Any]


def write(folder: pathlib.Path, voices: list[str], texts: list[str]) -> pathlib.Path:
    """Write a table of sounds in which every symbol is a tone, a little higher or lower in each voice."""
    folder.mkdir()
    lines = ["file,said,who"]
    for voice, name in enumerate(voices):
        for number, text in enumerate(texts):
            pitches = [(600 + 500 * "abc".index(symbol)) * (1 + 0.03 * voice) for symbol in text]
            parts = [np.r_[np.sin(2 * np.pi * pitch * np.arange(1200) / 8000), np.zeros(300)] for pitch in pitches]
            soundfile.write(folder / f"{name}{number}.wav", np.concatenate(parts), 8000)
            lines.append(f"{name}{number}.wav,{text},{name}")
    table = folder / f"{folder.name}.csv"
    table.write_text("\n".join(lines))
    return table


TEXTS = ["ab", "ba", "abc", "cb", "aab", "cca", "b", "ca"]
COLUMNS = ("--sound", "file", "--label", "said")


@pytest.fixture
def run(cli: Call, tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a run on three voices, with the net that such tasks take."""
    table = write(tmp_path / "voices", ["ann", "bob", "cid"], TEXTS)
    data = ("--tasks", "strings", "--data", table, *COLUMNS, "--group", "who", "--split", "all", "--validation.split", "null")
    sizes = ("--shots", 3, "--queries", 4, "--mels", 8, "--net.channels", 4, "--learner", DESCENT, "--learner.head_ways", 5)
    limits = ("--steps", 2, "--tasks_per_step", 2, "--validation.tasks", 3)
    outcome = cli("train", *data, *sizes, *limits, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome
    assert "character error rate, %" in outcome.out
    return tmp_path / "run"


def test_from_a_table_to_transcripts(cli: Call, pasted: Call, refused: Call, run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    saved = load_learner(run)
    assert (saved.target, saved.symbols) == ("sequences", (" ", "a", "b", "c"))
    assert json.loads(cli("info", run, "--json").out)["learner"]["modules"]["net"]["name"] == "frames"
    others = write(tmp_path / "others", ["eva", "fay"], TEXTS)
    data = ("--data", others, *COLUMNS, "--group", "who", "--split", "all")
    words = ("evaluate", run, *data, "--shots", 2, 4, "--queries", 3, "--tasks", 3)
    found = json.loads(cli(*words, "--json").out)["results"]
    assert [row["shots"] for row in found] == [2, 4]
    assert all(row["character_error_rate"] >= 0 and row["word_error_rate"] >= 0 for row in found)
    shown = cli(*words).out
    assert "character error rate, %" in shown
    assert "word error rate, %" in shown
    mine = write(tmp_path / "mine", ["dan"], TEXTS[:4])
    adapted = cli("adapt", run, mine, *COLUMNS, "-o", tmp_path / "dan.qs")
    assert adapted.code == 0, adapted
    assert "transcript" in adapted.out
    assert len(pasted(adapted.out)) == 1
    asked = sorted(mine.parent.glob("*.wav"))
    for beam in (0, 4):
        answers = json.loads(cli("predict", tmp_path / "dan.qs", *asked, "--beam", beam, "--json").out)["predictions"]
        assert [row["example"] for row in answers] == [str(path) for path in asked]
        assert all(set(row["text"]) <= set(" abc") for row in answers)
    assert "none is unknown" in refused("predict", tmp_path / "dan.qs", asked[0], "--unknown", "true")


def test_what_cannot_be_learned_is_said(refused: Call, run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    mine = write(tmp_path / "mine", ["dan"], ["ab", "ca"])
    mine.write_text(mine.read_text().replace(",ca,", ",cd,"))
    assert "the transcripts have 'd', which is not in the learner's alphabet ' abc'" in refused(
        "adapt", run, mine, *COLUMNS, "-o", tmp_path / "x.qs"
    )
    table = tmp_path / "voices" / "voices.csv"
    words = (
        "train",
        "--tasks",
        "strings",
        "--data",
        table,
        *COLUMNS,
        "--group",
        "who",
        "--split",
        "all",
        "--out",
        tmp_path / "other",
    )
    assert "the tasks ask for sequences, but ProtoNet predicts classes only" in refused(
        *words, "--validation.split", "null", "--shots", 2, "--queries", 2
    )
    assert "'ann' of voices.csv/all has 8 sounds, but 5 shots + 15 queries need 20" in refused(*words, "--learner", DESCENT)
