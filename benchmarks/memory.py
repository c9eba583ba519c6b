"""Peak memory of one second-order MAML task with 50 inner steps: python benchmarks/memory.py writes results/memory.json

Conv4-64 on 28x28 images, 5-way 5-shot, 15 queries per class; every measurement in a process of its own, by a captured
graph in a loop over tasks, as each worker of `auto` works for a net of this size.
"""

from __future__ import annotations

import json
import pathlib
import resource
import subprocess
import sys

STEPS = 50


def measure(recompute: bool) -> None:
    import torch

    from quickstudy.learners.maml import MAML
    from quickstudy.nets.conv4 import Conv4
    from quickstudy.objectives.classes import OneHot
    from quickstudy.task import Examples, Task
    from quickstudy.training.engine import Engine
    from quickstudy.training.settings import plan

    torch.manual_seed(0)
    learner = MAML(Conv4(), inner_lr=0.01, inner_steps=STEPS, head_ways=5, recompute=recompute)
    support, query = (
        Examples(torch.rand(1, 5 * count, 1, 28, 28), OneHot(torch.eye(5).repeat(count, 1).unsqueeze(0))) for count in (5, 15)
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Engine(learner, plan("loop", capture=True))(Task(support, query))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"recompute": recompute, "gigabytes": round(after / 2**20, 2), "before": round(before / 2**20, 2)}))


def main() -> None:
    rows = []
    for recompute in ("yes", "no"):
        ended = subprocess.run([sys.executable, __file__, recompute], stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(ended.stdout))
        print(rows[-1])
    record = {"command": "python benchmarks/memory.py", "inner_steps": STEPS, "goal_gigabytes": 4, "rows": rows}
    (pathlib.Path(__file__).parent / "results" / "memory.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    measure(sys.argv[1] == "yes") if len(sys.argv) > 1 else main()
