"""Curves of one's own at the command line: trained on a csv, adapted to another one, asked, and exported; the same answers everywhere."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pytest
from builders import DESCENT, PROCESS, learner_that

from quickstudy import FewShotRegressor
from quickstudy.objectives.classes import OneHot
from quickstudy.runtime import Learner, Skill

Call = Callable[..., Any]
RANDOM = np.random.default_rng(0)
PATIENT = np.repeat(np.arange(12), 8)
HOUR = RANDOM.uniform(0, 24, 96)
FRAME = pandas.DataFrame(
    {
        "patient": [f"p{number:02d}" for number in PATIENT],
        "hour": HOUR,
        "glucose": 5000 + 300 * np.sin(HOUR / 4 + PATIENT) + RANDOM.normal(0, 20, 96),
    }
)
"""Curves of twelve patients, in a unit in which a learner that did not scale them would be far off."""
CLASSIFIER = learner_that(targets=(OneHot,))
"""Name of a learner of classes alone."""
MINE = FRAME[FRAME["patient"] == "p04"][["hour", "glucose"]]
NAMED = ("--group", "patient", "--columns", "hour", "--value", "glucose")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with the curves of all patients, that of one patient, and hours to ask for."""
    folder = tmp_path_factory.mktemp("curves")
    FRAME.to_csv(folder / "glucose.csv", index=False)
    MINE.to_csv(folder / "mine.csv", index=False)
    MINE[["hour"]].assign(note="?").to_csv(folder / "hours.csv", index=False)
    return folder


def trained(cli: Call, table: pathlib.Path, out: pathlib.Path, *more: object) -> Any:
    """Train on the table for two steps, with the tasks and the net that nobody named."""
    sizes = ("--shots", "2-4", "--queries", 3, "--steps", 2, "--validation.every", 2, "--validation.tasks", 3)
    outcome = cli("train", "--data", table / "glucose.csv", *NAMED, *sizes, *more, "--out", out)
    assert outcome.code == 0, outcome
    return outcome


@pytest.mark.parametrize("learner", [PROCESS, DESCENT])
def test_from_a_table_of_curves_to_answers(
    cli: Call, pasted: Call, table: pathlib.Path, tmp_path: pathlib.Path, learner: str
) -> None:
    run, small = tmp_path / "run", tmp_path / "small.qs"
    outcome = trained(cli, table, run, "--learner", learner)
    assert "--value glucose --group patient --columns hour --split test" in pasted(outcome.out)[0]
    info = json.loads(cli("info", run, "--json").out)
    assert (info["target"], info["scale"]["names"]) == ("values", ["glucose"])
    assert info["scale"]["location"] == [pytest.approx(5000, abs=150)]
    outcome = cli("export", run, "-o", small)
    assert f"quickstudy adapt {small} MINE.csv --value glucose -o mine.qs" in outcome.out
    assert json.loads(cli("info", small, "--json").out)["target"]["scale"]["names"] == ["glucose"]
    answers = []
    for file, name in ((run, "torch.qs"), (small, "onnx.qs")):
        outcome = cli("adapt", file, table / "mine.csv", "-o", tmp_path / name)
        assert outcome.code == 0, outcome
        assert len(pasted(outcome.out)) == 1
        found = json.loads(cli("predict", tmp_path / name, table / "hours.csv", "--json").out)
        assert found["left_out"] == ["note"]
        answers.append([row["values"][0] for row in found["predictions"]])
    regressor = FewShotRegressor(run).fit(MINE[["hour"]], MINE["glucose"])
    answers.append(regressor.predict(MINE[["hour"]]).tolist())
    skill = Learner.load(small).adapt(MINE[["hour"]], MINE["glucose"].tolist(), keep=True)
    answers.append([row[0] for row in skill.predict(MINE[["hour"]])])
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=1e-4)
    assert 4000 < min(answers[0]) <= max(answers[0]) < 6000, "predictions are in the unit of the table"
    skill.save(tmp_path / "kept.qs")
    kept = Skill.load(tmp_path / "kept.qs")
    np.testing.assert_allclose(kept.examples.y, MINE[["glucose"]], rtol=1e-5)  # type: ignore[union-attr]
    np.testing.assert_allclose(kept.moved_to(str(run)).predict(MINE[["hour"]]), np.transpose([answers[0]]), rtol=1e-4)
    if learner == PROCESS:
        ours = regressor.predict(MINE[["hour"]], return_std=True)[1]
        np.testing.assert_allclose(skill.outputs(MINE[["hour"]])["spread"][:, 0], ours, rtol=1e-4)
        assert ours.min() > 10, "spreads are in the unit of the table too"


