"""Rows of tables at the command line: trained on a csv, adapted to another one, asked, and exported; the same answers everywhere."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pytest

from quickstudy import FewShotClassifier
from quickstudy.errors import InputWarning
from quickstudy.runtime import Learner

Call = Callable[..., Any]
RANDOM = np.random.default_rng(0)
KIND = np.arange(160) % 16
FRAME = pandas.DataFrame(
    {
        "wing": np.where(RANDOM.random(160) < 0.1, np.nan, KIND + RANDOM.normal(0, 0.1, 160)),
        "colour": np.array(["brown", "white", "grey", "black"])[KIND // 4],
        "seen": [f"2024-{1 + number % 12:02d}-{1 + number % 28:02d}" for number in range(160)],
        "species": [f"bird {number}" for number in KIND],
    }
)
MINE = FRAME[FRAME["species"].isin(["bird 1", "bird 14"])]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a table of ten rows of each of sixteen species."""
    path = tmp_path_factory.mktemp("rows") / "birds.csv"
    FRAME.to_csv(path, index=False)
    return path


def trained(cli: Call, table: pathlib.Path, out: pathlib.Path, *more: object) -> Any:
    """Train on the table for two steps, with the net of rows that nobody named."""
    sizes = ("--ways", 2, "--queries", 3, "--steps", 2, "--validation.every", 2, "--validation.tasks", 3)
    outcome = cli("train", "--data", table, "--label", "species", *sizes, *more, "--out", out)
    assert outcome.code == 0, outcome
    return outcome


@pytest.mark.parametrize("scaling", ["training", "task"])
def test_from_a_table_to_answers(
    cli: Call, pasted: Call, table: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, scaling: str
) -> None:
    outcome = trained(cli, table, tmp_path / "run", "--scaling", scaling)
    assert "--label species" in pasted(outcome.out)[0]
    info = json.loads(cli("info", tmp_path / "run", "--json").out)
    assert info["learner"]["modules"]["net"]["name"] == "mlp"
    assert [(column["name"], column["type"]) for column in info["input"]["columns"]] == [
        ("wing", "number"),
        ("colour", "category"),
        ("seen", "date"),
    ]
    found = json.loads(cli("evaluate", tmp_path / "run", "--ways", 2, "--queries", 3, "--tasks", 5, "--json").out)["results"]
    assert found[0]["dataset"] == "birds.csv/test"
    MINE.to_csv(tmp_path / "mine.csv", index=False)
    MINE[["seen", "wing", "colour"]].to_csv(tmp_path / "asked.csv", index=False)
    assert cli("export", tmp_path / "run", "-o", tmp_path / "small.qs").code == 0
    answers = []
    for learner, name in ((tmp_path / "run", "torch.qs"), (tmp_path / "small.qs", "onnx.qs")):
        outcome = cli("adapt", learner, tmp_path / "mine.csv", "--label", "species", "-o", tmp_path / name)
        assert outcome.code == 0, outcome
        assert len(pasted(outcome.out)) == 1
        answers.append(json.loads(cli("predict", tmp_path / name, tmp_path / "asked.csv", "--json").out)["predictions"])
    frame, python = MINE.drop(columns="species"), FewShotClassifier(tmp_path / "run")
    answers.append(python.fit(frame, MINE["species"]).predict_proba(frame))
    answers.append(Learner.load(tmp_path / "small.qs").adapt(frame, MINE["species"].tolist()).predict_proba(frame))
    rows = [[list(row["probabilities"].values()) for row in one] for one in answers[:2]]
    rows += [one.tolist() for one in answers[2:]]
    for other in rows[1:]:
        np.testing.assert_allclose(other, rows[0], rtol=1e-3)
    monkeypatch.setattr("sys.stdin", io.StringIO("colour,wing,seen\nbrown,1.5,2024-03-01\n"))
    (line,) = json.loads(cli("predict", tmp_path / "onnx.qs", "--json").out)["predictions"]
    assert line["example"] == "1"
    assert line["class"] in ("bird 1", "bird 14")


