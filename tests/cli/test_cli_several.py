"""Examples of several parts at the command line: trained on a csv of pictures and texts, adapted, exported; equal answers everywhere."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import PIL.Image
import pytest

from quickstudy import FewShotClassifier
from quickstudy.errors import InputWarning
from quickstudy.inputs.several import SeveralSpec
from quickstudy.runtime import Learner

Call = Callable[..., Any]
SIZES = ("--ways", 2, "--queries", 3, "--steps", 2, "--tasks_per_step", 2, "--validation.every", 2, "--validation.tasks", 3)
COLUMNS = ("--image", "photo", "--text", "caption", "--label", "animal")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a table of ten pictures with captions and weights of each of sixteen animals."""
    folder, random, lines = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0), ["photo,caption,weight,animal"]
    for number in range(16):
        colour = random.integers(0, 200, 3)
        for take in range(10):
            pixels = colour + random.integers(0, 56, (16, 16, 3))
            PIL.Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}_{take}.png")
            caption = f"this is animal {chr(97 + number) * 3}"
            lines.append(f"{number}_{take}.png,{caption},{number + take / 10},animal {number}")
    (folder / "pairs.csv").write_text("\n".join(lines))
    return folder / "pairs.csv"


def trained(cli: Call, pairs: pathlib.Path, out: pathlib.Path, *more: object) -> Any:
    """Train on the table for two steps, with the net of several parts that nobody named."""
    outcome = cli("train", "--data", pairs, *SIZES, *more, "--out", out)
    assert outcome.code == 0, outcome
    return outcome


def test_from_a_table_of_pairs_to_answers(
    cli: Call, pasted: Call, pairs: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = trained(cli, pairs, tmp_path / "run", *COLUMNS, "--size", 16)
    assert "--image photo --text caption --label animal" in " ".join(pasted(outcome.out)[0].split()).replace("'", "")
    info = json.loads(cli("info", tmp_path / "run", "--json").out)
    assert info["learner"]["modules"]["net"]["name"] == "joined"
    assert {name: part["kind"] for name, part in info["input"]["parts"].items()} == {"caption": "text", "photo": "image"}
    evaluated = cli(
        "evaluate", tmp_path / "run", "--data", pairs, "--label", "animal", "--ways", 2, "--queries", 3, "--tasks", 5, "--json"
    )
    assert json.loads(evaluated.out)["results"][0]["dataset"] == "pairs.csv/test"
    frame = pandas.read_csv(pairs, keep_default_na=False).iloc[[0, 1, 2, 45, 46, 47]]
    mine, asked = pairs.parent / "mine.csv", pairs.parent / "asked.csv"
    frame.to_csv(mine, index=False)
    frame.assign(caption=["", "", "", *frame["caption"][3:]])[["weight", "caption", "photo"]].to_csv(asked, index=False)
    assert cli("export", tmp_path / "run", "-o", tmp_path / "small.qs").code == 0
    answers = []
    for learner, name in ((tmp_path / "run", "torch.qs"), (tmp_path / "small.qs", "onnx.qs")):
        outcome = cli("adapt", learner, mine, "--label", "animal", "-o", tmp_path / name)
        assert outcome.code == 0, outcome
        assert len(pasted(outcome.out)) == 1
        with pytest.warns(InputWarning, match="3 of 6 examples have no caption; the learner is told that"):
            outcome = cli("predict", tmp_path / name, asked, "--json")
        assert json.loads(outcome.out)["left_out"] == ["weight"]
        answers.append([list(row["probabilities"].values()) for row in json.loads(outcome.out)["predictions"]])
    monkeypatch.chdir(pairs.parent)
    things = pandas.read_csv(asked, keep_default_na=False)
    python = FewShotClassifier(tmp_path / "run").fit(frame, frame["animal"])
    shipped = Learner.load(tmp_path / "small.qs").adapt(frame, frame["animal"].tolist())
    for asks, given in (
        (python.predict_proba, things),
        (shipped.predict_proba, things),
        (shipped.predict_proba, {name: things[name].tolist() for name in ("photo", "caption")}),
    ):
        with pytest.warns(InputWarning, match="3 of 6 examples have no caption"):
            answers.append(asks(given).tolist())
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=1e-3, atol=1e-5)
    monkeypatch.setattr("sys.stdin", io.StringIO("photo,caption\n0_3.png,\n"))
    with pytest.warns(InputWarning, match="1 of 1 examples have no caption"):
        (line,) = json.loads(cli("predict", tmp_path / "onnx.qs", "--json").out)["predictions"]
    assert line["class"] in ("animal 0", "animal 4")


