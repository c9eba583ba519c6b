"""Texts at the command line: trained on a table, adapted to another one, asked in words, and exported; the same answers everywhere."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quickstudy import FewShotClassifier
from quickstudy.errors import DataError
from quickstudy.runtime import Learner

Call = Callable[..., Any]
WORDS = ["card", "wallet", "loan", "fee", "rate", "limit", "branch", "transfer", "salary", "rent"]
OPENINGS = ["where is my", "tell me about the", "a question on my", "the", "why this", "help with"]
MINE = (
    "message,topic\nmy card is late,card\nno card yet,card\nwallet lost,wallet\nsomebody took my wallet,wallet\n",
    "--text",
    "message",
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a table of six texts of each of ten classes."""
    path = tmp_path_factory.mktemp("texts") / "table.tsv"
    rows = [f"{opening} {word}\t{word}" for word in WORDS for opening in OPENINGS]
    path.write_text("\n".join(["text\tlabel", *rows]))
    return path


@pytest.fixture
def run(cli: Call, table: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a run on the table, with the net of texts that nobody named."""
    sizes = ("--ways", 2, "--queries", 3, "--net.features", 8, "--net.buckets", 256, "--draw.augment", "drop_and_mistype")
    limits = ("--steps", 2, "--validation.every", 2, "--validation.tasks", 3, "--length", 48)
    outcome = cli("train", "--data", table, *sizes, *limits, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome
    return tmp_path / "run"


def test_from_a_table_to_answers(
    cli: Call, pasted: Call, run: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = json.loads(cli("info", run, "--json").out)
    assert info["learner"]["modules"]["net"]["name"] == "ngrams"
    assert info["input"] == {"kind": "text", "length": 48}
    found = json.loads(cli("evaluate", run, "--ways", 2, "--queries", 3, "--tasks", 5, "--json").out)["results"]
    assert found[0]["dataset"] == "table.tsv/test"
    content, *columns = MINE
    (tmp_path / "mine.csv").write_text(content)
    bundle, skills = tmp_path / "small.qs", []
    assert cli("export", run, "-o", bundle).code == 0
    for learner, name in ((run, "torch.qs"), (bundle, "onnx.qs")):
        outcome = cli("adapt", learner, tmp_path / "mine.csv", *columns, "--label", "topic", "-o", tmp_path / name)
        assert outcome.code == 0, outcome
        assert len(pasted(outcome.out)) == 1
        skills.append(tmp_path / name)
    (tmp_path / "question.txt").write_text("wallet lost\n")
    asked = ["my card is late", str(tmp_path / "question.txt")]
    answers = [json.loads(cli("predict", skill, *asked, "--json").out)["predictions"] for skill in skills]
    assert [row["class"] for row in answers[0]] == ["card", "wallet"]
    probabilities = [[list(row["probabilities"].values()) for row in rows] for rows in answers]
    np.testing.assert_allclose(probabilities[1], probabilities[0], rtol=1e-4)
    monkeypatch.setattr("sys.stdin", io.StringIO("my card is late\n\n  wallet lost \n"))
    lines = json.loads(cli("predict", skills[1], "-", "--json").out)["predictions"]
    assert [(row["example"], row["class"]) for row in lines] == [("my card is late", "card"), ("wallet lost", "wallet")]
    for row, expected in zip(lines, probabilities[1], strict=True):
        np.testing.assert_allclose(list(row["probabilities"].values()), expected, rtol=1e-6)


def test_in_8_bits_the_table_of_n_grams_is_smaller_and_answers_stay(
    cli: Call, run: pathlib.Path, table: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    found = {}
    for name, words in {"float32": (), "int8": ("--int8", "true", "--data", table)}.items():
        assert cli("export", run, "-o", tmp_path / f"{name}.qs", *words).code == 0
        learner = Learner.load(tmp_path / f"{name}.qs")
        texts = np.array(["my card is late", "no card yet", "wallet lost", "took my wallet"], dtype=object)
        skill = learner.adapt(texts, ["card", "card", "wallet", "wallet"])
        found[name] = skill.predict_proba(np.array(["card?", "a wallet"], dtype=object))
    np.testing.assert_allclose(found["int8"], found["float32"], atol=0.02)
    tables = Learner.load(tmp_path / "int8.qs").bundle.weights.values()
    assert sorted(one.shape for one in tables if one.dtype == np.int8) == [(256, 8)]


def test_what_texts_cannot_do_is_said(refused: Call, run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert "has no C form" in refused("export", run, "-o", tmp_path / "c", "--target", "c")
    with pytest.raises(
        DataError,
        match=r"could not convert string.*Texts need one: FewShotClassifier\.from_pretrained\('intents'\)",
    ):
        FewShotClassifier().fit(["my card is late", "wallet lost"], ["card", "wallet"])


def test_texts_in_python_are_strings(cli: Call, run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    texts, labels = ["my card is late", "no card yet", "wallet lost", "took my wallet"], ["card", "card", "wallet", "wallet"]
    assert cli("export", run, "-o", tmp_path / "small.qs").code == 0
    trained = FewShotClassifier(run).fit(texts, labels)
    exported = Learner.load(tmp_path / "small.qs").adapt(np.array(texts, dtype=object), labels)
    assert trained.predict(texts).tolist() == labels
    np.testing.assert_allclose(exported.predict_proba(texts), trained.predict_proba(texts), rtol=1e-4)
    trained.partial_fit(["what is the rate"], ["rate"])
    assert trained.predict(["what is the rate"]).tolist() == ["rate"]
    trained.save(tmp_path / "mine.qs")
    assert FewShotClassifier.load(tmp_path / "mine.qs").predict(["no card yet"]).tolist() == ["card"]


def test_other_names_of_columns_go_with_the_run(cli: Call, pasted: Call, table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other.tsv"
    other.write_text(table.read_text().replace("text\tlabel", "message\ttopic"))
    sizes = ("--ways", 2, "--queries", 3, "--net.features", 4, "--net.buckets", 64, "--validation.ways", 1)
    columns = ("--text", "message", "--label", "topic")
    outcome = cli("train", "--data", other, *columns, *sizes, "--validation.tasks", 2, "--steps", 1, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome
    (following,) = pasted(outcome.out)
    assert "--text message --label topic" in following
    assert cli("evaluate", tmp_path / "run", "--ways", 2, "--queries", 3, "--tasks", 2).code == 0
    assert cli("evaluate", tmp_path / "run", "--data", table, "--ways", 2, "--queries", 3, "--tasks", 2).code == 0
    assert cli("doctor", tmp_path / "run", "--tasks", 2).code == 0
    assert cli("export", tmp_path / "run", "-o", tmp_path / "a.qs", "--data", other, *columns).code == 0


def test_a_table_is_refused_for_a_learner_of_images(refused: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.csv").write_text(MINE[0])
    message = refused("adapt", "omniglot", tmp_path / "mine.csv", *MINE[1:], "--label", "topic", "-o", tmp_path / "a.qs")
    assert "is a table of texts, but this learner takes images; name their column with --image" in message


def test_nothing_to_predict_and_columns_of_a_folder_are_refused(
    cli: Call, refused: Call, run: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.csv").write_text(MINE[0])
    skill = tmp_path / "mine.qs"
    assert "no column 'text'" in refused("adapt", run, tmp_path / "mine.csv", "-o", skill)
    assert cli("adapt", run, tmp_path / "mine.csv", *MINE[1:], "--label", "topic", "-o", skill).code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert "there is nothing to predict" in refused("predict", skill)
    (tmp_path / "folder").mkdir()
    assert "--text is given, but" in refused("adapt", run, tmp_path / "folder", "--text", "message", "-o", skill)
