"""Tasks as a server or a notebook uses them: many threads, many requests, going on from files, and mistakes that people make."""

from __future__ import annotations

import concurrent.futures
import gc
import pathlib
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import PIL.Image
import pytest
from builders import DESCENT, MEMORY, PROTOTYPES
from drawings import scribbles
from exports import shipped

from quickstudy.errors import ConfigError, DataError
from quickstudy.inputs.rows import RowsSpec
from quickstudy.runtime import Learner, Skill, pretrained
from quickstudy.runtime import bundle as bundles

X = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
LABELS = list("abcabcabc")


@pytest.fixture(scope="module", params=[PROTOTYPES, DESCENT, MEMORY])
def learner(request: pytest.FixtureRequest) -> Learner:
    return shipped(request.param)


@pytest.fixture(scope="module")
def descent() -> Learner:
    return shipped(DESCENT)


@pytest.fixture(scope="module")
def regression() -> Learner:
    return shipped(DESCENT, target="values")


def test_a_learner_is_gone_when_nobody_has_it(descent: Learner) -> None:
    learner = Learner(descent.bundle)
    task = learner.adapt(X, LABELS)
    task.predict(X)
    gone = weakref.ref(learner)
    del learner, task
    gc.collect()
    assert gone() is None


def test_threads_add_forget_predict_and_save_as_one_would(learner: Learner, tmp_path: pathlib.Path) -> None:
    shared = learner.adapt(X, LABELS)

    def work(index: int) -> tuple[np.ndarray, np.ndarray, bytes]:
        task = learner.adapt(X[:6], LABELS[:6]).add(X[6:], [*"abc"[: index % 3], *"xyz"[index % 3 :]])
        task.forget("abc"[index % 3])
        shared.save(tmp_path / f"{index}.qs")
        return task.predict_proba(X), shared.predict_proba(X), (tmp_path / f"{index}.qs").read_bytes()

    expected = [work(index) for index in range(3)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for index, (own, common, saved) in enumerate(pool.map(work, range(24))):
            np.testing.assert_array_equal(own, expected[index % 3][0])
            np.testing.assert_array_equal(common, expected[0][1])
            assert saved == expected[0][2]


def test_a_task_goes_on_with_its_learner_wherever_both_were_read(learner: Learner, tmp_path: pathlib.Path) -> None:
    bundles.write(tmp_path / "learner.qs", learner.bundle)
    learner.adapt(X[:6], LABELS[:6]).save(tmp_path / "mine.qs")
    going_on = Learner.load(tmp_path / "learner.qs").adapt(X[6:], LABELS[6:], Skill.load(tmp_path / "mine.qs"))
    np.testing.assert_allclose(going_on.predict_proba(X), learner.adapt(X, LABELS).predict_proba(X), atol=1e-5)
    bundle = learner.bundle
    weights = {name: value + np.float32(1) for name, value in bundle.weights.items()}
    rows = RowsSpec(5)
    other = bundle.manifest.model_copy(update={"input": rows})
    for stranger in (
        bundles.Bundle(bundle.manifest, bundle.graphs, weights),
        bundles.Bundle(other, bundle.graphs, dict(bundle.weights)),
    ):
        with pytest.raises(ConfigError, match="the skill is one of another learner"):
            Learner(stranger).adapt(X, LABELS, Skill.load(tmp_path / "mine.qs"))


def test_a_diverged_task_is_an_error_and_leaves_what_was_learned(descent: Learner) -> None:
    with pytest.raises(ConfigError, match=r"inner_lr=1e\+30 gave a .* no number any more.* Try a smaller inner_lr"):
        descent.adapt(X, LABELS, inner_lr=1e30)
    task = descent.adapt(X, LABELS)
    before = task.predict_proba(X)
    with pytest.raises(ConfigError, match=r"inner_lr=0\.05 gave a .* scale the examples"):
        task.add(np.full((1, 6), 1e30), ["d"])
    assert task.labels == ["a", "b", "c"]
    np.testing.assert_array_equal(task.predict_proba(X), before)
    prototypes = shipped(PROTOTYPES)
    with pytest.raises(DataError, match="values are too large: scale them as in training"):
        prototypes.adapt(np.full((4, 6), 3e38), ["a", "a", "b", "b"])
    with pytest.raises(DataError, match="the prediction for example 1 is no number"):
        prototypes.adapt(X, LABELS).predict([X[0], np.full(6, 3e38)])


@pytest.mark.parametrize("value", ["3", None, [3], True, -1, 2.5, float("nan"), float("inf"), 10**400, 2**63])
def test_settings_that_are_no_whole_numbers(descent: Learner, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"inner_steps is .*; expected a whole number, 0 or more"):
        descent.adapt(X, LABELS, inner_steps=value)


def test_settings_of_any_type_of_number(descent: Learner) -> None:
    expected = descent.adapt(X, LABELS, inner_steps=3, inner_lr=0.5).predict_proba(X)
    for steps, rate in ((np.int64(3), np.float16(0.5)), (3.0, np.float64(0.5))):
        np.testing.assert_array_equal(descent.adapt(X, LABELS, inner_steps=steps, inner_lr=rate).predict_proba(X), expected)
    with pytest.raises(ConfigError, match=r"inner_lr is 1e\+39; expected a number"):
        descent.adapt(X, LABELS, inner_lr=1e39)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (PIL.Image.new("L", (28, 28)), "one image was given .* expected a list of images"),
        (None, "the examples are a NoneType; expected a list"),
        ((row for row in X), "the examples are a generator; expected a list"),
        ([[[0, 255]], [[1, 2]]], "the image array is int64; expected uint8 in 0..255 or float in 0..1"),
        ([[[0.5], [0.5, 1.0]], [[1.0]]], "an image is a list that is no array"),
        ([["a", "b"], ["c", "d"]], "an image is a list of shape .* without numbers"),
    ],
)
def test_images_that_are_none(x: Any, words: str) -> None:
    omniglot = Learner.load(pretrained.find("omniglot"))
    with pytest.raises(DataError, match=words):
        omniglot.adapt(x, ["a", "b"])
    with pytest.raises(DataError, match=words):
        omniglot.adapt(scribbles(2), ["a", "b"]).predict(x if not hasattr(x, "send") else (row for row in X))


