"""FewShotClassifier: scikit-learn's own checks, its tools, images of every kind, any hashable labels, more examples, new classes."""

from __future__ import annotations

import copy
import io
import pathlib
import pickle
from collections.abc import Hashable

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
from builders import DESCENT, MEMORY, PROTOTYPES, Descent, Memory, Prototypes
from drawings import SPEC, drawings, saved
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from quickstudy import FewShotClassifier, ImageSpec, SavedLearner, Skill, discovery, load_learner, save_learner
from quickstudy.data import load
from quickstudy.errors import ConfigError, DataError
from quickstudy.learner import Learner, hyperparameters
from quickstudy.nets.identity import Identity
from quickstudy.nets.mlp import MLP


@parametrize_with_checks([FewShotClassifier(), FewShotClassifier(ink="dark"), FewShotClassifier("tables")])
def test_scikit_learn_checks(estimator: FewShotClassifier, check: object) -> None:
    check(estimator)  # type: ignore[operator]


# ---------------------------------------------------------------------------------------------------- scikit-learn's tools


def test_without_a_learner_it_is_the_nearest_class_mean() -> None:
    rows, labels = load_iris(return_X_y=True)
    theirs = NearestCentroid().fit(rows, labels).predict(rows)
    assert np.array_equal(FewShotClassifier().fit(rows, labels).predict(rows), theirs)


def test_a_learner_on_rows_agrees_with_scikit_learn() -> None:
    rows, labels = load_iris(return_X_y=True)
    nearest = FewShotClassifier(Memory(Identity(4)).double()).fit(rows[::2], labels[::2])
    theirs = KNeighborsClassifier(1).fit(rows[::2], labels[::2])
    assert np.array_equal(nearest.predict(rows[1::2]), theirs.predict(rows[1::2]))


def test_cross_validation_and_pipeline() -> None:
    rows, labels = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[labels]
    alone = cross_val_score(FewShotClassifier(), rows, names, cv=5)
    scaled = make_pipeline(StandardScaler(), FewShotClassifier())
    assert alone.shape == (5,)
    assert alone.min() > 0.8
    assert cross_val_score(scaled, rows, names, cv=5).min() > 0.7
    assert scaled.fit(rows, names).predict_proba(rows).shape == (150, 3)
    assert cross_val_score(scaled, rows, names, cv=3, scoring="neg_log_loss").max() < 0


def test_cross_validation_on_images() -> None:
    images, labels = drawings(12), ["upright", "level"] * 6
    assert cross_val_score(FewShotClassifier(saved("pixels")), images, labels, cv=3).tolist() == [1.0, 1.0, 1.0]


def test_grid_search_over_learners_and_ink() -> None:
    rows, labels = load_iris(return_X_y=True)
    poor = Prototypes(MLP(4, hidden=(1,)))
    with torch.no_grad():
        for value in poor.parameters():
            value.zero_()
    search = GridSearchCV(FewShotClassifier(), {"learner": [poor, Prototypes(Identity(4)), None]}, cv=3, error_score="raise")
    search.fit(rows, labels)
    assert search.best_params_["learner"] is not poor
    assert search.best_score_ > 0.8
    images = np.concatenate([drawings(6), 255 - drawings(6, seed=1)])
    inks = GridSearchCV(FewShotClassifier(saved("pixels")), {"ink": ["dark", "light"]}, cv=2, error_score="raise")
    assert inks.fit(images, [0, 1] * 6).cv_results_["mean_test_score"].shape == (2,)


def test_clone_and_parameters() -> None:
    classifier = FewShotClassifier(saved(), ink="light")
    assert set(classifier.get_params()) == {"learner", "ink"}
    twin = clone(classifier.fit(drawings(2), ["a", "b"]))
    assert not hasattr(twin, "skill_")
    assert twin.get_params()["ink"] == "light"
    assert classifier.set_params(ink=None).ink is None
    with pytest.raises(NotFittedError):
        twin.predict(drawings(1))
    with pytest.raises(NotFittedError):
        twin.score(drawings(1), ["a"])
    with pytest.raises(NotFittedError):
        twin.save("never.qs")
    with pytest.raises(AttributeError, match="after fit"):
        _ = twin.classes_


