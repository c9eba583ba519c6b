"""A frozen net of MNIST on digits it was not trained for: python benchmarks/alignment.py writes results/alignment.json

A net is trained on MNIST's 60,000 images for two minutes or less, and then frozen. The new task has the same ten classes and five labels
of each: MNIST's test images turned by 90 degrees, or the 1,797 digits of scikit-learn, 8x8 pixels enlarged. In every draw of the labels
all other images are queries. What classifies is the same for every way of aligning: the nearest mean of five aligned examples together with
the source's own mean of the class, which counts as five more (`prior`). `without` is exactly this without a map; `labels alone` leaves the
source's means out.
"""

from __future__ import annotations

import json
import math
import pathlib
import platform
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy import ClassTasks, fit, load_data
from quickstudy.learners.alignment import Alignment
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples, Task
from quickstudy.training.settings import TrainingSettings

WAYS, SHOTS, DRAWS, CHANNELS, SEED = 10, 5, 200, 64, 0
TRAINING = {"steps": 450, "tasks_per_step": 1, "lr": 2e-3, "threads": 1}
WAYS_TO_ALIGN: dict[str, dict[str, Any]] = {
    "without": {"method": "none"},
    "without, labels alone": {"method": "none", "prior": 0.0},
    "coral": {"method": "coral"},
    "coral, labels alone": {"method": "coral", "prior": 0.0},
    "mmd": {"method": "mmd"},
    "procrustes": {"method": "procrustes"},
    "regression": {"method": "regression"},
}


def pixels(images: np.ndarray) -> Tensor:
    """Return images as the net's input, from 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(images)).float().div(255).permute(0, 3, 1, 2)


@torch.no_grad()
def features(net: torch.nn.Module, images: np.ndarray) -> Tensor:
    return torch.cat([net(part) for part in pixels(images).split(500)])


def draws(labels: Tensor, count: int) -> list[Tensor]:
    """Return the places of `SHOTS` examples of each class, drawn anew each time, shot-major."""
    random, found = torch.Generator().manual_seed(SEED), []
    for _ in range(count):
        order = torch.randperm(len(labels), generator=random)
        rows = [order[labels[order] == way][:SHOTS] for way in range(WAYS)]
        found.append(torch.stack(rows, 1).flatten())
    return found


@torch.no_grad()
def accuracies(learner: Alignment, x: Tensor, labels: Tensor, chosen: list[Tensor]) -> Tensor:
    """Return the accuracy on all other examples, for each draw of the labelled ones."""
    found = []
    for rows in chosen:
        right = learner.predict(learner.adapt(Examples(x[rows], one_hot(labels[rows], WAYS))), x).argmax(-1) == labels
        asked = torch.ones(len(x), dtype=torch.bool)
        asked[rows] = False
        found.append(right[asked].double().mean())
    return torch.stack(found)


def shown(values: Tensor) -> dict[str, float]:
    """Return the mean in percent, with its 95 % interval over draws."""
    return {
        "mean": round(100 * float(values.mean()), 2),
        "ci95": round(196 * float(values.std()) / math.sqrt(len(values)), 2),
    }


def source_task(x: Tensor, labels: Tensor) -> Task:
    part = Examples(x, one_hot(labels, WAYS))
    return Task(part, part)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    train, test, digits = load_data("mnist", "train"), load_data("mnist", "test"), load_data("digits", "all")
    tasks, net = ClassTasks(train, ways=WAYS, shots=5, queries=5), Conv4(channels=CHANNELS)
    saved = fit(Alignment(net), tasks, settings=TrainingSettings(**TRAINING))  # pyright: ignore[reportArgumentType]
    net.requires_grad_(False)
    chosen = np.random.default_rng(SEED).permutation(len(train.labels))[:10000]
    source = source_task(features(net, train.examples["image"][chosen]), torch.from_numpy(train.labels[chosen]))
    targets = {
        "mnist": (test.examples["image"], test.labels),
        "mnist, turned by 90 degrees": (np.rot90(test.examples["image"], axes=(1, 2)), test.labels),
        "digits of scikit-learn": (digits.examples["image"], digits.labels),
    }
    rows = []
    for task, (images, numbers) in targets.items():
        x, labels = features(net, images), torch.from_numpy(numbers)
        places, found = draws(labels, DRAWS), {}
        for name, how in WAYS_TO_ALIGN.items():
            learner = Alignment(Identity(net.features), source_ways=WAYS, **how)
            learner.calibrate([source])
            begin = time.perf_counter()
            found[name] = accuracies(learner, x, labels, places)
            ms = round(1000 * (time.perf_counter() - begin) / DRAWS, 1)
            rows.append({"task": task, "method": name, "accuracy": shown(found[name]), "ms_per_draw": ms})
            for other in ("without", "without, labels alone"):
                if name != other and other in found:
                    rows[-1][f"above {other}"] = shown(found[name] - found[other])
            print(rows[-1], flush=True)
    record = {
        "command": "python benchmarks/alignment.py",
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "goal": "above the same model without alignment by more than the interval",
        "protocol": {
            "net": f"Conv4, {CHANNELS} channels, frozen",
            "trained_on": saved.info["trained_on"],
            "steps": saved.info["steps"],
            "minutes": saved.info["minutes"],
            "source_examples": len(chosen),
            "labels_per_class": SHOTS,
            "draws": DRAWS,
            "queries": "all other examples",
            "difference": "rows named above are differences, paired over draws",
        },
        "rows": rows,
    }
    (pathlib.Path(__file__).parent / "results" / "alignment.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
