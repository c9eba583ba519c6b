"""The scale of values: there and back, beside scikit-learn's, and what cannot be scaled is refused in words."""

from __future__ import annotations

import numpy as np
import pydantic
import pytest
import torch
from scipy.stats import norm
from sklearn.preprocessing import StandardScaler

from quickstudy.errors import DataError
from quickstudy.objectives.values import Values
from quickstudy.targets import ValueScale, find

VALUES = np.random.default_rng(0).normal([120.0, 0.002], [30.0, 0.0005], (50, 2))


def test_values_are_scaled_as_scikit_learn_scales_and_come_back() -> None:
    scale = ValueScale.of(["glucose", "insulin"], VALUES)
    np.testing.assert_allclose(scale.scaled(VALUES), StandardScaler().fit_transform(VALUES), atol=1e-12)
    np.testing.assert_allclose(scale.restored(scale.scaled(VALUES)), VALUES, rtol=1e-12)
    found = scale.outputs({"prediction": np.zeros((1, 2)), "spread": np.ones((1, 2))})
    np.testing.assert_allclose(found["prediction"][0], VALUES.mean(0))
    np.testing.assert_allclose(found["spread"][0], VALUES.std(0))
    assert ValueScale.model_validate_json(scale.model_dump_json()) == scale


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[5.0], [5.0]], "'dose' is 5 in all 2 rows of training, so there is nothing to learn"),
        ([[1e300], [-1e300]], "'dose' has values from -1e[+]300 to 1e[+]300, too large"),
    ],
)
def test_what_cannot_be_scaled_is_refused(values: list[list[float]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        ValueScale.of(["dose"], np.array(values))


def test_a_damaged_scale_is_refused() -> None:
    for fields in ({"spread": (0.0,)}, {"location": ()}, {"names": ()}, {"spread": (float("nan"),)}):
        with pytest.raises(pydantic.ValidationError):
            ValueScale.model_validate({"names": ("dose",), "location": (0.0,), "spread": (1.0,)} | fields)


def test_answers_of_a_learner_at_a_scale_are_in_the_unit_of_their_owner() -> None:
    scale = ValueScale.of(["glucose", "insulin"], VALUES)
    target = find("values", scale)
    rows = target.rows(target.read(VALUES[:3]), ())
    np.testing.assert_allclose(rows, scale.scaled(VALUES[:3]))
    np.testing.assert_allclose(target.answers(rows, ()), VALUES[:3])
    with pytest.raises(DataError, match="y has 1 values per example; expected 2: glucose, insulin"):
        target.read([1.0, 2.0])


def test_scores_are_in_the_unit_of_the_values_and_losses_are_not() -> None:
    rows, guess, spread = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.5], [1.0]]), torch.tensor([[0.5], [2.0]])
    y, plain, weight = Values(rows, torch.full((2, 1), 20.0)), Values(rows), torch.ones(2)
    assert y.loss(guess, weight) == plain.loss(guess, weight)
    scores = y.scores(guess, weight, spread)
    assert scores["mean_squared_error"].item() == pytest.approx(np.mean((20 * (guess - rows).numpy()) ** 2))
    theirs = norm(20 * guess.numpy(), 20 * spread.numpy()).logpdf(20 * rows.numpy()).mean()
    assert scores["log_likelihood"].item() == pytest.approx(theirs, rel=1e-5)
