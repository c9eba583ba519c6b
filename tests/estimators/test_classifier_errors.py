"""FewShotClassifier: what it says of labels, images and rows that it cannot take, and that it keeps what it learned."""

from __future__ import annotations

import itertools
import pathlib

import numpy as np
import PIL.Image
import pytest
from drawings import drawings, saved

from quickstudy import FewShotClassifier
from quickstudy.errors import ConfigError, DataError, NotFoundError
from quickstudy.runtime.learner import Learner as RuntimeLearner


def test_a_label_that_fit_has_not_seen() -> None:
    classifier = FewShotClassifier(saved()).fit(drawings(2), ["a", "b"])
    with pytest.raises(
        DataError, match=r"label 'c' is in y, but was not in fit \(2 such labels\); learn it first, with partial_fit"
    ):
        classifier.score(drawings(4), ["a", "c", "d", "b"])


def test_as_many_labels_as_examples() -> None:
    classifier = FewShotClassifier(saved())
    with pytest.raises(DataError, match="3 examples but 2 labels"):
        classifier.fit(drawings(3), ["a", "b"])
    classifier.fit(drawings(2), ["a", "b"])
    with pytest.raises(DataError, match="3 examples but 2 labels"):
        classifier.score(drawings(3), ["a", "b"])


@pytest.mark.parametrize("label", [["a"], {"a": 1}, {1}, ("a", [1])])
def test_labels_must_be_hashable(label: object) -> None:
    with pytest.raises(DataError, match=r"label .* is a (list|dict|set|tuple); expected something hashable"):
        FewShotClassifier().fit([[0.0], [1.0]], [label, "b"])


@pytest.mark.parametrize("labels", [[float("nan"), 1.0], np.array([np.nan, 1.0]), np.array([np.inf, 1.0]), ["a", float("nan")]])
def test_labels_must_be_equal_to_themselves(labels: object) -> None:
    with pytest.raises(DataError, match=r"NaN|nan"):
        FewShotClassifier().fit([[0.0], [1.0]], labels)


def test_bad_images(tmp_path: pathlib.Path) -> None:
    classifier = FewShotClassifier(saved())
    with pytest.raises(DataError, match=r"one image was given \(x.png\); expected a list"):
        classifier.fit("x.png", ["a"])
    with pytest.raises(DataError, match="no example was given"):
        classifier.fit([], [])
    with pytest.raises(NotFoundError, match="there is no image file"):
        classifier.fit([tmp_path / "none.png"], ["a"])
    (tmp_path / "broken.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"broken\.png"):
        classifier.fit([tmp_path / "broken.png"], ["a"])
    with pytest.raises(DataError, match="y to be passed"):
        classifier.fit(drawings(1), None)
    with pytest.raises(ConfigError, match="option is 'inc'; expected one of ink"):
        FewShotClassifier(saved(), inc="dark")
    with pytest.raises(DataError, match="ink is 'drak'"):
        FewShotClassifier(saved(), ink="drak").fit(drawings(1), ["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict", "predict_proba", "score"])
@pytest.mark.parametrize(
    ("images", "words"),
    [
        (PIL.Image.new("L", (28, 28)), r"one image was given \(<PIL.Image.Image.*\); expected a list of images"),
        (b"\x89PNG", "one image was given .*; expected a list of images"),
        (None, "the examples are a NoneType; expected a list"),
    ],
)
def test_one_image_is_no_list(method: str, images: object, words: str) -> None:
    classifier = FewShotClassifier(saved()).fit(drawings(4), ["a", "b", "a", "b"])
    with pytest.raises(DataError, match=words) as torchs:
        getattr(classifier, method)(images, *([] if method.startswith("predict") else [["a"]]))
    with pytest.raises(DataError) as runtimes:
        RuntimeLearner.load("omniglot").adapt(images, ["a"])
    assert str(torchs.value) == str(runtimes.value)


def test_rows_of_another_length() -> None:
    classifier = FewShotClassifier().fit([[0.0, 1.0], [1.0, 2.0]], ["a", "b"])
    with pytest.raises(ValueError, match="3 features"):
        classifier.predict([[0.0, 1.0, 2.0]])


def test_a_failed_partial_fit_keeps_what_was_learned() -> None:
    classifier = FewShotClassifier(saved()).fit(drawings(4), ["a", "b", "a", "b"])
    before, classes = classifier.predict_proba(drawings(2)), classifier.classes_.tolist()
    for images, labels in itertools.product([drawings(2), ["none.png"]], [["c"], ["c", ["d"]], None]):
        with pytest.raises(NotFoundError if isinstance(images, list) else DataError):
            classifier.partial_fit(images, labels)
    np.testing.assert_array_equal(classifier.predict_proba(drawings(2)), before)
    assert classifier.classes_.tolist() == classes
