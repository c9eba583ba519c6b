"""How well requests of no intent are told from those of ten intents, by the learner that ships: python benchmarks/out_of_scope.py

Each task has 10 intents of CLINC150's test domains, 10 examples of each to learn from and 10 to ask about, and as many of the data's own
requests that belong to no intent. The largest logit tells them apart: at any threshold, which gives the area under the ROC curve, and at
that of the exported learner, which was calibrated on five intents of other domains. Set QUICKSTUDY_DATA to the folder that holds
`clinc150/`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import warnings

import numpy as np
from sklearn.metrics import roc_auc_score

from quickstudy import ClassTasks, load_data
from quickstudy.errors import InputWarning
from quickstudy.runtime import Learner, pretrained

RESULTS = pathlib.Path(__file__).parent / "results" / "out_of_scope.json"


def texts(rows: np.ndarray) -> list[str]:
    """Return texts whose bytes are rows of numbers, with zeros at their ends."""
    return [row.astype(np.uint8).tobytes().rstrip(b"\0").decode("utf-8", "replace") for row in rows]


def measure(name: str, count: int) -> dict[str, object]:
    """Return, over tasks, the area under the ROC curve, the accuracy of known requests, and what lies below the threshold."""
    learner = Learner.load(pretrained.find(name))
    tasks = ClassTasks(load_data("clinc150", "test"), ways=10, shots=10, queries=10)
    outside = texts(load_data("clinc150", "out_of_scope").examples["text"])
    found, largest, known = [], [], np.zeros(0, bool)
    for index in range(count):
        task, random = tasks[index], np.random.default_rng(index)
        labels, answers = (part.y.rows.argmax(1).numpy() for part in (task.support, task.query))
        skill = learner.adapt(texts(np.asarray(task.support.x)), labels.tolist())
        asked = [*texts(np.asarray(task.query.x)), *random.choice(outside, len(answers), replace=False).tolist()]
        known, logits = np.arange(len(asked)) < len(answers), skill.logits(asked)
        right = np.array(skill.labels)[logits[known].argmax(1)] == answers
        unknown = np.array(skill.predict(asked, unknown=-1)) == -1
        largest.append(logits.max(1))
        found.append([roc_auc_score(known, largest[-1]), right.mean(), unknown[known].mean(), unknown[~known].mean()])
    mean, spread = np.mean(found, 0), 1.96 * np.std(found, 0, ddof=1) / count**0.5
    of_known, of_others = (np.stack(largest)[:, part].ravel() for part in (known, ~known))
    return {
        "command": "python benchmarks/out_of_scope.py",
        "tasks": tasks.describe() | {"count": count, "tasks_hash": tasks.fingerprint(count)},
        "auroc": round(float(mean[0]), 4),
        "auroc_ci95": round(float(spread[0]), 4),
        "accuracy": round(100 * float(mean[1]), 2),
        "known_lost": round(100 * float(mean[2]), 2),
        "known_lost_ci95": round(100 * float(spread[2]), 2),
        "unknown_found": round(100 * float(mean[3]), 2),
        "unknown_found_ci95": round(100 * float(spread[3]), 2),
        "unknown_found_at_5_lost": round(100 * float((of_others < np.quantile(of_known, 0.05)).mean()), 2),
    }


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learner", default="intents", help="name or path of an exported learner of texts")
    parser.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args()
    warnings.simplefilter("ignore", InputWarning)
    RESULTS.write_text(json.dumps(measure(options.learner, options.tasks), indent=1) + "\n")


if __name__ == "__main__":
    main()
