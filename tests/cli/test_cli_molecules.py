"""Molecules at the command line: trained on a table of SMILES, adapted to another, asked by words, exported; all answer alike."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from quickstudy.runtime import Learner

Call = Callable[..., Any]
ENDS = {"acid": "C(=O)O", "amine": "N", "ether": "OC", "alcohol": "O", "chloride": "Cl", "nitrile": "C#N"}


NAMED = ("--label", "result", "--group", "assay")


def chains(end: str, count: int = 8) -> list[str]:
    """Return molecules of a chain of carbon with this end."""
    return ["C" * length + end for length in range(2, 2 + count)]


@pytest.fixture
def run(cli: Call, tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a run on three made-up assays of two ends each, with the net that nobody named."""
    pairs = [("acid", "amine"), ("ether", "alcohol"), ("chloride", "nitrile")]
    rows = [f"{smiles},{end},{'-'.join(pair)}" for pair in pairs for end in pair for smiles in chains(ENDS[end])]
    (tmp_path / "assays.csv").write_text("\n".join(["smiles,result,assay", *rows]))
    sizes = ("--ways", 2, "--shots", 2, "--queries", 3, "--bits", 64, "--net.hidden", "[8]")
    limits = ("--steps", 2, "--validation.every", 2, "--validation.tasks", 3)
    outcome = cli("train", "--data", tmp_path / "assays.csv", *NAMED, *sizes, *limits, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome
    return tmp_path / "run"


def test_from_a_table_to_answers(cli: Call, run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    info = json.loads(cli("info", run, "--json").out)
    assert (info["input"]["kind"], info["input"]["bits"]) == ("molecule", 64)
    (tmp_path / "mine.csv").write_text(
        "\n".join(["molecule,kind", "CCCS,thiol", "CCCCS,thiol", "CCBr,bromide", "CCCBr,bromide"])
    )
    bundle, answers = tmp_path / "small.qs", []
    exported = cli("export", run, "-o", bundle)
    assert exported.code == 0, exported
    assert f"adapt {bundle} MINE.csv --smiles COLUMN --label COLUMN" in exported.out
    small = cli("export", run, "-o", tmp_path / "int8.qs", "--int8", "--data", tmp_path / "assays.csv", *NAMED)
    assert small.code == 0, small
    words = ("--data", tmp_path / "assays.csv", *NAMED, "--ways", 2, "--queries", 3, "--tasks", 3)
    found = cli("evaluate", tmp_path / "int8.qs", *words)
    assert found.code == 0, found
    for learner in (run, bundle):
        skill = tmp_path / f"{learner.name}-skill.qs"
        outcome = cli("adapt", learner, tmp_path / "mine.csv", "--smiles", "molecule", "--label", "kind", "-o", skill)
        assert outcome.code == 0, outcome
        found = json.loads(cli("predict", skill, "CCCCCS", "CCCCBr", "--json").out)["predictions"]
        answers.append([row["probabilities"]["thiol"] for row in found])
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)
    skill = Learner.load(bundle).adapt(["CCCS", "CCCCS", "CCBr", "CCCBr"], ["thiol", "thiol", "bromide", "bromide"])
    assert skill.predict_proba(["CCCCCS"])[0, list(skill.labels).index("thiol")] == pytest.approx(answers[0][0], abs=1e-5)


def test_what_is_no_molecule_is_named(cli: Call, run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.csv").write_text("smiles,label\nCCO,a\nC(C,b\n")
    outcome = cli("adapt", run, tmp_path / "mine.csv", "-o", tmp_path / "mine.qs")
    assert outcome.code != 0
    assert "molecule 1 is 'C(C', which rdkit cannot read as SMILES (1 of 2 cannot be read)" in outcome.err
    folder = cli("adapt", run, tmp_path, "-o", tmp_path / "mine.qs")
    assert "is no table, but this learner takes molecules; give a csv file" in folder.err
