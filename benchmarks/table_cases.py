"""Tables of one kind, each by itself: the shipped learner `tables` beside scikit-learn's classifiers: python benchmarks/table_cases.py

A task is some rows of one table of PMLB (`pmlb/` in the folder QUICKSTUDY_DATA), drawn at random with at least one of each class, and 200
others, or all that are left, that are asked about. All methods meet the same tasks, whose hash is recorded. Results go to
`benchmarks/results/table_cases.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import sys
import warnings
from typing import Any

import numpy as np
import pandas
import tables
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier

from quickstudy.errors import InputWarning

RESULTS = pathlib.Path(__file__).parent / "results" / "table_cases.json"
CASES = {"finance": ("credit_a", "credit_g"), "medicine": ("heart_c", "heart_h", "heart_statlog", "saheart")}
"""Tables of each case: whether a credit is granted or paid back, and whether a heart is ill."""
DRAWS = {"finance": 60, "medicine": 40}
"""Tasks of each table of a case."""
CONTEXTS = (10, 30, 100)
METHODS: dict[str, tables.Ask] = {
    "tables": tables.of_quickstudy("tables"),
    "centroid": tables.of_sklearn(lambda _: NearestCentroid(), scaled=True),
    "logistic": tables.MODELS["logistic"],
    "forest": tables.MODELS["forest"],
    "scratch": tables.of_sklearn(lambda _: MLPClassifier((32, 32), random_state=0), scaled=True),
}


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a table, with means in place of missing values, and their classes."""
    file = pathlib.Path(os.environ["QUICKSTUDY_DATA"]) / "pmlb" / "classification" / f"{name}.tsv.gz"
    frame = pandas.read_csv(file, sep="\t")
    labels = np.unique(frame.pop("target"), return_inverse=True)[1]
    return frame.fillna(frame.mean()).to_numpy(float), labels


def measure(case: str, draws: int) -> dict[str, Any]:
    """Return what all methods make of the tasks of a case."""
    data = {name: read(name) for name in CASES[case]}
    rows = []
    for context in CONTEXTS:
        drawn = [tables.split(*data[name], context, seed) for name in data for seed in range(draws)]
        tasks = [task for task in drawn if task is not None]  # None: too few rows of a class
        digest = hashlib.sha256(b"".join(array.tobytes() for task in tasks for array in task))
        about = {"context": context, "test_tasks": len(tasks), "tasks_hash": digest.hexdigest()[:16]}
        for method, ask in METHODS.items():
            found = np.array([_scores(ask, task) for task in tasks])
            mean, ci95 = found.mean(0), 1.96 * found.std(0, ddof=1) / len(found) ** 0.5
            names = ("area", "accuracy")
            scores = {name: round(float(value), 2) for name, value in zip(names, mean, strict=True)}
            intervals = {f"{name}_ci95": round(float(value), 2) for name, value in zip(names, ci95, strict=True)}
            rows.append({"method": method, **about, **scores, **intervals})
            sys.stderr.write(f"{case}, {context} rows: {method} {scores['area']}\n")
    return {"tables": CASES[case], "draws": draws, "rows": rows}


def _scores(ask: tables.Ask, task: tables.Split) -> tuple[float, float]:
    """Return the area under the ROC curve and the accuracy of one task, in percent."""
    scores, answers = ask(task)
    return tables.area(scores, task[3]), 100 * float((answers == task[3]).mean())


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*CASES], help=f"cases: {', '.join(CASES)}; all by default")
    parser.add_argument("--draws", type=int, help="tasks of each table; usually 60 of finance, 40 of medicine")
    options = parser.parse_args()
    for kind in (InputWarning, ConvergenceWarning, UserWarning):  # columns that are constant among few rows
        warnings.simplefilter("ignore", kind)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in options.names:
        results[name] = measure(name, options.draws or DRAWS[name])
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
