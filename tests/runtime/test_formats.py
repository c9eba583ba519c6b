"""Files of this and of earlier releases: those of 0.2.0 are read from now on, and older ones are refused with what to do.

`learner-0.2.0.qs` is prototypes on rows of six numbers, `skill-0.2.0.qs` is what it learned of `X` and `LABELS`, and
`forgetful-0.2.0.qs` is a skill of a learner that would forget, so that the file keeps its examples.
"""

from __future__ import annotations

import json
import pathlib
import zipfile

import numpy as np
import pytest

from quickstudy.errors import FileFormatError
from quickstudy.runtime import Learner, Skill
from quickstudy.runtime import bundle as bundles

HERE = pathlib.Path(__file__).parent
X = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
LABELS = list("abcabcabc")
"""Examples and labels that the skills in the files had learned."""


def test_a_learner_and_a_skill_of_0_2_0_adapt_and_go_on() -> None:
    learner, skill = Learner.load(HERE / "learner-0.2.0.qs"), Skill.load(HERE / "skill-0.2.0.qs")
    assert skill.labels == ["a", "b", "c"]
    for name, value in learner.adapt(X, LABELS).state.items():
        np.testing.assert_allclose(value, skill.state[name], rtol=1e-5)
    np.testing.assert_array_equal(skill.add(X[:2], ["d", "a"]).state["counts"], [4, 3, 3, 1])
    sums = learner.adapt([*X, *X[:2]], [*LABELS, "d", "a"]).state["sums"]
    np.testing.assert_allclose(skill.state["sums"], sums, rtol=1e-5)


def test_a_skill_of_0_2_0_that_keeps_its_examples_learns_more() -> None:
    skill = Skill.load(HERE / "forgetful-0.2.0.qs")
    again = Learner.load(HERE / "forgetful-0.2.0.qs").adapt(X, LABELS)
    np.testing.assert_allclose(skill.predict_proba(X), again.predict_proba(X), atol=1e-5)
    assert skill.add(X[:1], ["d"]).labels == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["learner-0.2.0.qs", "skill-0.2.0.qs", "forgetful-0.2.0.qs"])
def test_a_file_that_is_read_and_written_holds_the_same_parts(name: str, tmp_path: pathlib.Path) -> None:
    bundles.write(tmp_path / name, bundles.read(HERE / name))
    with zipfile.ZipFile(HERE / name) as before, zipfile.ZipFile(tmp_path / name) as after:
        assert before.namelist() == after.namelist()
        for part in before.namelist():
            assert before.read(part) == after.read(part), part


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_file_is_refused_with_what_to_do(version: int, tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(tmp_path / "old.qs", "w") as archive:
        archive.writestr("manifest.json", json.dumps({"format": version, "kind": "learner"}))
    words = f"old.qs has bundle format {version}; this quickstudy reads format 3: export the learner again"
    with pytest.raises(FileFormatError, match=words) as caught:
        bundles.read(tmp_path / "old.qs")
    assert "export the learner again" in caught.value.to_dict()["remedy"]
