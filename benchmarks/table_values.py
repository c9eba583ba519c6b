"""A learner of any table of values beside scikit-learn's regressors: python benchmarks/table_values.py --learner runs/table_values

Each regression set of PMLB (`pmlb/` in the folder QUICKSTUDY_DATA) of at most 100 columns and of 60 rows or more is split at random,
several times: all regressors learn from the same rows, and are asked about the same others. Of sets that are nearly the same, the first
is taken. A missing value is the mean of its column. What is recorded of a regressor stays until it is measured again: `--models` chooses.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import rich.console
import tables
from scipy.stats import rankdata
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from quickstudy import FewShotRegressor
from quickstudy.errors import InputWarning

RESULTS = pathlib.Path(__file__).parent / "results" / "table_values.json"
SIZES = {"columns": 100, "least": 60, "rows": 1000, "asked": 200, "splits": 5}
"""Most columns of a set, and fewest rows; rows of a set that are used, and of these that are asked about; splits."""
CONTEXTS = {"10": 10, "30": 30, "100": 100, "half": 500}
"""Most rows to learn from; half of the rows that are used, if that is less. At `100`, sets of fewer than 200 rows are left out, of which
`half` has the same rows."""
OURS = "prior_fitted"
"""Name of the learner of quickstudy."""
Fit = Callable[[np.ndarray, np.ndarray], Any]
MODELS: dict[str, Fit] = {
    "ridge": lambda x, y: make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13))).fit(x, y),
    "forest": lambda x, y: RandomForestRegressor(random_state=0).fit(x, y),
    "boosting": lambda x, y: HistGradientBoostingRegressor(random_state=0).fit(x, y),
    "neighbours": lambda x, y: make_pipeline(StandardScaler(), KNeighborsRegressor(min(5, len(y)))).fit(x, y),
    "svr": lambda x, y: make_pipeline(StandardScaler(), SVR()).fit(x, y),
    "mean": lambda x, y: DummyRegressor().fit(x, y),
}
"""Regressors of scikit-learn with their defaults (of ridge regression the penalty is chosen), and the mean of the values."""


def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the rows of each set, with means in place of missing values, and their values, by name."""
    folder = pathlib.Path(os.environ["QUICKSTUDY_DATA"]) / "pmlb"
    index = pandas.read_csv(folder / "index.csv").query(
        f"task == 'regression' and feats <= {SIZES['columns']} and rows >= {SIZES['least']}"
    )
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for _, names in index.groupby(index["name"].map(family), sort=True)["name"]:
        frame = pandas.read_csv(folder / "regression" / f"{min(names)}.tsv.gz", sep="\t")
        values = frame.pop("target").to_numpy(float)
        kept = np.random.default_rng(0).permutation(len(values))[: SIZES["rows"]]
        found[min(names)] = frame.fillna(frame.mean()).to_numpy(float)[kept], values[kept]
    return found


def family(name: str) -> str:
    """Return what sets that are nearly the same have in common.

    >>> family("579_fri_c0_250_5"), family("207_autoPrice"), family("556_analcatdata_apnea2")
    ('fri_c', 'autoprice', 'analcatdata_apnea')
    """
    return re.sub(r"(?<=fri_c)\d_\d+_\d+$|(?<=apnea)\d$|(?<=auto)_(?=price)", "", name.partition("_")[2].lower())


def measured(fit: Fit, data: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[str, list[float]]]:
    """Return the share of the variance that is explained, from -1 on, and seconds of a processor, by the rows to learn from and the set."""
    found: dict[str, dict[str, list[float]]] = {}
    for context, most in CONTEXTS.items():
        found[context] = {}
        for name, (rows, values) in data.items():
            count, tried = min(most, len(values) // 2), []
            if context == "100" and count < most:
                continue
            for seed in range(SIZES["splits"]):
                order = np.random.default_rng(seed).permutation(len(values))
                known, asked = order[:count], order[count : count + SIZES["asked"]]
                begin = time.process_time()
                answers = fit(rows[known], values[known]).predict(rows[asked])
                tried.append([max(-1.0, r2_score(values[asked], answers)), time.process_time() - begin])
            found[context][name] = np.mean(tried, 0).round(4).tolist()
    return found


def summary(scores: dict[str, dict[str, dict[str, list[float]]]]) -> list[dict[str, Any]]:
    """Return the means over sets of each regressor, and its mean rank among all, by the rows to learn from."""
    rows: list[dict[str, Any]] = []
    for context in CONTEXTS:
        names, values = tables.in_common(scores, context)
        ranks = rankdata(-values[:, :, 0], axis=0).mean(1)
        rows += [
            {
                "context": context,
                "model": model,
                "sets": len(names),
                "explained": round(100 * float(values[place, :, 0].mean()), 1),
                "rank": round(float(ranks[place]), 2),
                "seconds": round(float(values[place, :, 1].mean()), 3),
            }
            for place, model in enumerate(scores)
        ]
    return rows


def main() -> None:
    """Measure, record, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[*MODELS, OURS], choices=[*MODELS, OURS], help="what is measured again")
    parser.add_argument("--learner", default="table_values", help="path or name of a learner of any table")
    options = parser.parse_args()
    warnings.simplefilter("ignore", InputWarning)
    warnings.simplefilter("ignore", ConvergenceWarning)
    data = sets()
    ours: dict[str, Fit] = {OURS: lambda x, y: FewShotRegressor.from_pretrained(options.learner).fit(x, y)}
    if OURS in options.models:
        FewShotRegressor.from_pretrained(options.learner)  # a learner that is not there is found out at once
    scores = json.loads(RESULTS.read_text())["scores"] if RESULTS.exists() else {}
    for model in options.models:
        scores[model] = measured((MODELS | ours)[model], data)
        command = f"python benchmarks/table_values.py --learner {options.learner}"
        found = {
            "command": command,
            "protocol": SIZES | {"contexts": CONTEXTS, "sets": len(data)},
            "rows": summary(scores),
            "scores": scores,
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    rich.console.Console(width=120).print(pandas.DataFrame(summary(scores)).to_string(index=False))


if __name__ == "__main__":
    main()
