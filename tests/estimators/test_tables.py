"""Tables of pandas in the estimators: words, dates and missing values need no preparation, and columns are known by name."""

from __future__ import annotations

import pathlib

import numpy as np
import pandas
import pytest
import scipy.sparse
import sklearn.compose
import sklearn.neighbors
import sklearn.pipeline
import sklearn.preprocessing
import torch
from sklearn.utils import get_tags

from quickstudy import FewShotClassifier, FewShotRegressor
from quickstudy.errors import DataError, InputWarning

RANDOM = np.random.default_rng(0)
SPECIES = np.array(["finch", "gull", "heron"])[np.arange(60) % 3]
FRAME = pandas.DataFrame(
    {
        "wing": np.array([7.0, 30.0, 45.0])[np.arange(60) % 3] + RANDOM.normal(0, 8, 60),
        "colour": np.where(RANDOM.random(60) < 0.8, np.array(["brown", "white", "grey"])[np.arange(60) % 3], "black"),
        "ringed": RANDOM.random(60) < 0.5,
    }
)


def test_a_table_with_words_is_scaled_and_coded_as_a_pipeline_of_scikit_learn_does() -> None:
    coded = sklearn.preprocessing.OneHotEncoder(sparse_output=False)
    rows = sklearn.compose.make_column_transformer((coded, ["colour"]), remainder="passthrough")
    scaled = sklearn.preprocessing.StandardScaler()
    peer = sklearn.pipeline.make_pipeline(rows, scaled, sklearn.neighbors.NearestCentroid()).fit(FRAME, SPECIES)
    ours = FewShotClassifier().fit(FRAME, SPECIES)
    assert ours.predict(FRAME).tolist() == peer.predict(FRAME).tolist()
    assert ours.feature_names_in_.tolist() == ["wing", "colour", "ringed"]
    assert ours.n_features_in_ == 3


def test_columns_are_known_by_name_and_go_with_the_file(tmp_path: pathlib.Path) -> None:
    classifier = FewShotClassifier().fit(FRAME, SPECIES)
    classifier.save(tmp_path / "birds.qs")
    loaded = FewShotClassifier.load(tmp_path / "birds.qs")
    assert loaded.feature_names_in_.tolist() == ["wing", "colour", "ringed"]
    exchanged = FRAME[["ringed", "wing", "colour"]]
    for one in (classifier, loaded):
        np.testing.assert_allclose(one.predict_proba(exchanged), classifier.predict_proba(FRAME))
        with pytest.raises(DataError, match=r"the table has no column 'colour'; it has 'wing', 'ringed'"):
            one.predict(FRAME.drop(columns="colour"))
        with pytest.warns(InputWarning, match=r"60 of 60 rows have a 'colour' that training had none of \('pink'\)"):
            one.predict(FRAME.assign(colour="pink"))


def test_more_rows_and_classes_are_learned_on_the_first_scale() -> None:
    classifier = FewShotClassifier().fit(FRAME, SPECIES)
    more = pandas.DataFrame({"wing": [200.0, 210.0], "colour": ["black", "black"], "ringed": [True, True]})
    classifier.partial_fit(more, ["albatross", "albatross"])
    assert classifier.predict(more).tolist() == ["albatross"] * 2
    assert classifier.score(FRAME, SPECIES) > 0.8


def test_values_are_predicted_from_words_and_gaps() -> None:
    frame = pandas.DataFrame({"dose": [0.0, 1.0, 2.0, 3.0, np.nan, 5.0], "drug": ["a", "b", "a", "b", "a", "b"]})
    regressor = FewShotRegressor().fit(frame, [0.0, 1.5, 2.0, 3.5, 2.0, 5.5])
    low, high = regressor.predict(pandas.DataFrame({"drug": ["b", "b"], "dose": [1.0, 4.0]}))
    assert low < 2.5 < high


def test_a_table_of_numbers_alone_is_rows_as_before() -> None:
    classifier = FewShotClassifier().fit(FRAME[["wing"]], SPECIES)
    assert classifier.skill_.known is not None
    assert classifier.skill_.known.spec.kind == "rows"
    assert classifier.feature_names_in_.tolist() == ["wing"]


def test_a_later_array_is_as_wide_as_the_first() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 4))
    learned = FewShotClassifier.from_pretrained("tables").fit(rows, rows[:, 0] > 0)
    for other in (rows[:3, :3], np.concatenate([rows, rows], 1)[:3]):
        with pytest.raises(ValueError, match=f"X has {other.shape[1]} features, but FewShotClassifier is expecting 4"):
            learned.predict(other)


WRONG = {
    "sparse": (scipy.sparse.csr_matrix(np.eye(4)), TypeError, "[Ss]parse"),
    "complex": (np.eye(4) + 1j, ValueError, "Complex data not supported"),
    "infinite": (np.where(np.eye(4) > 0, np.inf, 1.0), ValueError, "infinity"),
    "flat": (np.arange(4.0), ValueError, "Reshape your data"),
    "no columns": (np.empty((4, 0)), ValueError, r"0 feature\(s\)"),
    "no rows": (np.empty((0, 4)), ValueError, r"0 sample\(s\)"),
}


@pytest.fixture(scope="module")
def learned() -> FewShotClassifier:
    """Return a classifier of any table that has learned one of four columns, in which values are missing."""
    rows = np.random.default_rng(0).normal(size=(20, 4))
    rows[::5, 1] = np.nan
    return FewShotClassifier.from_pretrained("tables").fit(rows, rows[:, 0] > 0)


@pytest.mark.parametrize("kind", WRONG)
def test_arrays_that_are_no_tables_are_refused_in_the_words_of_scikit_learn(kind: str, learned: FewShotClassifier) -> None:
    rows, error, words = WRONG[kind]
    with pytest.raises(error, match=words):
        learned.predict(rows)
    with pytest.raises(error, match=words):
        FewShotClassifier.from_pretrained("tables").fit(rows, [0, 1, 0, 1])


def test_missing_values_are_learned_from_and_tags_say_so(learned: FewShotClassifier) -> None:
    gaps = np.array([[3.0, np.nan, 0.0, 0.0], [-3.0, np.nan, 0.0, 0.0]])
    assert learned.predict(gaps).tolist() == [True, False]
    assert learned.predict(torch.from_numpy(gaps)).tolist() == [True, False]  # anything that becomes an array
    for one in (learned, FewShotClassifier.from_pretrained("tables")):
        assert get_tags(one).input_tags.allow_nan
        assert get_tags(one).input_tags.string
    for other in (FewShotClassifier(), FewShotClassifier("omniglot"), FewShotClassifier("there is none")):
        assert not get_tags(other).input_tags.allow_nan


def test_a_saved_task_takes_arrays_with_columns_that_said_nothing(tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 4))
    rows[:, 3] = 7.0
    with pytest.warns(InputWarning, match="x3"):
        learned = FewShotClassifier.from_pretrained("tables").fit(rows, rows[:, 0] > 0)
    learned.save(tmp_path / "mine.qs")
    again = FewShotClassifier.load(tmp_path / "mine.qs")
    assert (again.predict(rows) == learned.predict(rows)).all()