def test_columns_that_are_chosen_go_with_the_run(cli: Call, pasted: Call, table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    outcome = trained(cli, table, tmp_path / "run", "--columns", "wing", "colour")
    (following,) = pasted(outcome.out)
    assert "--columns wing colour --split" in following
    outcome = cli("evaluate", tmp_path / "run", "--ways", 2, "--queries", 3, "--tasks", 2)
    assert outcome.code == 0
    assert "left out" not in outcome.err
    assert cli("doctor", tmp_path / "run", "--tasks", 2).code == 0


def test_what_rows_of_tables_cannot_do_is_said(cli: Call, refused: Call, table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run, skill = tmp_path / "run", tmp_path / "mine.qs"
    trained(cli, table, run)
    assert "which the device cannot turn into numbers" in refused("export", run, "-o", tmp_path / "c", "--target", "c")
    (tmp_path / "folder").mkdir()
    assert "is no table, but this learner takes table rows" in refused("adapt", run, tmp_path / "folder", "-o", skill)
    assert "has no column 'label'; it has wing, colour, seen, species" in refused("adapt", run, table, "-o", skill)
    assert "this learner takes images; name their column with --image" in refused(
        "adapt", "omniglot", table, "--label", "species", "-o", skill
    )
    outcome = cli("adapt", run, table, "--label", "species", "-o", skill)
    assert outcome.code == 0, outcome
    assert "there is no table 'none.csv'" in refused("predict", skill, "none.csv")
    (tmp_path / "empty.csv").write_text("wing,colour,seen\n")
    assert "the table has no rows to predict" in refused("predict", skill, tmp_path / "empty.csv")
    (tmp_path / "other.csv").write_text("wing,seen\n1,2024-01-01\n")
    assert "the table has no column 'colour'; it has 'wing', 'seen'" in refused("predict", skill, tmp_path / "other.csv")
    (tmp_path / "pink.csv").write_text("wing,colour,seen\n1,pink,2024-01-01\n")
    with pytest.warns(InputWarning, match=r"1 of 1 rows have a 'colour' that training had none of \('pink'\)"):
        assert cli("predict", skill, tmp_path / "pink.csv").code == 0
    found = json.loads(cli("predict", skill, table, "--json").out)
    assert (found["left_out"], len(found["predictions"])) == (["species"], len(FRAME))
    assert "note: columns that the skill does not know are left out: species" in cli("predict", skill, table).out


def test_tables_that_are_no_tables_are_refused_in_words(
    cli: Call, refused: Call, table: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(cli, table, tmp_path / "run")
    skill = tmp_path / "mine.qs"
    assert cli("adapt", tmp_path / "run", table, "--label", "species", "-o", skill).code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO('wing,colour\n"x"y,1\n'))
    assert "cannot be read as a table" in refused("predict", skill)
    (tmp_path / "less.csv").write_text("wing,colour\n1,brown\n")
    assert "has no column 'seen', which another table has" in refused("predict", skill, table, tmp_path / "less.csv")
    assert "a column of texts is named" in refused("adapt", tmp_path / "run", table, "--text", "colour", "-o", skill)


def test_a_quoted_cell_on_the_standard_input_may_have_several_lines(
    cli: Call, table: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(cli, table, tmp_path / "run")
    assert cli("adapt", tmp_path / "run", table, "--label", "species", "-o", tmp_path / "mine.qs").code == 0
    monkeypatch.setattr(
        "sys.stdin", io.StringIO('wing,colour,seen,note\n1,brown,2024-01-02,"two\n\n lines"\n2,grey,2024-01-03,one\n')
    )
    assert len(json.loads(cli("predict", tmp_path / "mine.qs", "--json").out)["predictions"]) == 2


def test_splits_of_rows_are_kept_by_the_run_and_named_by_the_command_that_follows(
    cli: Call, pasted: Call, table: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    outcome = trained(cli, table, tmp_path / "run", "--split_by", "rows", "--queries", 1)
    assert "--split_by rows" in pasted(outcome.out)[0]
    sizes = ("--ways", 16, "--shots", 1, "--queries", 1, "--tasks", 2, "--json")
    found = json.loads(cli("evaluate", tmp_path / "run", *sizes).out)["results"][0]
    assert (found["dataset"], found["ways"]) == ("birds.csv/test", 16)  # every species has rows in every split
    refused = cli("evaluate", tmp_path / "run", "--data", "digits", "--split_by", "groups")
    assert "digits has splits of its own; leave --split_by groups out" in refused.err
