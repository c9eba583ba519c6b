"""Skill: one learned task over two engines. It learns more, forgets, keeps its examples, moves to other learners, travels and is saved."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import pathlib
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from builders import DESCENT, MEMORY, PROTOTYPES, Prototypes, make_learner
from exports import shipped

from quickstudy import ImageSpec, SavedLearner, Skill, UnlikeTrainingWarning
from quickstudy.errors import ConfigError, DataError, FileFormatError, TaskError
from quickstudy.estimators._engine import TorchEngine
from quickstudy.inputs.rows import RowsSpec
from quickstudy.nets.identity import Identity
from quickstudy.runtime import Learner
from quickstudy.runtime.learner import begun

X = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
LABELS = list("abcabcabc")
ENGINES = ["onnxruntime", "torch"]
LEARNERS = [PROTOTYPES, DESCENT, MEMORY]


class Table:
    """A table as pandas has it: named columns, chosen by a list of names."""

    def __init__(self, rows: np.ndarray, columns: list[str]) -> None:
        self.rows, self.columns = rows, columns

    def to_numpy(self) -> np.ndarray:
        return self.rows

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.rows, dtype)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, names: list[str]) -> Table:
        return Table(self.rows[:, [self.columns.index(name) for name in names]], names)


def begin(engine: str, name: str, **changes: Any) -> Skill:
    """Return a skill that has learned nothing, on rows of six numbers."""
    if engine == "onnxruntime":
        return begun(shipped(name).engine, None, changes.pop("keep", False), changes)
    torch.manual_seed(0)
    learner = make_learner(name, dtype=torch.float32)
    return begun(TorchEngine(SavedLearner(learner)), None, changes.pop("keep", False), changes)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=LEARNERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_examples_are_kept_and_given_back(engine: str, name: str, tmp_path: pathlib.Path) -> None:
    skill = begin(engine, name, keep=True).add(X[:6], LABELS[:6]).add(X[6:], LABELS[6:])
    skill.save(tmp_path / "mine.qs")
    expected = skill.predict_proba(X)
    for one in (skill, Skill.load(tmp_path / "mine.qs")):
        assert one.examples is not None
        np.testing.assert_array_equal(one.examples.x, X)
        assert one.examples.y == LABELS
        again = begun(one.engine, None, False, {}).add(*one.examples)
        np.testing.assert_allclose(again.predict_proba(X), expected, atol=1e-5)
        one.forget("b")
        assert one.examples is not None
        assert one.examples.y == [label for label in LABELS if label != "b"]
    assert (begin(engine, name).add(X, LABELS).examples is None) == skill.engine.facts.continues


def test_forgetting_is_never_having_seen(engine: str, name: str, tmp_path: pathlib.Path) -> None:
    known = [index for index, label in enumerate(LABELS) if label != "b"]
    skill = begin(engine, name).add(X, LABELS)
    skill.save(tmp_path / "mine.qs")
    without = begin(engine, name).add(X[known], [LABELS[index] for index in known])
    for forgotten in (skill.forget("b"), Skill.load(tmp_path / "mine.qs").forget("b")):
        assert forgotten.labels == ["a", "c"]
        np.testing.assert_allclose(forgotten.predict_proba(X), without.predict_proba(X), atol=1e-5)
        with pytest.raises(DataError, match="label 'b' is not known; the skill knows 'a', 'c'"):
            forgotten.forget("b")


def test_a_skill_moves_between_learners_and_engines(engine: str, name: str) -> None:
    skill = begin(engine, name, keep=True).add(X, LABELS)
    other = "torch" if engine == "onnxruntime" else "onnxruntime"
    moved = skill.moved_to(begin(other, PROTOTYPES))
    assert moved.labels == skill.labels
    assert moved.examples is not None
    np.testing.assert_array_equal(moved.examples.x, X)
    expected = begin(other, PROTOTYPES).add(X, LABELS)
    np.testing.assert_allclose(moved.predict_proba(X), expected.predict_proba(X), atol=1e-6)
    back = moved.moved_to(skill)
    np.testing.assert_allclose(back.predict_proba(X), skill.predict_proba(X), atol=1e-6)


def test_a_skill_without_examples_does_not_move(engine: str) -> None:
    skill = begin(engine, PROTOTYPES).add(X, LABELS)
    with pytest.raises(TaskError, match=r"kept no examples to move; adapt with keep=True"):
        skill.moved_to(skill)
    with pytest.raises(ConfigError, match="were not kept, so keep=True is too late"):
        begun(skill.engine, skill, True, {}).add(X, LABELS)


def test_images_move_to_a_learner_of_another_size_and_ink() -> None:
    dark = SavedLearner(Prototypes(Identity(256)), ImageSpec(16, 16, 1, "dark"))
    light = SavedLearner(Prototypes(Identity(64 * 3)), ImageSpec(8, 8, 3, "light"))
    bar, dash = np.ones((2, 16, 16))
    bar[:, 7:9] = dash[7:9] = 0.0
    skill = begun(TorchEngine(dark), None, True, {"ink": "light"}).add([1 - bar, 1 - dash], ["bar", "dash"])
    moved = skill.moved_to(light)
    assert moved.examples is not None
    assert moved.examples.x.shape == (2, 8, 8, 3)
    assert moved.examples.x[0, 0, 4, 0] > moved.examples.x[0, 0, 0, 0]  # strokes are light there
    assert moved.predict([1 - dash, 1 - bar]) == ["dash", "bar"]
    undeclared = begun(TorchEngine(dark), None, True, {}).add([bar, dash], ["bar", "dash"]).moved_to(light)
    np.testing.assert_allclose(undeclared.logits([bar, dash]), moved.logits([1 - bar, 1 - dash]), atol=1e-5)


def test_probabilities_are_softmax_of_logits_by_temperature() -> None:
    learner = make_learner(PROTOTYPES, dtype=torch.float32)
    for power in (0.0, -0.5):
        saved = SavedLearner(learner, temperature=2.5, temperature_power=power)
        skill = begun(TorchEngine(saved), None, False, {}).add(X, LABELS)
        expected = torch.softmax(torch.from_numpy(skill.logits(X)) / (2.5 * len(skill.labels) ** power), dim=-1)
        np.testing.assert_allclose(skill.predict_proba(X), expected, rtol=1e-5)


def test_pickle_and_copy(engine: str, name: str) -> None:
    skill = begin(engine, name).add(X, LABELS)
    expected = skill.predict_proba(X)  # its sessions and locks are there
    for twin in (pickle.loads(pickle.dumps(skill)), copy.deepcopy(skill), copy.copy(skill)):
        np.testing.assert_array_equal(twin.predict_proba(X), expected)
        twin.add(X[:1], ["d"])
        assert skill.labels == ["a", "b", "c"]


def test_a_process_pool() -> None:
    skill, learner = begin("onnxruntime", PROTOTYPES).add(X, LABELS), shipped(PROTOTYPES)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(skill.predict_proba, X).result(), skill.predict_proba(X))
        assert pool.submit(learner.adapt, X, LABELS).result().labels == skill.labels


def test_columns_are_part_of_a_saved_skill(engine: str, tmp_path: pathlib.Path) -> None:
    names = [f"c{index}" for index in range(6)]
    skill = begin(engine, PROTOTYPES).add(Table(X, names), LABELS)
    skill.save(tmp_path / "mine.qs")
    order = [3, 1, 0, 5, 4, 2]
    for one in (skill, Skill.load(tmp_path / "mine.qs")):
        expected = one.predict_proba(X)
        np.testing.assert_array_equal(one.predict_proba(Table(X[:, order], [names[index] for index in order])), expected)
        with pytest.raises(DataError, match="the table has no column 'c5'; expected the columns c0, c1"):
            one.predict(Table(X, [*names[:5], "other"]))
    moved = begin(engine, PROTOTYPES, keep=True).add(Table(X, names), LABELS).moved_to(begin(engine, PROTOTYPES))
    np.testing.assert_array_equal(moved.predict_proba(Table(X[:, order], [names[index] for index in order])), expected)


def test_inputs_far_from_those_of_training_are_said_once() -> None:
    learner = make_learner(PROTOTYPES, dtype=torch.float32)
    far = TorchEngine(SavedLearner(learner, RowsSpec(6), statistics={"location": 0.0, "scale": 1.0}))
    begun(far, None, False, {}).add(X, LABELS).predict(X)
    skill = begun(far, None, False, {})
    with pytest.warns(UnlikeTrainingWarning, match=r"^the rows have mean .*; scale them as its training data was") as said:
        skill.add(100 * X + 50, LABELS).predict(100 * X + 50)
    assert len(said) == 1
    later = begun(far, None, False, {}).add(X, LABELS)
    with pytest.warns(UnlikeTrainingWarning):
        later.predict(100 * X + 50)


def test_settings_of_both_engines_are_checked_alike(engine: str) -> None:
    for changes, words in (
        ({"inner_rate": 1}, f"inner_rate is no setting of {DESCENT}; it has: inner_lr, inner_steps"),
        ({"inner_steps": 2.5}, r"inner_steps is 2\.5; expected a whole number, 0 or more"),
        ({"inner_lr": -1.0}, r"inner_lr is -1\.0; expected a number, 0 or more"),
    ):
        with pytest.raises(ConfigError, match=words):
            begin(engine, DESCENT, **changes)
    longer = begin(engine, DESCENT, inner_steps=9, inner_lr=0.2).add(X, LABELS)
    assert not np.allclose(longer.logits(X), begin(engine, DESCENT).add(X, LABELS).logits(X), atol=1e-3)
    with pytest.raises(ConfigError, match=r"inner_lr=1e\+30 gave a .* no number any more.* Try a smaller inner_lr"):
        begin(engine, DESCENT, inner_lr=1e30).add(X, LABELS)


def test_a_torch_skill_is_refused_by_name_without_torch(tmp_path: pathlib.Path) -> None:
    begin("torch", PROTOTYPES).add(X, LABELS).save(tmp_path / "mine.qs")
    code = (
        "import importlib.util; importlib.util.find_spec = lambda *_: None\n"
        "from quickstudy.runtime import Skill\nfrom quickstudy.errors import FileFormatError\n"
        f"try: Skill.load({str(tmp_path / 'mine.qs')!r})\n"
        "except FileFormatError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "holds a learner for PyTorch, and torch is not installed; export it first: quickstudy export" in done.stdout


def test_a_file_without_a_skill_and_own_parts_that_are_not_wanted(tmp_path: pathlib.Path) -> None:
    begin("onnxruntime", PROTOTYPES).add(X, LABELS).save(tmp_path / "mine.qs")
    with pytest.raises(ConfigError, match="brings its learner along as graphs; leave out net"):
        Skill.load(tmp_path / "mine.qs", net=Identity(6))
    with pytest.raises(FileFormatError, match="has learned no task yet"):
        Skill.load("omniglot")
    with pytest.raises(ConfigError, match=r"int is no learner; expected a Learner, a SavedLearner"):
        begin("torch", PROTOTYPES, keep=True).add(X, LABELS).moved_to(3)


def test_values_have_no_probabilities_and_move_to_values_alone() -> None:
    saved = SavedLearner(make_learner(DESCENT, dtype=torch.float32), target="values")
    skill = begun(TorchEngine(saved), None, True, {}).add(X, X[:, :1])
    with pytest.raises(ConfigError, match=f"{DESCENT} predicts values, which have no probabilities; call predict"):
        skill.predict_proba(X)
    with pytest.raises(ConfigError, match=f"{PROTOTYPES} learns classes, but the skill's examples have values"):
        skill.moved_to(Learner(shipped(PROTOTYPES).bundle))
    assert np.shape(skill.predict(X)) == (9, 1)


def test_skills_and_learners_show_what_they_are() -> None:
    learner = Learner.load("omniglot")
    bar, dash = np.ones((2, 28, 28))
    bar[4:24, 13:15] = dash[13:15, 4:24] = 0.0
    assert repr(learner) == f"<Learner {learner.manifest.learner['name']}>"
    assert (
        repr(learner.adapt([bar, dash], ["bar", "dash"])) == f"<Skill of {learner.manifest.learner['name']}: ['bar', 'dash']>"
    )


def test_a_single_image_is_answered_with_a_list() -> None:
    learner = Learner.load("omniglot")
    with pytest.raises(DataError, match=r"shape \(28,\).*give that image in a list: \[image\]"):
        learner.adapt(np.ones((28, 28)), ["a"] * 28)
