"""A file of an earlier format is read as it was meant: format1.qs is a task of three classes, written when format 1 was the newest."""

from __future__ import annotations

import json
import pathlib
import zipfile

import numpy as np
import safetensors.numpy

from quickstudy.runtime import Learner, Task
from quickstudy.runtime import bundle as bundles

FORMAT_1 = pathlib.Path(__file__).parent / "format1.qs"
X = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
LABELS = list("abcabcabc")
"""What the task in the file had learned."""


def part(path: pathlib.Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def test_a_file_of_format_1_adapts_and_goes_on() -> None:
    about = json.loads(part(FORMAT_1, "manifest.json"))
    assert (about["format"], about["state"]) == (1, {"sums": ["way", 4], "counts": ["way"]})
    state = safetensors.numpy.load(part(FORMAT_1, "state.safetensors"))
    learner, task = Learner.load(FORMAT_1), Task.load(FORMAT_1)
    assert task.labels == ["a", "b", "c"]
    for name, value in learner.adapt(X, LABELS).state.items():
        np.testing.assert_allclose(value, state[name], rtol=1e-5)
        assert learner.manifest.state[name].dtype == "float32"
    np.testing.assert_array_equal(task.add(X[:2], ["d", "a"]).state["counts"], [4, 3, 3, 1])
    sums = learner.adapt([*X, *X[:2]], [*LABELS, "d", "a"]).state["sums"]
    np.testing.assert_allclose(task.state["sums"], sums, rtol=1e-5)


def test_it_is_written_in_the_newest_format_with_nothing_lost(tmp_path: pathlib.Path) -> None:
    bundles.write(tmp_path / "new.qs", bundles.read(FORMAT_1))
    before, after = (json.loads(part(path, "manifest.json")) for path in (FORMAT_1, tmp_path / "new.qs"))
    assert after.pop("format") == 2
    assert after.pop("state") == {
        "sums": {"shape": ["way", 4], "dtype": "float32"},
        "counts": {"shape": ["way"], "dtype": "float32"},
    }
    assert after == {key: value for key, value in before.items() if key not in ("format", "state")}
    for name in before["parts"]:
        assert part(tmp_path / "new.qs", name) == part(FORMAT_1, name)
