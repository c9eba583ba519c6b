"""The runtime: a bundle adapts, predicts, goes on, forgets, without torch; and says clearly what is wrong with what it is given."""

from __future__ import annotations

import concurrent.futures
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from builders import DESCENT, MEMORY, PROTOTYPES, make_learner, make_tasks
from drawings import scribbles
from exports import shipped

from quickstudy.errors import ConfigError, DataError, FileFormatError, TaskError
from quickstudy.estimators.classifier import FewShotClassifier
from quickstudy.export.bundle import to_bundle
from quickstudy.runtime import Learner, Skill, pretrained
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime.graph import with_weights
from quickstudy.training.saving import SavedLearner, load_learner

SORTS = [PROTOTYPES, DESCENT, MEMORY]
Rows = tuple[np.ndarray, list[str], np.ndarray]


@pytest.fixture(scope="module")
def omniglot() -> Learner:
    return Learner.load(pretrained.find("omniglot"))


@pytest.fixture(scope="module", params=SORTS)
def on_rows(request: pytest.FixtureRequest) -> Learner:
    return shipped(request.param)


@pytest.fixture
def rows() -> Rows:
    task = make_tasks(dtype=torch.float32, shots=4, seed=5)[0]
    return task.support.x.numpy(), ["abc"[way] for way in task.support.y.labels], task.query.x.numpy()


@pytest.fixture
def drawings() -> np.ndarray:
    return scribbles(6, seed=3, size=(40, 30))


def test_it_is_the_classifier_with_torch(omniglot: Learner, drawings: np.ndarray) -> None:
    labels = ["x", "y", "z", "x", "y", "z"]
    here, there = omniglot.adapt(drawings, labels), FewShotClassifier(load_learner("omniglot")).fit(drawings, labels)
    others = scribbles(300, seed=4)  # more than one batch
    np.testing.assert_allclose(here.predict_proba(others), there.predict_proba(others), atol=2e-5)
    assert here.predict(others) == there.predict(others).tolist()
    light = FewShotClassifier.from_pretrained("omniglot").fit(drawings, labels)
    assert light.predict(others).tolist() == there.predict(others).tolist()
    assert light.classes_.tolist() == there.classes_.tolist()


def test_examples_one_by_one_are_examples_at_once(on_rows: Learner, rows: Rows) -> None:
    x, labels, queries = rows
    at_once = on_rows.adapt(x, labels)
    task = on_rows.adapt(x[:6], labels[:6])
    for index in range(6, len(x)):
        task.add(x[index : index + 1], [labels[index]])
    assert task.labels == at_once.labels
    np.testing.assert_allclose(task.predict_proba(queries), at_once.predict_proba(queries), atol=1e-5)


def test_a_new_class_and_a_forgotten_one(on_rows: Learner, rows: Rows) -> None:
    x, labels, queries = rows
    known = [index for index, label in enumerate(labels) if label != "c"]
    without = on_rows.adapt(x[known], [labels[index] for index in known])
    task = on_rows.adapt(x, labels, without)
    assert without.labels == ["a", "b"]
    assert task.labels == ["a", "b", "c"]
    forgotten = on_rows.adapt(x, labels).forget("c")
    assert forgotten.labels == ["a", "b"]
    np.testing.assert_allclose(forgotten.predict_proba(queries), without.predict_proba(queries), atol=1e-5)
    with pytest.raises(DataError, match="label 'c' is not known; the skill knows 'a', 'b'"):
        forgotten.forget("c")
    with pytest.raises(TaskError, match="without 'a' a single class would be left"):
        forgotten.forget("a")


def test_a_saved_task_goes_on_here_and_with_torch(on_rows: Learner, rows: Rows, tmp_path: pathlib.Path) -> None:
    x, labels, queries = rows
    task = on_rows.adapt(x[:6], labels[:6])
    task.save(tmp_path / "mine.qs")
    again = Skill.load(tmp_path / "mine.qs")
    np.testing.assert_array_equal(again.predict_proba(queries), task.predict_proba(queries))
    whole = on_rows.adapt(x, labels).predict_proba(queries)
    np.testing.assert_allclose(again.add(x[6:], labels[6:]).predict_proba(queries), whole, atol=1e-5)
    with_torch = FewShotClassifier.load(tmp_path / "mine.qs")
    assert with_torch.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(with_torch.partial_fit(x[6:], labels[6:]).predict_proba(queries), whole, atol=1e-5)
    assert Skill.load(tmp_path / "mine.qs").labels == ["a", "b", "c"]
    bundles.write(tmp_path / "learner.qs", on_rows.bundle)
    with pytest.raises(FileFormatError, match="has learned no task yet"):
        Skill.load(tmp_path / "learner.qs")