def test_errors_of_results_are_in_the_unit_of_the_table(cli: Call, table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """An untrained learner is wrong by about the variance of the curves, 300^2 / 2, whatever the scale at which it sees them."""
    trained(cli, table, tmp_path / "run", "--learner", PROCESS)
    small = tmp_path / "small.qs"
    assert cli("export", tmp_path / "run", "-o", small).code == 0
    words = ("--shots", 2, 4, "--queries", 3, "--tasks", 20, "--json")
    found = json.loads(cli("evaluate", tmp_path / "run", *words).out)["results"]
    assert [(row["source"], row["values"], row["shots"]) for row in found] == [
        ("values", "glucose", 2),
        ("values", "glucose", 4),
    ]
    assert all(1e4 < row["mean_squared_error"] < 1e6 for row in found)
    named = ("--data", table / "glucose.csv", *NAMED)
    again = json.loads(cli("evaluate", small, *named, *words).out)["results"]
    assert [row["tasks_hash"] for row in again] == [row["tasks_hash"] for row in found]
    np.testing.assert_allclose(
        [row["mean_squared_error"] for row in again], [row["mean_squared_error"] for row in found], rtol=1e-3
    )
    FRAME.assign(glucose=FRAME["glucose"] - 1000).to_csv(tmp_path / "lower.csv", index=False)
    lower = json.loads(cli("evaluate", tmp_path / "run", "--data", tmp_path / "lower.csv", *NAMED, *words).out)["results"]
    assert lower[0]["mean_squared_error"] > 5 * found[0]["mean_squared_error"], "the scale is that of the training"
    checks = json.loads(cli("doctor", tmp_path / "run", "--tasks", 5, "--json").out)["checks"]
    assert checks["overlap"]["verdict"] == "good"
    assert "no group and no example in common" in checks["overlap"]["found"]
    assert cli("plan", *named, "--learner", PROCESS, "--shots", 2, "--queries", 2, "--steps", 2).code == 0


@pytest.mark.filterwarnings("ignore:.*no column of groups is named:quickstudy.data.DataWarning")
def test_what_values_cannot_do_is_said(cli: Call, refused: Call, table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run, skill, named = tmp_path / "run", tmp_path / "mine.qs", ("--data", table / "glucose.csv", "--value", "glucose")
    assert "the tasks ask for values, but ProtoNet predicts classes only" in refused(
        "train", *named, "--group", "patient", "--out", run
    )
    assert "too few for 3 splits; use --split all, or add groups" in refused(
        "train", *named, "--learner", PROCESS, "--out", run
    )
    trained(cli, table, run, "--learner", PROCESS)
    assert "which the device cannot turn into numbers" in refused("export", run, "-o", tmp_path / "c", "--target", "c")
    assert "--label is given, but this learner predicts values" in refused(
        "adapt", run, table / "mine.csv", "--label", "hour", "-o", skill
    )
    assert "'glucose'; it has hour, note" in refused("adapt", run, table / "hours.csv", "-o", skill)
    assert "is no table, but this learner predicts values" in refused("adapt", run, table, "-o", skill)
    assert "--value is given, but this learner predicts no values" in refused(
        "adapt", "omniglot", table, "--value", "hour", "-o", skill
    )
    assert "--ways is given, but the tasks values have no ways" in refused("doctor", run, "--ways", 3)
    outcome = cli("adapt", run, table / "mine.csv", "-o", skill)
    assert outcome.code == 0, outcome
    assert "of which none is unknown" in refused("predict", skill, table / "hours.csv", "--unknown")
