"""How far second-order MAML is from the floor: its convolutions alone, at the peak that a channels-last convolution reaches here; and how
many tasks a second that peak allows in every work that `peers/` measures.

    python benchmarks/floor.py            # writes results/floor.json

One task: Conv4-64 on 28x28 images, 5-way 1-shot, 15 queries per class, float32. The operations are counted in a plain loop by
torch's own counter; the peak is that of the net's largest convolution on the queries, forward and backward. Everything is measured in
turn, round by round, so that a machine that gets slower does so for all. The works are counted likewise: convolutions and matrix products,
and nothing else.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import time
from collections.abc import Callable

import torch
from peers.report import machine
from peers.works import WORKS, Work
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from quickstudy.learner import Learner
from quickstudy.learners.anil import ANIL
from quickstudy.learners.maml import MAML
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task
from quickstudy.training.engine import Engine
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.settings import plan

WAYS, SHOTS, QUERIES, TASKS, ROUNDS = 5, 1, 15, 8, 3


def examples(per_class: int) -> Examples:
    y = OneHot(torch.eye(WAYS).repeat(per_class, 1).expand(TASKS, -1, -1))
    return Examples(torch.rand(TASKS, WAYS * per_class, 1, 28, 28), y)


def convolution() -> tuple[Callable[[], object], int]:
    """Forward and backward of Conv4's second convolution on the queries of a task; and its operations."""

    def last(x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    x, weight, grad = (
        last(torch.randn(WAYS * QUERIES, 64, 14, 14)),
        last(torch.randn(64, 64, 3, 3)),
        last(torch.randn(WAYS * QUERIES, 64, 14, 14)),
    )
    sizes = ((1, 1), (1, 1), (1, 1), False, (0, 0), 1)

    def run() -> None:
        torch.ops.aten.convolution(x, weight, None, *sizes)
        torch.ops.aten.convolution_backward(grad, x, weight, None, *sizes, (True, True, False))

    return run, 3 * 2 * x.shape[0] * 64 * 64 * 9 * 14 * 14


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def measure(steps: int, threads: int) -> dict[str, object]:
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    learner = MAML(Conv4(), inner_lr=0.1, inner_steps=steps, head_ways=WAYS, statistics="query")
    tasks = Task(examples(SHOTS), examples(QUERIES))
    with FlopCounterMode(display=False) as counter:
        Engine(learner, plan("loop"))(tasks[:1])
    operations = counter.get_total_flops()
    engines = {
        "eager": Engine(learner, plan("loop")),
        "captured": Engine(learner, plan("loop", capture=True, workers=threads)),
    }
    convolve, convolved = convolution()
    for run in (*(lambda e=engine: e(tasks) for engine in engines.values()), convolve):
        run()
    rounds = []
    for _ in range(ROUNDS):
        peak = convolved / min(seconds(convolve) for _ in range(10))
        floor = operations / peak
        rounds.append(
            {"peak": peak} | {name: seconds(lambda e=engine: e(tasks)) / TASKS / floor for name, engine in engines.items()}
        )
    middle = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return {
        "inner_steps": steps,
        "threads": threads,
        "giga_operations_per_task": round(operations / 1e9, 3),
        "peak_giga_operations_per_second": round(middle["peak"] / 1e9, 1),
        "floor_milliseconds_per_task": round(1e3 * operations / middle["peak"], 2),
        "times_the_floor": {name: round(middle[name], 2) for name in engines},
        "spread": {name: [round(f(each[name] for each in rounds), 2) for f in (min, max)] for name in engines},
    }


def learner_of(work: Work) -> Learner:
    """Return the learner of a work of `peers/`."""
    net = MLP(in_features=1, hidden=(40, 40)) if work.net == "mlp" else Conv4(halving=work.net)
    if work.kind == "protonet":
        return ProtoNet(net)
    options = {"inner_steps": work.inner_steps, "first_order": work.first_order, "head_ways": work.ways, "statistics": "query"}
    return (ANIL if work.learner == "anil" else MAML)(net, inner_lr=work.inner_lr, **options)


def counted(work: Work) -> int:
    """Operations of a task: of its meta-gradient, or of adapting and predicting."""
    learner, parts = learner_of(work), []
    for count in (work.ways * work.shots, work.ways * work.queries):
        x = torch.rand(1, count, 1) if work.net == "mlp" else torch.rand(1, count, 1, 28, 28)
        y = Values(x) if work.net == "mlp" else OneHot(torch.eye(work.ways).repeat(count // work.ways, 1).unsqueeze(0))
        parts.append(Examples(x, y))
    task = Task(*parts)
    with FlopCounterMode(display=False) as counter:
        if work.kind == "evaluate":
            with torch.no_grad():
                learner.predict(learner.adapt(task[0].support), task[0].query.x)
        else:
            Engine(learner, plan("loop"))(task)
    return counter.get_total_flops()


def main() -> None:
    keep_freed_memory()
    rows = [measure(steps, threads) for steps in (1, 5) for threads in (1, os.cpu_count() or 1)]
    record = {
        "command": "python benchmarks/floor.py",
        "machine": machine(),
        "torch": torch.__version__,
        "rows": rows,
        "giga_operations_per_task": {
            work.name: round(counted(work) / 1e9, 6) for work in WORKS if work.kind not in ("sampling", "race")
        },
    }
    file = pathlib.Path(__file__).parent / "results" / "floor.json"
    file.write_text(json.dumps(record, indent=1) + "\n")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
