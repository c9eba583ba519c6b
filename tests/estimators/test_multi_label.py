"""FewShotMultiLabelClassifier: the same answers as its skill, scores and validation of scikit-learn, files, and what is refused."""

from __future__ import annotations

import pathlib
import pickle

import numpy as np
import pandas
import pytest
from builders import HEAD_DESCENT, PROTOTYPES
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score

from quickstudy import FewShotClassifier, FewShotMultiLabelClassifier, SavedLearner, discovery
from quickstudy.errors import ConfigError, DataError
from quickstudy.export.bundle import to_bundle
from quickstudy.inputs.rows import RowsSpec
from quickstudy.nets.identity import Identity
from quickstudy.runtime import Learner, bundle

RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(60, 3)).astype(np.float32)
Y = np.stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0], axis=1).astype(int)
NAMES = ["warm", "dry"]
LEARNER = discovery.load("learners", HEAD_DESCENT)(Identity(3), inner_lr=1.0, inner_steps=30)
SAVED = SavedLearner(LEARNER, RowsSpec(3), target="labels")


def test_columns_lists_and_texts_are_the_same_label_sets() -> None:
    named = pandas.DataFrame(Y, columns=NAMES)
    lists = [[name for name, there in zip(NAMES, row, strict=True) if there] for row in Y]
    table, listed, texts = (
        FewShotMultiLabelClassifier(SAVED).fit(X[:40], sets[:40]) for sets in (named, lists, [";".join(one) for one in lists])
    )
    assert listed.classes_.tolist() == ["dry", "warm"]
    for one in (table, texts):
        np.testing.assert_array_equal(one.classes_, listed.classes_)
        np.testing.assert_allclose(one.predict_proba(X), listed.predict_proba(X), atol=1e-6)
    found = listed.predict(X[40:])
    assert (found == Y[40:, ::-1]).mean() > 0.85
    skill = listed.skill_.predict(X[40:])
    assert [{"dry", "warm"} & set(one) for one in skill] == [set(listed.classes_[row > 0]) for row in found]
    assert listed.score(X[40:], lists[40:]) == accuracy_score(Y[40:, ::-1], found)
    assert listed.score(X[40:], found) == 1.0
    assert listed.score(X[40:], lists[40:], np.arange(20)) == accuracy_score(Y[40:, ::-1], found, sample_weight=np.arange(20))


def test_scikit_learn_clones_validates_and_pickles_it() -> None:
    scores = cross_val_score(clone(FewShotMultiLabelClassifier(SAVED)), X, Y, cv=3)
    assert scores.mean() > 0.6
    fitted = FewShotMultiLabelClassifier(SAVED).fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))


def test_new_labels_come_with_more_examples_and_files_keep_all_of_them(tmp_path: pathlib.Path) -> None:
    bundle.write(tmp_path / "labels.qs", to_bundle(SAVED))
    exported = FewShotMultiLabelClassifier(tmp_path / "labels.qs").fit(X[:30], Y[:30])
    np.testing.assert_array_equal(exported.predict(X), FewShotMultiLabelClassifier(SAVED).fit(X[:30], Y[:30]).predict(X))
    exported.partial_fit(X[30:], [[0, 2] if one > 0 else [2] for one in X[30:, 0]])
    assert exported.predict(X).shape == (60, 3)
    exported.save(tmp_path / "skill.qs")
    again = FewShotMultiLabelClassifier.load(tmp_path / "skill.qs")
    np.testing.assert_array_equal(again.predict(X), exported.predict(X))
    assert Learner.load(tmp_path / "labels.qs").adapt(X[:30], Y[:30]).labels == [0, 1]


def test_what_cannot_be_learned_or_scored_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing learns label sets without one; give a learner that was trained"):
        FewShotMultiLabelClassifier().fit(X, Y)
    with pytest.raises(ConfigError, match=r"learns classes.*, not labels; choose another learner"):
        FewShotMultiLabelClassifier(discovery.load("learners", PROTOTYPES)(Identity(3))).fit(X, Y)
    with pytest.raises(ConfigError, match="was trained to predict labels, not classes; use FewShotMultiLabelClassifier"):
        FewShotClassifier(SAVED).fit(X, Y[:, 0])
    with pytest.raises(NotFittedError):
        FewShotMultiLabelClassifier(SAVED).predict(X)
    fitted = FewShotMultiLabelClassifier(SAVED).fit(X, Y)
    with pytest.raises(DataError, match="7 is none of the labels, which are 0, 1"):
        fitted.score(X[:1], [[7]])
    with pytest.raises(DataError, match="there are 2 examples but 1 label sets"):
        fitted.score(X[:2], Y[:1])
