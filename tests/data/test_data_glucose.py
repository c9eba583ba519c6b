"""Simulated patients: the model beside a solver of differential equations, and the splits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from quickstudy import load_data
from quickstudy.data.known import glucose


@pytest.mark.parametrize("factor", ["usual", "ill"])
def test_steps_of_a_minute_follow_the_model_as_a_solver_does(factor: str) -> None:
    rate = {name: one.usual * (one.ill if factor == "ill" else 1.0) for name, one in glucose.RATES.items()}

    def change(minute: float, now: np.ndarray) -> list[float]:
        sugar, action, insulin = now
        time = minute / rate["absorption"]
        return [
            rate["appearance"] / rate["absorption"] * time * np.exp(-time)
            - (rate["effectiveness"] + action) * sugar
            + rate["effectiveness"] * rate["fasting"],
            rate["sensitivity"] * (insulin - rate["insulin"]) - rate["fading"] * action,
            rate["secretion"] * max(sugar - rate["fasting"], 0) - rate["clearance"] * (insulin - rate["insulin"]),
        ]

    minutes = np.arange(241)
    exact = solve_ivp(change, (0, 240), [rate["fasting"], 0.0, rate["insulin"]], t_eval=minutes, rtol=1e-8, atol=1e-8).y[0]
    found = glucose.followed({name: np.array([value]) for name, value in rate.items()})[0]
    assert exact.max() > rate["fasting"] + 40
    np.testing.assert_allclose(found, exact, atol=3.0)


def test_patients_are_in_one_split_each_and_always_the_same() -> None:
    parts = [load_data("glucose", split) for split in ("train", "val", "test")]
    names = [name for part in parts for name in part.classes]
    assert len(names) == len(set(names)) == 600
    assert all((part.counts == 25).all() for part in parts)
    assert load_data("glucose", "all").fingerprint == load_data("glucose", "all").fingerprint
    assert (glucose.simulated(2, seed=0) != glucose.simulated(2, seed=1)).any()


def test_the_scale_is_that_of_the_patients_of_training() -> None:
    train = load_data("glucose", "train")
    values = train.values[train.rows]
    assert glucose.SCALE.location[0] == pytest.approx(values.mean(), abs=0.1)
    assert glucose.SCALE.spread[0] == pytest.approx(values.std(), abs=0.1)


def test_who_answers_weakly_to_insulin_has_more_sugar_after_two_hours() -> None:
    usual, ill = (
        {name: np.array([one.usual * (one.ill if sick else 1)]) for name, one in glucose.RATES.items()} for sick in (0, 1)
    )
    assert glucose.followed(ill)[0, 120] > glucose.followed(usual)[0, 120] + 50
