"""A learner of any table beside scikit-learn's classifiers, on tables that it never saw: python benchmarks/tables.py --learner runs/tables

Each set of PMLB (`pmlb/` in the folder QUICKSTUDY_DATA) of at most 100 columns, 10 classes and 150 rows or more is split at random, several
times: all classifiers learn from the same rows, of which each class has at least one, and are asked about the same others. Of sets that
are nearly the same, the first is taken. What is recorded of a classifier stays until it is measured again: `--models` chooses.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from quickstudy import FewShotClassifier
from quickstudy.data.known import pmlb
from quickstudy.errors import InputWarning

RESULTS = pathlib.Path(__file__).parent / "results" / "tables.json"
SIZES = {"columns": 100, "classes": 10, "least": 150, "rows": 1000, "asked": 200, "splits": 5}
"""Most columns and classes of a set, and fewest rows; rows of a set that are used, and of these that are asked about; splits."""
CONTEXTS = {"10": 10, "30": 30, "100": 100, "half": 500}
"""Most rows to learn from; half of the rows that are used, if that is less."""
OURS = "prior_fitted"
"""Name of the learner of quickstudy."""
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Ask = Callable[[Split], tuple[np.ndarray, np.ndarray]]
Measures = dict[str, dict[str, list[float]]]


def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the rows of each set, with means in place of missing values, and their classes, by name."""
    folder = pathlib.Path(os.environ["QUICKSTUDY_DATA"]) / "pmlb"
    index = pandas.read_csv(folder / "index.csv").query(
        f"task == 'classification' and feats <= {SIZES['columns']} and classes <= {SIZES['classes']} and rows >= {SIZES['least']}"
    )
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for _, names in index.groupby(index["name"].map(pmlb.family), sort=True)["name"]:
        name = min(names)
        frame = pandas.read_csv(folder / "classification" / f"{name}.tsv.gz", sep="\t")
        labels = np.unique(frame.pop("target"), return_inverse=True)[1]
        kept = np.random.default_rng(0).permutation(len(labels))[: SIZES["rows"]]
        kept = kept[np.bincount(labels)[labels[kept]] > 3]  # a class needs rows on both sides
        rows = frame.fillna(frame.mean()).to_numpy(float)[kept]
        found[name] = rows, np.unique(labels[kept], return_inverse=True)[1]
    return found


