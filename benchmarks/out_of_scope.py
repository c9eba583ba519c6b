"""How well requests of no intent are told from those of ten intents: python benchmarks/out_of_scope.py runs/clinc150/protonet

Each task has 10 intents of CLINC150's test domains, 10 examples of each to learn from and 10 to ask about, and as many of the data's own
requests that belong to no intent. The largest logit tells them apart. Set QUICKSTUDY_DATA to the folder that holds `clinc150/`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import warnings

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from quickstudy import ClassTasks, load_data
from quickstudy.errors import InputWarning
from quickstudy.training.saving import load_learner

RESULTS = pathlib.Path(__file__).parent / "results" / "out_of_scope.json"


@torch.no_grad()
def measure(run: str, count: int) -> dict[str, object]:
    """Return the area under the ROC curve and the accuracy of known requests, over tasks."""
    saved = load_learner(run)
    tasks = ClassTasks(load_data("clinc150", "test", spec=saved.spec), ways=10, shots=10, queries=10)
    outside = torch.from_numpy(load_data("clinc150", "out_of_scope", spec=saved.spec).examples["text"]).float()
    areas, right = [], []
    for index in range(count):
        task, random = tasks[index], np.random.default_rng(index)
        state = saved.learner.adapt(task.support)
        known = saved.learner.predict(state, task.query.x)
        strange = saved.learner.predict(state, outside[random.choice(len(outside), len(known), replace=False)])
        largest = torch.cat([known, strange]).amax(1)
        areas.append(roc_auc_score([1] * len(known) + [0] * len(strange), largest.numpy()))
        right.append(float((known.argmax(1) == task.query.y.rows.argmax(1)).float().mean()))
    return {
        "command": f"python benchmarks/out_of_scope.py {run}",
        "tasks": tasks.describe() | {"count": count, "tasks_hash": tasks.fingerprint(count)},
        "auroc": round(float(np.mean(areas)), 4),
        "auroc_ci95": round(1.96 * float(np.std(areas, ddof=1)) / count**0.5, 4),
        "accuracy": round(100 * float(np.mean(right)), 2),
    }


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a run that was trained on texts")
    parser.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", InputWarning)
    RESULTS.write_text(json.dumps(measure(options.run, options.tasks), indent=1) + "\n")


if __name__ == "__main__":
    main()