def test_images_as_nested_lists_are_arrays() -> None:
    omniglot, drawings = Learner.load(pretrained.find("omniglot")), scribbles(4)
    task = omniglot.adapt(drawings.tolist(), ["a", "a", "b", "b"])
    expected = omniglot.adapt(drawings, ["a", "a", "b", "b"]).predict_proba(drawings)
    np.testing.assert_array_equal(task.predict_proba(drawings.tolist()), expected)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["a", float("inf")], "label inf is infinite, and could not be saved"),
        (["a", np.float32(-np.inf)], "label -inf is infinite"),
        (["a", float("nan")], "label nan is not equal to itself"),
        (5, "the labels are a int; expected a list"),
    ],
)
def test_labels_that_are_none(descent: Learner, y: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        descent.adapt(X[:2], y)


def test_a_label_of_a_broken_file_name_is_not_saved(descent: Learner, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="is no valid Unicode, and could not be saved; rename it"):
        descent.adapt(X[:2], ["a\udcff", "b"]).save(tmp_path / "mine.qs")


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["low", "high"], "the values of y are no table of numbers"),
        (["1.5", "2.5"], "the values of y are no table of numbers .*; expected a number, or a row of numbers, per example"),
        ([1.0, None], "y holds NaN"),
        ([1.0, float("inf")], "y holds NaN or infinity"),
        ([[1.0], [1.0, 2.0]], "the values of y are no table"),
        ([], "2 examples but 0 labels"),
    ],
)
def test_values_that_are_none(regression: Learner, y: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        regression.adapt(X[:2], y)


def test_a_regression_goes_on_from_its_file(regression: Learner, tmp_path: pathlib.Path) -> None:
    given = X[:4].copy()
    regression.adapt(given, [0.0, 1.0, 2.0, 3.0]).save(tmp_path / "mine.qs")
    task = regression.adapt(given, [0.0, 1.0, 2.0, 3.0])
    given[:] = 0  # the task has its own copy
    whole = regression.adapt(X[:6], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).predict(X)
    for again in (task, Skill.load(tmp_path / "mine.qs")):
        np.testing.assert_allclose(again.add(X[4:6], [4.0, 5.0]).predict(X), whole, atol=1e-6)
    with pytest.raises(DataError, match="y has 2 values per example; expected 1"):
        task.add(X[:1], [[1.0, 2.0]])


def test_importing_the_part_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, quickstudy.runtime as runtime; assert 'onnxruntime' not in sys.modules\n"
        "from quickstudy.runtime import Learner, Skill; assert runtime.Skill is Skill\n"
        "assert Learner.__module__ == 'quickstudy.runtime.learner' and 'torch' not in sys.modules\n"
        "try: runtime.Leaner\n"
        "except AttributeError as error: assert 'Leaner' in str(error)\n"
        "else: raise AssertionError\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
