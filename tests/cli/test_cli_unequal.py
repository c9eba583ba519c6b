"""Classes of unequal size at the command line: trained with weights, and judged by scores that count every class alike."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
from builders import DESCENT

Call = Callable[..., Any]
SIZES = (60, 30, 12, 8, 6, 5)


def test_unequal_classes_are_weighed_and_judged_alike(cli: Call, refused: Call, tmp_path: pathlib.Path) -> None:
    random = np.random.default_rng(0)
    kind = np.repeat(np.arange(len(SIZES)), SIZES)
    frame = pandas.DataFrame({"wing": kind + random.normal(0, 1, len(kind)), "species": [f"bird {one}" for one in kind]})
    for name in ("known", "new"):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    known, new = (
        ("--data", tmp_path / f"{name}.csv", "--label", "species", "--split", "all", "--ways", 3, "--queries", 4)
        for name in ("known", "new")
    )
    natural = ("--draw.frequencies", "natural", "--class_weights", "balanced")
    sizes = ("--steps", 2, "--validation.split", "null", "--validation.tasks", 3, "--engine.mapping", "loop")
    trained = cli("train", *known, *natural, *sizes, "--out", tmp_path / "run")
    assert trained.code == 0, trained
    info = json.loads(cli("info", tmp_path / "run", "--json").out)
    assert info["info"]["settings"]["class_weights"] == "balanced"
    evaluated = cli("evaluate", tmp_path / "run", *new, "--draw.frequencies", "natural", "--tasks", 4)
    assert {"balanced", "macro"} <= set(evaluated.out.split())
    plain = json.loads(cli("evaluate", tmp_path / "run", *new, "--tasks", 4, "--json").out)["results"][0]
    assert "balanced_accuracy" not in plain  # equal classes have one accuracy
    words = refused(
        "train", "--tasks", "sinusoid", "--learner", DESCENT, "--class_weights", "balanced", "--out", tmp_path / "no"
    )
    assert "the tasks ask for values, which have no classes to be weighed" in words
