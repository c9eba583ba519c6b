"""Assays that training never saw, from five active and five inactive molecules: python benchmarks/molecules.py runs/molnet/NAME ...

Each test assay of Tox21 and SIDER is drawn many times; all its other molecules, or 500 of each class, are ordered by how active they are
predicted to be. The score is the area under the ROC curve. Models of scikit-learn learn from the same fingerprints of the same molecules.
Set QUICKSTUDY_DATA to the folder that holds `molnet/`. Results go to `results/molecules.json`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from quickstudy import load_data
from quickstudy.data.dataset import Dataset, DataWarning
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples
from quickstudy.training.progress import counted
from quickstudy.training.saving import load_learner

RESULTS = pathlib.Path(__file__).parent / "results" / "molecules.json"
SHOTS, ASKED = 5, 500
"""Molecules of each class to learn from, and the most of each class that are asked for."""
Model = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Type of a model: from examples, their labels and questions to how active each of these is."""


def of_sklearn(make: Callable[[], Any]) -> Model:
    """Return a model of scikit-learn."""

    def activity(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return make().fit(x, y).predict_proba(asked)[:, 1]

    return activity


def nearest_centroid(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return how much nearer to the mean of the active molecules than to that of the others each question is."""
    away, near = (np.square(asked - x[y == label].mean(0)).sum(1) for label in (0, 1))
    return away - near


BESIDE: dict[str, Model] = {
    "logistic regression": of_sklearn(lambda: LogisticRegression(max_iter=1000)),
    "random forest": of_sklearn(lambda: RandomForestClassifier(200, random_state=0)),
    "nearest centroid": nearest_centroid,
}
"""Models that learn from the same molecules, without meta-training."""


def of_run(path: str) -> Model:
    """Return a trained learner."""
    learner = load_learner(path).learner

    @torch.no_grad()
    def activity(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
        shown, others = (torch.from_numpy(rows).float() for rows in (x, asked))
        logits = learner.predict(learner.adapt(Examples(shown, one_hot(torch.from_numpy(y), 2))), others)
        return (logits[:, 1] - logits[:, 0]).numpy()

    return activity


def areas(dataset: Dataset, assay: str, models: Mapping[str, Model], draws: int, advance: Callable[[int], None]) -> np.ndarray:
    """Return the area under the ROC curve of each model on each draw of an assay, `[model, draw]`."""
    (rows,) = dataset.examples.values()
    places = {name.rpartition("/")[2]: index for index, name in enumerate(dataset.classes) if dataset.groups[index] == assay}
    of_class = [np.arange(dataset.counts[index]) + dataset.starts[index] for index in (places["inactive"], places["active"])]
    found = np.zeros((len(models), draws))
    for draw in range(draws):
        random = np.random.default_rng(draw)
        mixed = [random.permutation(members) for members in of_class]
        shown = np.concatenate([members[:SHOTS] for members in mixed])
        asked = [members[SHOTS : SHOTS + ASKED] for members in mixed]
        truth = np.repeat([0, 1], [len(members) for members in asked])
        for place, model in enumerate(models.values()):
            activity = model(rows[shown], np.repeat([0, 1], SHOTS), rows[np.concatenate(asked)])
            found[place, draw] = roc_auc_score(truth, activity)
        advance(1)
    return found


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders of runs that were trained on molnet")
    parser.add_argument("--split", default="test", help="test; or test_apart, of molecules that runs of train_apart never saw")
    parser.add_argument("--draws", type=int, default=20, help="draws of each assay")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        dataset = load_data("molnet", options.split)
    models = {pathlib.Path(run).name: of_run(run) for run in options.runs} | BESIDE
    assays = [*dict.fromkeys(dataset.groups)]
    with counted("draws", len(assays) * options.draws) as advance:
        found = np.stack([areas(dataset, assay, models, options.draws, advance) for assay in assays], axis=1)
    drawn = f"{options.draws} draws of each of {len(assays)} assays"
    record: dict[str, Any] = {
        "command": f"python benchmarks/molecules.py {' '.join(options.runs)} --split {options.split} --draws {options.draws}",
        "trained by": {pathlib.Path(run).name: trained_by(pathlib.Path(run)) for run in options.runs},
        "protocol": f"{SHOTS} + {SHOTS} molecules, {drawn}, up to {ASKED} of each class asked",
        "score": "area under the ROC curve, %",
        "tables": {},
    }
    for table in dict.fromkeys(assay.partition("/")[0] for assay in assays):
        chosen = found[:, [assay.startswith(table) for assay in assays]]
        rows = {}
        for place, name in enumerate(models):
            gains = {other: interval(chosen[place] - chosen[index]) for index, other in enumerate(models) if other in BESIDE}
            rows[name] = {**dict(zip(("mean", "ci95"), interval(chosen[place]), strict=True)), "gain over": gains}
        record["tables"][table] = rows
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(results | {options.split: record}, indent=1) + "\n")


def trained_by(run: pathlib.Path) -> dict[str, Any]:
    """Return what a run's learner says of its training."""
    info = load_learner(run).info
    return {name: info[name] for name in ("trained_on", "steps", "minutes", "settings") if name in info}


def interval(scores: np.ndarray) -> list[float]:
    """Return the mean and half its 95 % interval over assays and draws, `[assay, draw]`, in percent."""
    return [round(100 * float(scores.mean()), 2), round(196 * float(scores.std(ddof=1)) / scores.size**0.5, 2)]


if __name__ == "__main__":
    main()