def test_settings_are_chosen_and_kept(rows: Rows, tmp_path: pathlib.Path) -> None:
    learner = shipped(DESCENT)
    x, labels, queries = rows
    task = learner.adapt(x, labels, inner_steps=9, inner_lr=0.2)
    assert not np.allclose(task.logits(queries), learner.adapt(x, labels).logits(queries), atol=1e-3)
    task.save(tmp_path / "task.qs")
    assert Skill.load(tmp_path / "task.qs").settings == task.settings
    whole = learner.adapt(x, labels, inner_steps=9, inner_lr=0.2).logits(queries)
    begun = learner.adapt(x[:6], labels[:6], inner_steps=9, inner_lr=0.2)
    begun.save(tmp_path / "begun.qs")
    for earlier in (begun, Skill.load(tmp_path / "begun.qs")):  # goes on as it began, unless told otherwise
        np.testing.assert_allclose(learner.adapt(x[6:], labels[6:], earlier).logits(queries), whole, atol=1e-5)
        fewer = learner.adapt(x[6:], labels[6:], earlier, inner_steps=2)
        expected = learner.adapt(x, labels, inner_steps=2, inner_lr=0.2).logits(queries)
        np.testing.assert_allclose(fewer.logits(queries), expected, atol=1e-5)
        assert earlier.settings == task.settings
    with pytest.raises(ConfigError, match=f"inner_rate is no setting of {DESCENT}; it has: inner_lr, inner_steps"):
        learner.adapt(x, labels, inner_rate=1)
    for bad in (-1, 2.5, float("nan")):
        with pytest.raises(ConfigError, match=r"inner_steps is .*; expected a whole number, 0 or more"):
            learner.adapt(x, labels, inner_steps=bad)