def test_the_nets_of_parts_are_chosen_and_rows_of_numbers_are_a_part(
    cli: Call, pairs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nets = ("--net.nets", "{text: {name: text_cnn, filters: 4}, table: {hidden: [5]}}", "--net.join", "beside")
    hidden = ("--draw.hide_from_queries", "caption")
    trained(cli, pairs, tmp_path / "run", "--text", "caption", "--columns", "weight", "--label", "animal", *nets, *hidden)
    about = json.loads(cli("info", tmp_path / "run", "--json").out)["info"]["trained_on"]
    assert about["hide_from_queries"] == "caption"
    net = json.loads(cli("info", tmp_path / "run", "--json").out)["learner"]["modules"]["net"]["args"]
    assert net["nets"] == {"text": {"name": "text_cnn", "filters": 4}, "table": {"hidden": [5]}}
    assert net["join"] == "beside"
    found = {}
    for said in ((), ("--draw.hide_from_queries", "")):
        outcome = cli("evaluate", tmp_path / "run", "--ways", 2, "--queries", 3, "--tasks", 2, *said, "--json")
        found[said] = json.loads(outcome.out)["results"][0].get("hide_from_queries")
    assert [*found.values()] == ["caption", None]  # what training hid is hidden, unless somebody says otherwise
    outcome = cli("adapt", tmp_path / "run", pairs, "--label", "animal", "-o", tmp_path / "mine.qs")
    assert outcome.code == 0, outcome
    assert cli("predict", tmp_path / "mine.qs", pairs).code == 0
    assert cli("doctor", tmp_path / "run", "--tasks", 2).code == 0


def test_what_examples_of_several_parts_cannot_do_is_said(
    cli: Call, refused: Call, pairs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run, skill = tmp_path / "run", tmp_path / "mine.qs"
    trained(cli, pairs, run, "--text", "caption", "--columns", "weight", "--label", "animal")
    assert "C takes one" in refused("export", run, "-o", tmp_path / "c", "--target", "c")
    assert "give a csv file with a column of classes" in refused("adapt", run, pairs.parent, "-o", skill)
    words = refused("adapt", run, pairs, "--label", "animal", "--image", "photo", "-o", skill)
    assert "none is of that kind" in words
    (tmp_path / "other.csv").write_text("name,animal\nx,a\ny,b\n")
    assert "has none of the columns caption, weight" in refused(
        "adapt", run, tmp_path / "other.csv", "--label", "animal", "-o", skill
    )
    words = refused("train", "--data", pairs, *COLUMNS, "--draw.hide_from_queries", "name", *SIZES, "--out", tmp_path / "no")
    assert "have no part 'name'; they have caption, photo" in words
    words = refused("train", "--data", pairs, *COLUMNS, "--net", "conv4", *SIZES, "--out", tmp_path / "no")
    assert "conv4 takes images" in words
    assert "--net joined" in words
    words = refused(
        "train", "--data", pairs, "--text", "caption", "--label", "animal", "--net", "joined", *SIZES, "--out", tmp_path / "no"
    )
    assert "joined takes examples of several parts, but the data has texts" in words


def test_a_skill_of_several_parts_is_taught_to_another_learner(cli: Call, pairs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    trained(cli, pairs, tmp_path / "run", *COLUMNS, "--size", 16)
    frame = pandas.read_csv(pairs, keep_default_na=False).iloc[[1, 2, 45, 46]]
    frame["photo"] = [str(pairs.parent / name) for name in frame["photo"]]
    cli("export", tmp_path / "run", "-o", tmp_path / "small.qs")
    learner = Learner.load(tmp_path / "small.qs")
    assert isinstance(learner.manifest.input, SeveralSpec)
    skill = learner.adapt(frame, frame["animal"].tolist(), keep=True)
    expected = skill.logits(frame)
    np.testing.assert_allclose(skill.moved_to(learner).logits(frame), expected, rtol=1e-4)
    kept = skill.examples
    assert kept is not None
    np.testing.assert_allclose(learner.adapt(*kept).logits(frame), expected, rtol=1e-4)