# ---------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("name", [PROTOTYPES, "pixels", DESCENT, MEMORY])
def test_probabilities_fit_predictions_for_any_learner(name: str) -> None:
    classifier = FewShotClassifier(saved(name)).fit(drawings(6), ["upright", "level"] * 3)
    images = drawings(8, seed=1)
    probabilities = classifier.predict_proba(images)
    assert probabilities.shape == (8, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (probabilities >= 0).all()
    assert classifier.classes_.tolist() == ["level", "upright"]
    assert classifier.predict(images).tolist() == classifier.classes_[probabilities.argmax(1)].tolist()
    if name in ("pixels", MEMORY):
        assert classifier.predict(images).tolist() == ["upright", "level"] * 4


def test_images_of_every_size_and_kind(tmp_path: pathlib.Path) -> None:
    classifier = FewShotClassifier(saved("pixels")).fit(drawings(2), ["upright", "level"])
    [upright, level] = drawings(2, seed=1, size=(50, 70))
    PIL.Image.fromarray(upright).save(tmp_path / "upright.png")
    encoded = io.BytesIO()
    PIL.Image.fromarray(level).convert("RGB").save(encoded, "JPEG")
    images = [
        tmp_path / "upright.png",
        encoded.getvalue(),
        PIL.Image.fromarray(upright),
        PIL.Image.fromarray(level).convert("RGBA"),
        upright,
        level / 255.0,
        np.repeat(upright[..., None], 3, axis=2),
        level[..., None],
        str(tmp_path / "upright.png"),
    ]
    assert classifier.predict(images).tolist() == ["upright", "level"] * 4 + ["upright"]


def test_ink_is_declared_not_guessed() -> None:
    dark = FewShotClassifier(saved("pixels"), ink="dark").fit(drawings(2), ["upright", "level"])
    light = FewShotClassifier(saved("pixels"), ink="light").fit(255 - drawings(2), ["upright", "level"])
    for name, value in dark.skill_.state.items():
        np.testing.assert_array_equal(value, light.skill_.state[name])
    np.testing.assert_array_equal(dark.predict_proba(drawings(4)), light.predict_proba(255 - drawings(4)))


def test_many_images_are_predicted_as_few_are() -> None:
    classifier = FewShotClassifier(saved("pixels")).fit(drawings(2), ["upright", "level"])
    many = classifier.predict_proba(drawings(600, seed=3))
    np.testing.assert_allclose(many[590:], classifier.predict_proba(drawings(600, seed=3)[590:]), rtol=1e-5)


# ---------------------------------------------------------------------------------------------------- labels, shots and classes

LABELS: dict[str, tuple[Hashable, Hashable]] = {
    "texts": ("level", "upright"),
    "whole numbers": (-3, 7),
    "numbers": (0.5, 2.5),
    "truth values": (False, True),
    "tuples": (("a", 1), ("b", 2)),
    "frozen sets": (frozenset([1]), frozenset([2])),
    "mixed": ("a", 1),
    "with None": (None, "a"),
    "numpy": (np.int64(3), np.int64(9)),
    "bytes": (b"a", b"b"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_any_hashable_labels(kind: str) -> None:
    first, second = LABELS[kind]
    classifier = FewShotClassifier(saved("pixels")).fit(drawings(4), [first, second] * 2)
    found = classifier.predict(drawings(4, seed=1))
    assert [*found] == [first, second] * 2
    assert set(classifier.classes_) == {first, second}
    assert classifier.score(drawings(4, seed=1), [first, second] * 2) == 1
    assert classifier.score(drawings(4, seed=1), [first] * 4) == 0.5
    assert classifier.score(drawings(4, seed=1), [first] * 4, sample_weight=[3, 1, 0, 0]) == 0.75


def test_unequal_shots_are_means_of_as_many_as_there_are() -> None:
    rows = np.array([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [0.0, 7.0]])
    classifier = FewShotClassifier().fit(rows, ["a", "a", "b", "c"])
    logits = [-((rows - centre) ** 2).sum(1) for centre in ([1.0, 0.0], [10.0, 0.0], [0.0, 7.0])]
    expected = np.exp(logits) / np.exp(logits).sum(0)
    np.testing.assert_allclose(classifier.predict_proba(rows), expected.T, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [PROTOTYPES, "pixels", MEMORY])
def test_partial_fit_in_parts_is_fit_at_once(name: str) -> None:
    images, labels = drawings(12, seed=5), ["b", "a"] * 3 + ["c", "a"] * 3
    at_once = FewShotClassifier(saved(name)).fit(images, labels)
    in_parts = FewShotClassifier(saved(name))
    for part in (slice(0, 1), slice(1, 6), slice(6, 12)):
        in_parts.partial_fit(images[part], labels[part])
    assert in_parts.skill_.labels == ["b", "a", "c"]  # new classes come last
    assert in_parts.classes_.tolist() == ["a", "b", "c"]  # but columns are sorted
    found, expected = (classifier.predict_proba(drawings(8, seed=6)) for classifier in (in_parts, at_once))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_partial_fit_of_a_gradient_learner_goes_on() -> None:
    classifier = FewShotClassifier(saved(DESCENT)).partial_fit(drawings(4), ["a", "b"] * 2)
    before = classifier.predict_proba(drawings(2))
    classifier.partial_fit(drawings(2, seed=2), ["c", "a"])
    assert classifier.classes_.tolist() == ["a", "b", "c"]
    after = classifier.predict_proba(drawings(2))
    assert after.shape == (2, 3)
    assert not np.allclose(after[:, :2], before)


def test_partial_fit_with_expected_classes() -> None:
    classifier = FewShotClassifier().partial_fit([[0.0], [1.0]], ["b", "a"], classes=["z", "a", "b"])
    assert classifier.classes_.tolist() == ["a", "b", "z"]
    assert classifier.predict_proba([[0.0]])[0, 2] == 0  # nothing of class z was seen
    assert classifier.partial_fit([[9.0]], ["z"]).predict([[8.0]]).tolist() == ["z"]


def test_fit_forgets_what_was_learned_before() -> None:
    classifier = FewShotClassifier().fit([[0.0], [1.0]], ["a", "b"]).fit([[0.0, 1.0], [1.0, 3.0]], ["c", "d"])
    assert classifier.classes_.tolist() == ["c", "d"]
    assert classifier.n_features_in_ == 2


def test_one_class_is_enough() -> None:
    classifier = FewShotClassifier().fit([[0.0], [1.0]], ["a", "a"])
    assert classifier.predict([[5.0]]).tolist() == ["a"]
    assert classifier.predict_proba([[5.0]]).tolist() == [[1.0]]


def test_the_learner_is_not_changed() -> None:
    learner = saved()
    before = {name: value.clone() for name, value in learner.learner.state_dict().items()}
    FewShotClassifier(learner).fit(drawings(4), [0, 1, 0, 1]).partial_fit(drawings(1), [2]).predict(drawings(3))
    assert all(torch.equal(value, before[name]) for name, value in learner.learner.state_dict().items())


@pytest.mark.parametrize("name", discovery.names("learners"))
def test_what_was_learned_first_is_not_forgotten(name: str, tmp_path: pathlib.Path) -> None:
    """Five classes, and then one more: the five are predicted as well as when all six were learned at once."""
    torch.manual_seed(0)
    net = load_learner("omniglot").learner.net
    learner = discovery.load("learners", name)(net)
    for steps in {"inner_steps", "adapt_steps"} & hyperparameters(learner).keys():
        setattr(learner, steps, min(getattr(learner, steps), 25))
    saved = SavedLearner(learner, ImageSpec(28, 28, 1, "dark"))
    data = load("digits", "all")
    pictures = {c: data.examples["image"][data.starts[c] : data.starts[c] + 12] for c in range(6)}
    x, y = np.concatenate([pictures[c][:5] for c in range(6)]), np.repeat(np.arange(6), 5)
    queries, wanted = np.concatenate([pictures[c][5:] for c in range(6)]), np.repeat(np.arange(6), 7)
    together = FewShotClassifier(saved, ink="light").fit(x, y)
    apart = FewShotClassifier(saved, ink="light").fit(x[:25], y[:25])
    apart.save(tmp_path / "five.qs")
    for five in (apart, FewShotClassifier.load(tmp_path / "five.qs")):
        five.partial_fit(x[25:], y[25:])
        # Many Adam steps amplify rounding, and tensors from a file lie in memory in another order: hence not closer.
        np.testing.assert_allclose(five.predict_proba(queries), together.predict_proba(queries), atol=0.05)
        assert five.score(queries, wanted) == pytest.approx(together.score(queries, wanted), abs=0.05)
    own = [value for key, value in learner.named_parameters() if not key.startswith("net.")]
    if all(value.dim() < 2 for value in own):  # else what compares features is random until it is trained
        assert together.score(queries, wanted) > 0.5


# ---------------------------------------------------------------------------------------------------- files


def test_saved_and_loaded(tmp_path: pathlib.Path) -> None:
    classifier = FewShotClassifier(saved()).fit(drawings(5), ["a", "b", "a", "b", "a"])
    classifier.save(tmp_path / "my.qs")
    again = FewShotClassifier.load(tmp_path / "my.qs")
    assert again.classes_.tolist() == ["a", "b"]
    images = drawings(4, seed=2)
    np.testing.assert_array_equal(again.predict_proba(images), classifier.predict_proba(images))
    for one in (again, classifier):
        one.partial_fit(drawings(1, seed=3), ["c"])
    np.testing.assert_array_equal(again.predict_proba(images), classifier.predict_proba(images))
    twin = clone(again).fit(drawings(2), ["x", "y"])  # a loaded classifier can be fitted anew
    assert twin.classes_.tolist() == ["x", "y"]


def test_a_loaded_classifier_reads_images_as_it_is_told(tmp_path: pathlib.Path) -> None:
    images = drawings(4)
    dark = FewShotClassifier(saved("pixels"), ink="dark").fit(images, ["a", "b"] * 2)
    dark.save(tmp_path / "my.qs")
    assert FewShotClassifier.load(tmp_path / "my.qs").get_params()["ink"] == "dark"
    light = FewShotClassifier.load(tmp_path / "my.qs", ink="light")
    np.testing.assert_array_equal(light.predict_proba(255 - images), dark.predict_proba(images))
    assert light.get_params()["ink"] == "light"


def test_a_classifier_on_a_file_a_run_or_rows(tmp_path: pathlib.Path) -> None:
    save_learner(tmp_path / "learner.safetensors", saved())
    from_file = FewShotClassifier(tmp_path / "learner.safetensors").fit(drawings(2), [0, 1])
    from_run = FewShotClassifier(str(tmp_path)).fit(drawings(2), [0, 1])
    for name, value in from_file.skill_.state.items():
        np.testing.assert_array_equal(value, from_run.skill_.state[name])
    loaded = FewShotClassifier.from_pretrained(tmp_path).fit(drawings(2), [0, 1])
    assert loaded.predict(drawings(2)).tolist() == [0, 1]
    rows = FewShotClassifier().fit([[0.0], [4.0]], [True, False])
    rows.save(tmp_path / "rows.qs")
    again = FewShotClassifier.load(tmp_path / "rows.qs")
    assert (again.predict([[1.0]]).tolist(), again.n_features_in_) == ([True], 1)


def test_labels_that_a_file_cannot_hold(tmp_path: pathlib.Path) -> None:
    classifier = FewShotClassifier().fit([[0.0], [1.0]], [("a", 1), ("b", 2)])
    with pytest.raises(DataError, match=r"label \('a', 1\) is a tuple"):
        classifier.save(tmp_path / "my.qs")
    assert pickle.loads(pickle.dumps(classifier)).predict([[0.9]]).tolist() == [("b", 2)]


# ---------------------------------------------------------------------------------------------------- everyday situations


@pytest.mark.parametrize("flip", [np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1], np.s_[::2]])
def test_views_with_strides_of_every_sign(flip: object) -> None:
    x, y = np.random.default_rng(0).random((6, 3)), np.array(list("aabbcc"))
    view = x[flip]  # type: ignore[index]
    labels = y[: len(view)]
    classifier, copied = FewShotClassifier().fit(view, labels), FewShotClassifier().fit(view.copy(), labels)
    np.testing.assert_array_equal(classifier.predict_proba(view), copied.predict_proba(view.copy()))
    images = drawings(4)[::-1]
    np.testing.assert_array_equal(
        FewShotClassifier(saved("pixels")).fit(images, [0, 1, 0, 1]).predict(images), np.array([0, 1, 0, 1])
    )


@pytest.mark.parametrize("scorer", ["roc_auc_ovr", "neg_log_loss", "top_k_accuracy", "neg_brier_score", "accuracy"])
def test_scorers_read_the_right_columns_after_partial_fit(scorer: str) -> None:
    x, y = load_iris(return_X_y=True)
    y = np.array(["setosa", "versicolor", "virginica"])[y]
    later = FewShotClassifier().fit(x[50:], y[50:]).partial_fit(x[:50], y[:50])
    assert later.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert later.skill_.labels[-1] == "setosa"
    assert get_scorer(scorer)(later, x, y) == pytest.approx(get_scorer(scorer)(FewShotClassifier().fit(x, y), x, y))


def test_labels_that_cannot_be_compared_stay_in_the_order_of_the_state() -> None:
    classifier = FewShotClassifier().fit([[0.0], [1.0]], ["b", 1])
    assert [*classifier.classes_] == classifier.skill_.labels == ["b", 1]


def test_what_one_engine_takes_as_images_the_other_takes() -> None:
    images, labels = 255 - drawings(4), ["a", "b", "a", "b"]
    encoded = []
    for image in images:
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(buffer, "PNG")
        encoded.append(bytearray(buffer.getvalue()))
    for learner in ("omniglot", load_learner("omniglot")):
        expected = FewShotClassifier(learner, ink="light").fit(images, labels).predict_proba(images)
        for given in (torch.from_numpy(images), [*torch.from_numpy(images)], encoded, (images / 255).tolist()):
            found = FewShotClassifier(learner, ink="light").fit(given, labels).predict_proba(given)
            np.testing.assert_allclose(found, expected, atol=1e-6)
        with pytest.raises(DataError, match="an image is None; expected a path"):
            FewShotClassifier(learner).fit([images[0], None], ["a", "b"])


@pytest.mark.parametrize("kind", [Prototypes, Descent])
def test_a_learner_of_bfloat16_learns_predicts_and_is_saved(kind: type[Learner], tmp_path: pathlib.Path) -> None:
    rows, labels = load_iris(return_X_y=True)
    torch.manual_seed(0)
    exact = kind(MLP(4, hidden=(8,)))
    classifier = FewShotClassifier(copy.deepcopy(exact).bfloat16()).fit(rows[::4], labels[::4])
    expected = FewShotClassifier(exact).fit(rows[::4], labels[::4]).predict_proba(rows)
    np.testing.assert_allclose(classifier.predict_proba(rows), expected, atol=0.1)
    classifier.save(tmp_path / "mine.qs")
    again = FewShotClassifier.load(tmp_path / "mine.qs")
    np.testing.assert_array_equal(again.predict_proba(rows), classifier.predict_proba(rows))
    assert again.partial_fit(rows[1::4], labels[1::4]).predict(rows).shape == (150,)


class Mine(torch.nn.Module):
    """A net of the user's own."""

    features = 8

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(256, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


class Own(Prototypes):
    """A learner of the user's own."""


def test_a_net_and_a_learner_of_ones_own_are_given_when_loading(tmp_path: pathlib.Path) -> None:
    classifier = FewShotClassifier(SavedLearner(Prototypes(Mine()), SPEC)).fit(drawings(4), list("abab"))
    classifier.save(tmp_path / "mine.qs")
    with pytest.raises(ConfigError, match="pass an instance as net="):
        FewShotClassifier.load(tmp_path / "mine.qs")
    again = FewShotClassifier.load(tmp_path / "mine.qs", net=Mine())
    np.testing.assert_array_equal(again.predict_proba(drawings(4)), classifier.predict_proba(drawings(4)))
    FewShotClassifier(SavedLearner(Own(Identity(256)), SPEC)).fit(drawings(4), list("abab")).save(tmp_path / "own.qs")
    with pytest.raises(ConfigError, match="pass its class as learner="):
        FewShotClassifier.load(tmp_path / "own.qs")
    assert FewShotClassifier.load(tmp_path / "own.qs", learner=Own).predict(drawings(2)).tolist() == ["a", "b"]


def test_columns_are_part_of_a_saved_classifier(tmp_path: pathlib.Path) -> None:
    rows, labels = np.array([[0.0, 9.0], [1.0, 8.0], [9.0, 0.0], [8.0, 1.0]]), ["a", "a", "b", "b"]
    classifier = FewShotClassifier().fit(pd.DataFrame(rows, columns=["low", "high"]), labels)
    classifier.save(tmp_path / "mine.qs")
    swapped = pd.DataFrame(rows[:, ::-1], columns=["high", "low"])
    skill = Skill.load(tmp_path / "mine.qs")
    assert skill.predict(swapped) == labels
    again = FewShotClassifier.load(tmp_path / "mine.qs")
    assert again.n_features_in_ == 2
    assert again.feature_names_in_.tolist() == ["low", "high"]
    assert again.predict(pd.DataFrame(rows, columns=["low", "high"])).tolist() == labels


def test_a_classifier_on_a_bundle_is_pickled() -> None:
    classifier = FewShotClassifier("omniglot", ink="light").fit(255 - drawings(4), list("abab"))
    expected = classifier.predict_proba(255 - drawings(4))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).predict_proba(255 - drawings(4)), expected)
    assert cross_val_score(FewShotClassifier("omniglot", ink="light"), 255 - drawings(8), [0, 1] * 4, cv=2, n_jobs=2).min() == 1
    get_reusable_executor().shutdown(wait=True)  # joblib would keep its processes for what comes next


def test_probabilities_use_the_temperature() -> None:
    sharp, soft = (FewShotClassifier(SavedLearner(Prototypes(Identity(2)), temperature=t)) for t in (1.0, 4.0))
    rows = [[0.0, 0.0], [1.0, 1.0]]
    logits = np.log(sharp.fit(rows, [0, 1]).predict_proba(rows))
    powers = np.exp(logits / 4)
    np.testing.assert_allclose(soft.fit(rows, [0, 1]).predict_proba(rows), powers / powers.sum(1, keepdims=True), rtol=1e-5)