def test_several_threads_adapt_and_predict_at_the_same_time(on_rows: Learner, rows: Rows) -> None:
    x, labels, queries = rows
    expected = on_rows.adapt(x, labels).predict_proba(queries)
    shared = on_rows.adapt(x, labels)

    def work(index: int) -> np.ndarray:
        return (on_rows.adapt(x, labels) if index % 2 else shared).predict_proba(queries)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found in pool.map(work, range(40)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("x", "labels", "error", "words"),
    [
        (np.zeros((2, 5)), ["a", "b"], DataError, r"the rows have shape \[2, 5\]; expected \[example, 6\]"),
        (np.full((2, 6), np.nan), ["a", "b"], DataError, "12 values that are NaN or infinite"),
        ([["x"] * 6], ["a"], DataError, "no table of numbers"),
        (np.zeros((0, 6)), [], DataError, "no example was given"),
        (np.zeros((2, 6)), ["a"], DataError, "2 examples but 1 labels"),
        (np.zeros((2, 6)), ["a", "a"], TaskError, "a single class, 'a'; give examples of at least two"),
        ("file.png", ["a"], DataError, "one example was given"),
        (np.zeros((2, 6)), [["a"], ["b"]], DataError, r"label \['a'\] is a list; expected something hashable"),
        (np.zeros((2, 6)), ["a", float("nan")], DataError, "label nan is not equal to itself"),
    ],
)
def test_bad_examples(on_rows: Learner, x: Any, labels: list[str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        on_rows.adapt(x, labels)


def test_more_bad_input(omniglot: Learner, on_rows: Learner, rows: Rows, drawings: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"lies in 0\.\.75; expected 0\.\.1"):
        omniglot.adapt(75 * drawings, list("aabbcc"))
    with pytest.raises(ConfigError, match="the skill is one of another learner"):
        omniglot.adapt(drawings, list("aabbcc"), on_rows.adapt(*rows[:2]))
    fixed = shipped(DESCENT, head_ways=3)
    with pytest.raises(TaskError, match="the task has 2 ways, but this learner's head is fixed to 3"):
        fixed.adapt(rows[0][:2], ["a", "b"])
    with pytest.raises(TaskError, match="the task has 2 ways, but this learner's head is fixed to 3"):
        fixed.adapt(rows[0][:3], ["a", "b", "c"]).forget("b")
    with pytest.raises(DataError, match=r"label \('a', 1\) is a tuple"):
        on_rows.adapt(rows[0][:2], [("a", 1), ("b", 2)]).save("never.qs")
    with pytest.raises(ConfigError, match="no calibrated threshold"):
        on_rows.adapt(*rows[:2]).predict(rows[2], unknown="?")


def test_noise_is_no_class_that_was_drawn(omniglot: Learner) -> None:
    strokes = np.ones((3, 28, 28))
    strokes[0, 14, 4:24], strokes[1, 4:24, 14] = 0, 0
    strokes[2, range(4, 24), range(4, 24)] = 0
    task = omniglot.adapt(strokes[[0, 1]], ["dash", "bar"])
    noise = np.random.default_rng(0).random((2, 28, 28))
    assert task.predict([*strokes[:2], *noise], unknown=None)[:2] == ["dash", "bar"]
    assert task.predict([*strokes[:2], *noise], unknown="?") == ["dash", "bar", "?", "?"]
    light = FewShotClassifier(omniglot).fit(strokes[[0, 1]], ["dash", "bar"])
    assert light.unknown([*strokes[:2], *noise]).tolist() == [False, False, True, True]


def test_appended_weights_are_read_by_onnx() -> None:
    import onnx
    from onnx import numpy_helper

    values = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(300, np.int64), "c": np.zeros((0, 2), np.int8)}
    empty = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])).SerializeToString()
    read = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load_from_string(with_weights(empty, values)).graph.initializer
    }
    assert read.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(read[name], value)
        assert read[name].dtype == value.dtype


def test_int8_bundles_are_for_the_runtime_alone(tmp_path: pathlib.Path, omniglot: Learner) -> None:
    changed = omniglot.manifest.model_copy(update={"precision": "int8"})
    bundles.write(tmp_path / "int8.qs", bundles.Bundle(changed, omniglot.bundle.graphs, omniglot.bundle.weights))
    with pytest.raises(FileFormatError, match=r"int8 bundle, for quickstudy\.runtime"):
        load_learner(tmp_path / "int8.qs")


def test_equal_content_equal_bytes(tmp_path: pathlib.Path) -> None:
    saved = SavedLearner(make_learner(PROTOTYPES, norm="batch", dtype=torch.float32))
    for name in ("one.qs", "two.qs"):
        bundles.write(tmp_path / name, to_bundle(saved))
    assert (tmp_path / "one.qs").read_bytes() == (tmp_path / "two.qs").read_bytes()


WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "sklearn", "jaxtyping", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else found(name, *rest)
"""


def test_the_command_line_and_the_classifier_without_torch(tmp_path: pathlib.Path, drawings: np.ndarray) -> None:
    import PIL.Image

    for index, drawing in enumerate(drawings):
        folder = tmp_path / "classes" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray((255 * drawing).astype(np.uint8)).save(folder / f"{index}.png")
    code = f"""{WITHOUT_TORCH}
from quickstudy import FewShotClassifier
from quickstudy.cli import main
assert type(FewShotClassifier("omniglot")).__name__ == "FewShotClassifier"
folder = {str(tmp_path)!r}
assert main(["adapt", "omniglot", folder + "/classes", "-o", folder + "/mine.qs"]) == 0
assert main(["predict", folder + "/mine.qs", folder + "/classes/a/0.png", "--json"]) == 0
assert main(["predict", folder + "/mine.qs", folder + "/classes/a/0.png", "--unknown"]) == 0
assert main(["info", folder + "/mine.qs"]) == 0
assert main(["train", "--data", "digits"]) == 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"class": "a"' in done.stdout
    assert "torch is not installed, and train needs it" in done.stderr
