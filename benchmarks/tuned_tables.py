"""The learner `tables` beside classifiers that are tuned for each table: python benchmarks/tuned_tables.py --models forest tables

The tables, and the rows of each that are learned from and asked about, are those of `tables.py`. Each classifier of scikit-learn tries its
defaults and 19 settings drawn at random, by the area under the ROC curve within the rows that it may learn from: that of three parts of
these, each of which is answered by a model of the others, or, in a forest, that of the rows that each tree left out (out of bag). The
setting with the largest area is fitted to all of them.
Where only one class has two rows, nothing can be tried, and the defaults stay. Records are kept for each model and split, and
`--splits` adds more: models are compared on the splits that all of them have. Set QUICKSTUDY_DATA to the folder that holds `pmlb/`.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tables
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterSampler, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from quickstudy.errors import InputWarning

RESULTS = pathlib.Path(__file__).parent / "results" / "tuned_tables.json"
TRIALS = {"tried": 20, "parts": 3}
"""Settings that are tried, of which the first are the defaults; most parts into which the rows to learn from are parted."""
OURS = "tables"
"""Name of the learner of quickstudy, which ships, and is not tuned."""


class Tuned(NamedTuple):
    """A classifier, the settings of its last step from which trials are drawn, and whether its columns are scaled."""

    model: Any
    space: dict[str, Any]
    scaled: bool = True


MODELS = {
    "logistic": Tuned(LogisticRegression(), {"C": loguniform(1e-3, 1e3)}),
    "svc": Tuned(SVC(random_state=0), {"C": loguniform(1e-2, 1e3), "gamma": loguniform(1e-4, 10)}),
    "neighbours": Tuned(KNeighborsClassifier(), {"n_neighbors": range(1, 31), "weights": ["uniform", "distance"], "p": [1, 2]}),
    "forest": Tuned(
        RandomForestClassifier(oob_score=True, random_state=0),
        {"max_features": ["sqrt", 0.25, 0.5, 1.0], "min_samples_leaf": [1, 2, 3, 5, 10], "max_depth": [None, 2, 4, 8]},
        scaled=False,
    ),
    "boosting": Tuned(
        HistGradientBoostingClassifier(random_state=0),
        {
            "learning_rate": loguniform(0.01, 0.5),
            "max_leaf_nodes": [2, 4, 8, 16, 31],
            "min_samples_leaf": [1, 2, 5, 10, 20],
            "l2_regularization": loguniform(1e-6, 10),
        },
        scaled=False,
    ),
}
"""Classifiers, with what is tuned of each."""


def fitted(tuned: Tuned, setting: dict[str, Any], x: np.ndarray, y: np.ndarray) -> Any:
    """Return the classifier of a setting, fitted; with fewer rows than neighbours, all rows are neighbours."""
    setting = setting | ({"n_neighbors": min(setting.get("n_neighbors", 5), len(y))} if "n_neighbors" in tuned.space else {})
    model: Any = clone(tuned.model)
    model.set_params(**setting)
    return (make_pipeline(StandardScaler(), model) if tuned.scaled else model).fit(x, y)


def scores_of(model: Any, rows: np.ndarray, classes: int) -> np.ndarray:
    """Return a score of each class for each row; the lowest of all for classes that the model never met."""
    found = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.decision_function(rows)
    found = np.stack([-found, found], 1) if found.ndim == 1 else found
    scores = np.full((len(rows), classes), found.min())
    scores[:, model.classes_] = found
    return scores


def parts(y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return rows to learn from and rows to be asked about, several times; the only row of a class is always learned from.

    Nothing is returned if less than two classes have two rows.
    """
    counts = np.bincount(y)
    alone, others = np.flatnonzero(counts[y] == 1), np.flatnonzero(counts[y] > 1)
    if len(set(y[others])) > 1:
        folds = StratifiedKFold(min(TRIALS["parts"], counts[counts > 1].min()), shuffle=True, random_state=0)
        for known, asked in folds.split(others, y[others]):
            yield np.concatenate([alone, others[known]]), others[asked]


def judged(tuned: Tuned, setting: dict[str, Any], x: np.ndarray, y: np.ndarray) -> float:
    """Return the area under the ROC curve of a setting on rows that were not learned from; -inf if there are none."""
    if isinstance(tuned.model, RandomForestClassifier):
        scores = fitted(tuned, setting, x, y).oob_decision_function_
        seen = np.isfinite(scores).all(1)
        return tables.area(scores[seen], y[seen])
    found = [(asked, scores_of(fitted(tuned, setting, x[known], y[known]), x[asked], y.max() + 1)) for known, asked in parts(y)]
    if not found:
        return -np.inf
    return tables.area(np.concatenate([scores for _, scores in found]), y[np.concatenate([asked for asked, _ in found])])


def of_tuned(tuned: Tuned) -> Callable[[tables.Split], tuple[np.ndarray, np.ndarray]]:
    """Return a function that tunes a classifier and fits it, and returns scores of the classes and the answers."""

    def ask(given: tables.Split) -> tuple[np.ndarray, np.ndarray]:
        x, y, asked, _ = given
        settings = [{}, *ParameterSampler(tuned.space, TRIALS["tried"] - 1, random_state=0)]
        best = max(settings, key=lambda setting: judged(tuned, setting, x, y))  # the first of those that are level
        model = fitted(tuned, best, x, y)
        return scores_of(model, asked, y.max() + 1), model.predict(asked)

    return ask


def averaged(scores: dict[str, dict[str, tables.Measures]]) -> dict[str, tables.Measures]:
    """Return the measures of each model, averaged over the splits that all models have."""
    splits = set.intersection(*map(set, scores.values()))
    return {
        model: {
            context: {name: np.mean([of[split][context][name] for split in splits], 0).tolist() for name in sets}
            for context, sets in next(iter(of.values())).items()
        }
        for model, of in (scores.items() if splits else ())
    }


def record(model: str, split: str, found: tables.Measures) -> None:
    """Put one model's records of one split in the file; other processes may do so at the same time."""
    with RESULTS.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        scores = json.loads(RESULTS.read_text())["scores"] if RESULTS.exists() else {}
        scores.setdefault(model, {})[split] = found
        scores = {name: scores[name] for name in [*MODELS, OURS] if name in scores}
        means = averaged(scores)
        written = {
            "command": "python benchmarks/tuned_tables.py",
            "protocol": TRIALS | {"contexts": tables.CONTEXTS, "splits": len(set.intersection(*map(set, scores.values())))},
            "rows": tables.summary(means) if means else [],
            "scores": scores,
        }
        RESULTS.write_text(json.dumps(written, indent=1) + "\n")


def main() -> None:
    """Measure what is not recorded yet, and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[*MODELS, OURS], choices=[*MODELS, OURS], help="what is measured")
    parser.add_argument("--splits", nargs="+", default=["0", "1"], help="numbers of the splits; 0 and 1 by default")
    options = parser.parse_args()
    for category in (InputWarning, ConvergenceWarning):
        warnings.simplefilter("ignore", category)
    data = tables.sets()
    for split in options.splits:
        for model in options.models:
            if split not in (json.loads(RESULTS.read_text())["scores"].get(model, {}) if RESULTS.exists() else {}):
                ask = tables.of_quickstudy(OURS) if model == OURS else of_tuned(MODELS[model])
                record(model, split, tables.measured(ask, data, [int(split)]))


if __name__ == "__main__":
    main()
