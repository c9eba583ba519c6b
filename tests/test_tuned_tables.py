"""Tuning of the classifiers that a learner of tables is compared with: they are judged on rows that were not learned from."""

from __future__ import annotations

import importlib
import pathlib
import types

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("tuned_tables")


def test_the_only_row_of_a_class_is_always_learned_from_and_all_others_are_asked_about_once(tuned: types.ModuleType) -> None:
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 2])
    parts = list(tuned.parts(y))
    assert sorted(np.concatenate([asked for _, asked in parts])) == list(range(9))
    for known, asked in parts:
        assert 9 in known
        assert not set(known) & set(asked)
    assert list(tuned.parts(np.array([0, 0, 0, 1]))) == []  # one class would be left to tell apart


def test_a_class_that_a_model_never_met_has_the_lowest_score(tuned: types.ModuleType) -> None:
    x, y = np.array([[0.0], [0.1], [1.0], [1.1]]), np.array([0, 0, 2, 2])
    model = tuned.fitted(tuned.MODELS["forest"], {}, x, y)
    scores = tuned.scores_of(model, x, 4)
    assert scores.argmax(1).tolist() == [0, 0, 2, 2]
    assert (scores[:, [1, 3]] == scores.min()).all()


@pytest.mark.parametrize("name", ["svc", "forest", "neighbours"])
def test_tuning_finds_what_the_defaults_miss(name: str, tuned: types.ModuleType) -> None:
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, size=(60, 2))
    labels = (np.floor(3 * x).sum(1) % 2).astype(int)  # a chess board, of which the area says little by the defaults
    given = x[:40], labels[:40], x[40:], labels[40:]
    settings = [{}, *tuned.ParameterSampler(tuned.MODELS[name].space, tuned.TRIALS["tried"] - 1, random_state=0)]
    judged = [tuned.judged(tuned.MODELS[name], setting, *given[:2]) for setting in settings]
    scores, answers = tuned.of_tuned(tuned.MODELS[name])(given)
    best = tuned.fitted(tuned.MODELS[name], settings[int(np.argmax(judged))], *given[:2])
    assert max(judged) > judged[0]
    assert (scores == tuned.scores_of(best, x[40:], 2)).all()
    assert (answers == best.predict(x[40:])).all()
