"""Training steps on a frozen Conv4 beside steps that train it too: python benchmarks/frozen.py writes results/frozen.json

Conv4-64 on 28x28 images, 5-way 5-shot, 15 queries per class, 4 tasks per step, one thread. A frozen net needs no gradient, and
its features do not change while a task is learned. Both are measured in turns; a time is the least of its rounds, since other
processes can only slow a step down.
"""

from __future__ import annotations

import json
import pathlib
import platform
import time

import torch
from torch import nn

from quickstudy.learner import Learner
from quickstudy.learners.anil import ANIL
from quickstudy.learners.maml import MAML
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.conv4 import Conv4
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples, Task
from quickstudy.training.engine import Engine
from quickstudy.training.settings import EngineSettings

ROUNDS, TASKS, WAYS, SHOTS, QUERIES = 7, 4, 5, 5, 15
PLANS = {
    "loop": EngineSettings("loop", capture=False),
    "vmap": EngineSettings("vmap", capture=False),
    "captured vmap": EngineSettings("vmap", capture=True, workers=1, compile=False),
}


def under_a_layer() -> nn.Module:
    """Return a Conv4 with a linear layer on top, which stays trainable when the Conv4 is frozen."""
    net = nn.Sequential(Conv4(), nn.Linear(64, 64))
    net.features = 64  # pyright: ignore[reportArgumentType]
    return net


def make(name: str, frozen: bool) -> Learner:
    torch.manual_seed(0)
    if name == "protonet":
        learner: Learner = ProtoNet(under_a_layer())
        learner.net[0].requires_grad_(not frozen)  # pyright: ignore[reportIndexIssue]
    else:
        learner = {"anil": ANIL, "maml": MAML}[name](Conv4(), head_ways=WAYS)
        learner.net.requires_grad_(not frozen)
    return learner


def seconds(engine: Engine, tasks: Task) -> float:
    begin = time.perf_counter()
    float(engine(tasks))
    return time.perf_counter() - begin


def main() -> None:
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    support, query = (
        Examples(
            torch.rand(TASKS, WAYS * count, 1, 28, 28, generator=random),
            OneHot(torch.eye(WAYS).repeat(count, 1).expand(TASKS, -1, -1)),
        )
        for count in (SHOTS, QUERIES)
    )
    rows, tasks = [], Task(support, query)
    for name in ("protonet", "anil", "maml"):
        for words, plan in PLANS.items():
            engines = [Engine(make(name, frozen), plan) for frozen in (False, True)]
            times = [[seconds(engine, tasks) for engine in engines] for _ in range(ROUNDS)][1:]
            whole, frozen = (min(column) for column in zip(*times, strict=True))
            rows.append(
                {
                    "learner": name,
                    "engine": words,
                    "trained_ms": round(1000 * whole, 1),
                    "frozen_ms": round(1000 * frozen, 1),
                    "times_faster": round(whole / frozen, 2),
                }
            )
            print(rows[-1], flush=True)
    record = {
        "command": "python benchmarks/frozen.py",
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "goal_times_faster": {"protonet": 3, "anil": 3},
        "rows": rows,
    }
    (pathlib.Path(__file__).parent / "results" / "frozen.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
