"""Label sets at the command line: trained on a table, adapted to another one, asked, and exported; the same answers everywhere."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pytest
from builders import DESCENT, PROTOTYPES

from quickstudy import load_data
from quickstudy.errors import DataError, InputWarning

Call = Callable[..., Any]
RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(200, 4)).round(3)
SIDES = RANDOM.normal(size=(4, 12))
SETS = POINTS @ SIDES > 0.8
FRAME = pandas.DataFrame(POINTS, columns=["wing", "tail", "beak", "song"])


def texts(sets: np.ndarray, separator: str = ";") -> list[str]:
    return [separator.join(f"tag {label}" for label in np.flatnonzero(row)) for row in sets]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a table of 200 rows, each with any of twelve labels."""
    path = tmp_path_factory.mktemp("labels") / "birds.csv"
    FRAME.assign(tags=texts(SETS)).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a table of lists of labels, as jsonl holds them, of which some are empty."""
    path = tmp_path_factory.mktemp("mine") / "mine.jsonl"
    rows = FRAME[:30].to_dict("records")
    sides = [["big"] * (row["wing"] > 0) + ["loud"] * (row["song"] > 0) for row in rows]
    path.write_text("\n".join(json.dumps(row | {"kinds": one}) for row, one in zip(rows, sides, strict=True)))
    return path


def test_from_a_table_to_answers(
    cli: Call, pasted: Call, refused: Call, table: pathlib.Path, mine: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    sizes = ("--ways", 2, "--shots", 3, "--queries", 4, "--steps", 2, "--validation.every", 2, "--validation.tasks", 3)
    outcome = cli("train", "--data", table, "--labels", "tags", "--learner", DESCENT, *sizes, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome
    (following,) = pasted(outcome.out)
    assert "--labels tags --split test --ways 2 --shots 3 --queries 4" in following
    arguments = ("--data", table, "--labels", "tags", "--split", "test", "--ways", 2, "--shots", 3, "--queries", 4)
    found = json.loads(cli("evaluate", tmp_path / "run", *arguments, "--tasks", 3, "--json").out)["results"][0]
    assert {"micro_f1", "macro_f1", "average_precision", "ci95"} <= found.keys()
    assert found["dataset"] == "birds.csv/test"
    info = json.loads(cli("info", tmp_path / "run", "--json").out)
    assert info["target"] == "labels"
    bundle, answers = tmp_path / "small.qs", []
    exported = cli("export", tmp_path / "run", "-o", bundle)
    assert exported.code == 0, exported
    assert f"adapt {bundle} MINE.csv --labels COLUMN" in exported.out
    for learner, name in ((tmp_path / "run", "torch.qs"), (bundle, "onnx.qs")):
        outcome = cli("adapt", learner, mine, "--labels", "kinds", "-o", tmp_path / name, "--keep", "true", "--json")
        assert outcome.code == 0, outcome
        counts = {"big": int((FRAME["wing"][:30] > 0).sum()), "loud": int((FRAME["song"][:30] > 0).sum())}
        assert json.loads(outcome.out) == {"skill": str(tmp_path / name), "examples": 30, "labels": counts, "kept": True}
        answers.append(json.loads(cli("predict", tmp_path / name, mine, "--json").out)["predictions"])
    probabilities = [[list(row["probabilities"].values()) for row in rows] for rows in answers]
    np.testing.assert_allclose(probabilities[1], probabilities[0], rtol=1e-4)
    for row in answers[0]:
        assert row["labels"] == [label for label, probability in row["probabilities"].items() if probability > 0.5]
    printed = cli("predict", tmp_path / "onnx.qs", mine).out
    assert "probabilities" in printed
    check_refusals(refused, tmp_path, table, mine)


def check_refusals(refused: Call, run: pathlib.Path, table: pathlib.Path, mine: pathlib.Path) -> None:
    """Ask for what a learner of label sets cannot do."""
    out = ("-o", run / "no.qs")
    assert "name its column of label sets with --labels" in refused("adapt", run / "run", mine, *out)
    assert "has no column 'strange'" in refused("adapt", run / "run", mine, "--labels", "strange", *out)
    assert "of which none is unknown" in refused("predict", run / "onnx.qs", mine, "--unknown", "true")
    assert "not searched for" in refused("predict", run / "onnx.qs", mine, "--beam", 3)
    assert "8 bits are calibrated on tasks of classes" in refused("export", run / "run", "--int8", *out)
    assert "export without --target c" in refused("export", run / "run", "--target", "c", "-o", run / "c")
    words = refused("train", "--data", table, "--labels", "tags", "--learner", PROTOTYPES, "--ways", 2, "--out", run / "other")
    assert "the tasks ask for labels, but" in words
    assert DESCENT in words
    words = refused(
        "train",
        "--data",
        table,
        "--labels",
        "tags",
        "--class_weights",
        "balanced",
        "--learner",
        DESCENT,
        "--ways",
        2,
        "--out",
        run / "o",
    )
    assert "the tasks ask for labels, which have no classes to be weighed" in words


def test_labels_that_nobody_has_are_said(cli: Call, table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    from quickstudy import discovery
    from quickstudy.inputs.rows import RowsSpec
    from quickstudy.nets.mlp import MLP
    from quickstudy.runtime.engines import Choices
    from quickstudy.runtime.skill import Skill
    from quickstudy.runtime.skill_file import engine_of
    from quickstudy.training.saving import SavedLearner

    saved = SavedLearner(discovery.load("learners", DESCENT)(MLP(4, hidden=(4,))), RowsSpec(4), target="labels")
    rows = POINTS[:4].astype(np.float32)
    with pytest.warns(InputWarning, match="no example has the label 1"):
        skill = Skill(engine_of(saved), Choices(keep=True)).add(rows, np.array([[1, 0], [0, 0], [1, 0], [0, 0]]))
    assert skill.labels == [0, 1]
    assert skill.add(rows[:2], [[1, "new"], []]).labels == [0, 1, "new"]
    assert skill.examples.y[-2:] == [[1, "new"], []]  # type: ignore[union-attr]
    assert skill.forget(1).labels == [0, "new"]
    assert len(skill.examples.y) == 6  # type: ignore[union-attr,arg-type]
    probabilities = skill.predict_proba(rows)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-skill.logits(rows))), rtol=1e-5)
    assert skill.predict(rows) == [
        [label for label, one in zip([0, "new"], row, strict=True) if one > 0.5] for row in probabilities
    ]


def test_tables_of_label_sets(table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    whole = load_data(table, "all", labels="tags")
    assert repr(whole) == "<Dataset birds.csv/all: 200 table rows of 12 labels>"
    columns = [int(name.split()[1]) for name in whole.label_names]
    np.testing.assert_array_equal(whole.label_sets, SETS[:, columns])
    FRAME.assign(tags=texts(SETS, "|")).to_csv(tmp_path / "other.tsv", index=False, sep="\t")
    other = load_data(tmp_path / "other.tsv", "all", labels="tags", separator="|")
    np.testing.assert_array_equal(other.label_sets, whole.label_sets)
    said = pandas.DataFrame({"text": [f"words {number}" for number in range(200)], "tags": texts(SETS)})
    said.to_csv(tmp_path / "texts.csv", index=False)
    assert load_data(tmp_path / "texts.csv", "train", labels="tags").spec.kind == "text"
    for wishes, words in (
        ({"labels": "tags", "label": "wing"}, "labels and label are both given"),
        ({"labels": "tags", "columns": ("tags",)}, "no column to learn from beside 'tags'"),
        ({"label": "tags", "separator": ";"}, "separator is given without labels"),
        ({"labels": "nothing"}, "has no column 'nothing'"),
        ({"labels": "tags", "value": ("wing",), "group": "song"}, "value and labels are both given"),
    ):
        with pytest.raises(DataError, match=words):
            load_data(table, "all", **wishes)
