"""FewShotRegressor: scikit-learn's own checks, its default beside scikit-learn's, trained learners, files, more examples."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import torch
from builders import DESCENT, PROTOTYPES, Descent, Prototypes
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from quickstudy import FewShotClassifier, FewShotRegressor, SavedLearner, Skill
from quickstudy.errors import ConfigError, DataError, ModelError
from quickstudy.estimators._ridge import KernelRidge
from quickstudy.export.bundle import to_bundle
from quickstudy.nets.identity import Identity
from quickstudy.nets.mlp import MLP
from quickstudy.runtime import Learner
from quickstudy.tasks.sinusoid import SinusoidTasks
from quickstudy.training.fit import fit
from quickstudy.training.settings import EngineSettings, TrainingSettings


@parametrize_with_checks([FewShotRegressor(), FewShotRegressor("table_values")])
def test_scikit_learn_checks(estimator: FewShotRegressor, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def test_each_row_is_answered_as_if_it_were_alone() -> None:
    x, y = load_diabetes(return_X_y=True)
    model = FewShotRegressor("table_values").fit(x[:30], y[:30])
    alone = np.concatenate([model.predict(x[place : place + 1]) for place in range(30, 50)])
    np.testing.assert_allclose(model.predict(x[30:50]), alone, rtol=0, atol=1e-6 * y[:30].std())


def test_the_default_is_kernel_ridge_in_closed_form() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=12)
    scaled = (x - x.mean(0)) / x.std(0)
    apart = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
    kernel = np.exp(-apart / 6) + scaled @ scaled.T / 3
    expected = kernel @ np.linalg.solve(kernel + 0.3 * np.eye(12), y - y.mean()) + y.mean()
    np.testing.assert_allclose(FewShotRegressor().fit(x, y).predict(x), expected, rtol=1e-8)


def test_the_default_predicts_as_well_as_ridge_on_lines_and_better_on_curves() -> None:
    x, y = load_diabetes(return_X_y=True)
    ours, theirs = (cross_val_score(model, x[:200], y[:200], cv=5).mean() for model in (FewShotRegressor(), Ridge(0.1)))
    assert ours > theirs - 0.05
    line = np.linspace(-3, 3, 20)[:, None]
    curve = np.sin(line[:, 0])
    assert FewShotRegressor().fit(line[::2], curve[::2]).score(line[1::2], curve[1::2]) > 0.8
    assert Ridge(0.1).fit(line[::2], curve[::2]).score(line[1::2], curve[1::2]) < 0.6


def test_padding_does_not_count_in_closed_form() -> None:
    from quickstudy import Examples, Values

    x, y = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 1, dtype=torch.float64)
    learner = KernelRidge(Identity(2).double())
    alone = learner.predict(learner.adapt(Examples(x[:4], Values(y[:4]))), x)
    masked = learner.predict(learner.adapt(Examples(x, Values(y), torch.arange(6) < 4)), x)
    torch.testing.assert_close(masked, alone)


def test_saved_and_loaded_and_more_examples(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    whole = FewShotRegressor().fit(x, y)
    part = FewShotRegressor().partial_fit(x[:12], y[:12])
    part.save(tmp_path / "mine.qs")
    again = FewShotRegressor.load(tmp_path / "mine.qs")
    for one in (part, again):
        np.testing.assert_allclose(one.partial_fit(x[12:], y[12:]).predict(x), whole.predict(x), rtol=1e-6)
        assert one.predict(x).shape == (20, 2)
    with pytest.raises(DataError, match="y has 1 values per example; expected 2"):
        again.partial_fit(x[:2], y[:2, 0])
    with pytest.raises(ValueError, match="4 features"):
        again.predict(np.zeros((1, 4)))
    assert clone(again).fit(x, y[:, 0]).predict(x).shape == (20,)
    with pytest.raises(NotFittedError):
        clone(again).predict(x)


def test_it_cannot_be_exported_by_name() -> None:
    with pytest.raises(ModelError, match="it solves a linear system"):
        to_bundle(SavedLearner(KernelRidge(Identity(2)), target="values"), features=2)


@pytest.fixture(scope="module")
def sinusoids() -> SavedLearner:
    """Train a learner that takes gradient steps on curves, for a moment: enough to predict points of a curve that it was not shown."""
    torch.manual_seed(0)
    learner = Descent(MLP(1, hidden=(40, 40)), inner_lr=0.01, inner_steps=5, head_ways=1)
    engine = EngineSettings("vmap", capture=True)
    settings = TrainingSettings(steps=600, tasks_per_step=8, lr=3e-3, engine=engine)
    fit(learner, SinusoidTasks(shots=10, queries=10), settings=settings)
    return SavedLearner(learner, target="values")


def test_a_trained_learner_predicts_points_of_curves_that_it_was_not_shown(sinusoids: SavedLearner) -> None:
    scores = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-5, 5, size=(40, 1)).astype(np.float32)
        y = rng.uniform(1, 4) * np.sin(x[:, 0] - rng.uniform(0, np.pi))
        scores.append(FewShotRegressor(sinusoids).fit(x[:10], y[:10]).score(x[10:], y[10:]))
    assert np.mean(scores) > 0.6  # the mean of the values has 0


def test_a_trained_learner_fits_curves_here_and_in_the_runtime(sinusoids: SavedLearner, tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(-5, 5, size=(40, 1)).astype(np.float32)
    y = 2 * np.sin(x[:, 0] - 0.5)
    regressor = FewShotRegressor(sinusoids).fit(x[:10], y[:10])
    assert regressor.score(x[10:], y[10:]) > 0.6
    light = FewShotRegressor(Learner(to_bundle(sinusoids, features=1))).fit(x[:10], y[:10])
    np.testing.assert_allclose(light.predict(x), regressor.predict(x), atol=1e-4)
    for one in (regressor, light):
        one.save(tmp_path / "curve.qs")
        np.testing.assert_array_equal(FewShotRegressor.load(tmp_path / "curve.qs").predict(x), one.predict(x))
        np.testing.assert_allclose(np.ravel(Skill.load(tmp_path / "curve.qs").predict(x)), one.predict(x))


def test_a_learner_without_spread_says_so(sinusoids: SavedLearner) -> None:
    for learner, name in ((None, "ridge"), (sinusoids, DESCENT)):
        regressor = FewShotRegressor(learner).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
        with pytest.raises(
            ConfigError, match=f"{name} predicts values without their standard deviations; leave out return_std"
        ):
            regressor.predict([[1.5]], return_std=True)


def test_learners_of_another_kind_of_answer(sinusoids: SavedLearner, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=f"{DESCENT} was trained to predict values, not classes; use FewShotRegressor"):
        FewShotClassifier(sinusoids).fit([[0.0], [1.0]], ["a", "b"])
    with pytest.raises(ConfigError, match=f"{PROTOTYPES} learns classes, not values"):
        FewShotRegressor(Prototypes(Identity(1))).fit([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(ConfigError, match=f"{PROTOTYPES} was trained to predict classes, not values; use FewShotClassifier"):
        FewShotRegressor("omniglot").fit([[0.0], [1.0]], [0.0, 1.0])
    FewShotClassifier().fit([[0.0], [1.0]], ["a", "b"]).save(tmp_path / "classes.qs")
    with pytest.raises(ConfigError, match="use FewShotClassifier"):
        FewShotRegressor.load(tmp_path / "classes.qs")