def split(rows: np.ndarray, labels: np.ndarray, context: int, seed: int) -> Split | None:
    """Return rows to learn from with their classes, and rows to be asked about with theirs; None if a class has less than two rows each."""
    count, classes = min(context, len(labels) // 2), labels.max() + 1
    if count < 2 * classes:
        return None
    order = np.random.default_rng(seed).permutation(len(labels))
    first = np.unique(labels[order], return_index=True)[1]  # of each class, so that all are met
    order = np.concatenate([order[first], np.delete(order, first)])
    known, asked = order[:count], order[count : count + SIZES["asked"]]
    return rows[known], labels[known], rows[asked], labels[asked]


def of_sklearn(make: Callable[[int], Any], scaled: bool) -> Ask:
    """Return a function that fits a classifier, and returns scores of the classes and the answers."""

    def ask(given: Split) -> tuple[np.ndarray, np.ndarray]:
        x, y, asked, _ = given
        model = make_pipeline(StandardScaler(), make(len(y))) if scaled else make(len(y))
        model.fit(x, y)
        if hasattr(model, "predict_proba"):
            return model.predict_proba(asked), model.predict(asked)
        scores = model.decision_function(asked)
        return (np.stack([-scores, scores], 1) if scores.ndim == 1 else scores), model.predict(asked)

    return ask


def of_quickstudy(learner: str) -> Ask:
    """Return the same of a learner of quickstudy."""

    def ask(given: Split) -> tuple[np.ndarray, np.ndarray]:
        x, y, asked, _ = given
        found = FewShotClassifier.from_pretrained(learner).fit(x, y).predict_proba(asked)
        return found, found.argmax(1)

    return ask


MODELS: dict[str, Ask] = {
    "logistic": of_sklearn(lambda _: LogisticRegression(), scaled=True),
    "forest": of_sklearn(lambda _: RandomForestClassifier(random_state=0), scaled=False),
    "boosting": of_sklearn(lambda _: HistGradientBoostingClassifier(random_state=0), scaled=False),
    "neighbours": of_sklearn(lambda count: KNeighborsClassifier(min(5, count)), scaled=True),
    "svc": of_sklearn(lambda _: SVC(random_state=0), scaled=True),
}
"""Classifiers of scikit-learn with their defaults, on scaled columns where that is usual."""


def area(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the ROC curve of each class against the others, in percent, averaged over the classes that were asked about."""
    met = [way for way in range(scores.shape[1]) if 0 < (labels == way).sum() < len(labels)]
    return 100 * float(np.mean([roc_auc_score(labels == way, scores[:, way]) for way in met]))


def measured(ask: Ask, data: dict[str, tuple[np.ndarray, np.ndarray]], splits: Iterable[int]) -> Measures:
    """Return the area, the accuracy in percent and the seconds, averaged over splits, by the rows to learn from and the set."""
    found: Measures = {}
    for context, most in CONTEXTS.items():
        found[context] = {}
        for name, (rows, labels) in data.items():
            tried = []
            for seed in splits:
                given = split(rows, labels, most, seed)
                if given is None:
                    break
                begin = time.process_time()
                scores, answers = ask(given)
                seconds = time.process_time() - begin
                tried.append([area(scores, given[3]), 100 * float((answers == given[3]).mean()), seconds])
            if tried:
                found[context][name] = np.mean(tried, 0).round(3).tolist()
    return found


def in_common(scores: dict[str, Measures], context: str) -> tuple[list[str], np.ndarray]:
    """Return the names of the sets that all models have with so many rows, and their measures `[model, set, measure]`."""
    names = sorted(set.intersection(*(set(of[context]) for of in scores.values())))
    return names, np.array([[scores[model][context][name] for name in names] for model in scores])


def summary(scores: dict[str, Measures]) -> list[dict[str, Any]]:
    """Return the means over sets of each classifier, and its mean rank among all, by the rows to learn from."""
    rows = []
    for context in CONTEXTS:
        names, values = in_common(scores, context)
        ranks = [rankdata(-values[:, :, measure], axis=0).mean(1) for measure in (0, 1)]
        for place, model in enumerate(scores):
            auc, accuracy, seconds = values[place].mean(0)
            rows.append(
                {
                    "context": context,
                    "model": model,
                    "sets": len(names),
                    "auc": round(float(auc), 2),
                    "accuracy": round(float(accuracy), 2),
                    "rank_by_auc": round(float(ranks[0][place]), 2),
                    "rank_by_accuracy": round(float(ranks[1][place]), 2),
                    "seconds": round(float(seconds), 3),
                }
            )
    return rows


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[*MODELS, OURS], choices=[*MODELS, OURS], help="what is measured again")
    parser.add_argument("--learner", default="runs/tables", help="path or name of a learner of any table")
    options = parser.parse_args()
    warnings.simplefilter("ignore", InputWarning)
    data = sets()
    scores = json.loads(RESULTS.read_text())["scores"] if RESULTS.exists() else {}
    for model in options.models:
        scores[model] = measured(
            of_quickstudy(options.learner) if model == OURS else MODELS[model], data, range(SIZES["splits"])
        )
        families = collections.Counter(map(pmlb.family, data))
        found = {
            "command": f"python benchmarks/tables.py --learner {options.learner}",
            "protocol": SIZES | {"contexts": CONTEXTS, "sets": len(families)},
            "rows": summary(scores),
            "scores": scores,
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
