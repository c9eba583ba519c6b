"""The race: who first tells five Omniglot characters apart from one example each in 98 of 100 cases, in seconds of training.

Everyone trains prototypes on the same net, starting weights and images, in turns; after each turn one judge measures the weights on the
same test tasks. Judging is not timed, nor is reading images; that quickstudy's engine tries itself out is.
"""

from __future__ import annotations

import math
import pathlib
import sys
import time
from typing import Any

import numpy as np
import rich.console
from process import Contestant, Ended

from quickstudy.data import load
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.conv4 import Conv4
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.evaluate import evaluate

sys.path.append(str(pathlib.Path(__file__).parent / "contestants"))
from quickstudy_ import FAST, load_weights  # pyright: ignore[reportMissingImports]

TARGET, QUICK_TARGET = 0.98, 0.5
TASKS, SEED, FIRST_LOOK = 600, 2, 100
"""The judge's tasks; at the other 500 it looks only when the first 100 come within 1.5 points of the target."""
TURN = 50
"""Steps between two judgements."""
LIMIT = 1200.0
"""Seconds of training after which a contestant is out."""


class Judge:
    """Accuracy at 5-way 1-shot with 15 queries, on Vinyals' test characters, inductive: statistics of the training set."""

    def __init__(self, file: pathlib.Path, target: float) -> None:
        self.file, self.target, self.learner = file, target, ProtoNet(Conv4())
        self.training = ClassTasks(load("omniglot", "train"), ways=60, shots=1, queries=5, seed=1)
        self.tasks = ClassTasks(load("omniglot", "test"), ways=5, shots=1, queries=15, seed=SEED)

    def accuracy(self, contestant: Contestant) -> float:
        """Of a contestant's present weights, in [0, 1]."""
        contestant.ask(do="check", file=str(self.file))
        with np.load(self.file) as weights:
            load_weights(self.learner, weights)
        self.learner.calibrate(self.training[index] for index in range(16))
        look = evaluate(self.learner, self.tasks, FIRST_LOOK).mean
        return evaluate(self.learner, self.tasks, TASKS).mean if look > self.target - 0.015 else look


def race(
    specification: dict[str, Any], contestants: list[Contestant], judge: Judge, console: rich.console.Console
) -> tuple[dict[Contestant, dict[str, Any]], dict[Contestant, str]]:
    """Facts of everyone, with `curve`, `[step, seconds, accuracy]`; and why some did not arrive. A peer that has trained for longer than
    another one took to arrive is out.
    """
    runners: dict[Contestant, dict[str, Any]] = {}
    for contestant in contestants:
        facts = contestant.ask(do="prepare", work=specification, variant=contestant.variant)
        runners[contestant] = facts | {"seconds": 0.0, "curve": []}
        if contestant.name == "quickstudy":
            runners[contestant]["last_step"] = FAST.steps  # where its rate is 0
    running, out, best = list(contestants), {}, LIMIT
    while running:
        for contestant in list(running):
            time.sleep(0.3)  # the threads of the one before come to rest
            runner = runners[contestant]
            try:
                runner["seconds"] += contestant.ask(do="run", steps=TURN)["seconds"]
                steps, accuracy = TURN * (len(runner["curve"]) + 1), judge.accuracy(contestant)
            except Ended as error:
                out[contestant] = str(error)
                running.remove(contestant)
                continue
            runner["curve"].append([steps, runner["seconds"], accuracy])
            console.print(f"{contestant.name}: step {steps}, {runner['seconds']:.0f} s, {accuracy:.2%}", highlight=False)
            if accuracy >= judge.target:
                best = best if contestant.ours else min(best, runner["seconds"])
            elif runner["seconds"] > best or steps >= runner.get("last_step", math.inf):
                out[contestant] = f"{accuracy:.2%} after {runner['seconds']:.0f} s"
            if accuracy >= judge.target or contestant in out:
                running.remove(contestant)
                contestant.ask(do="rest")
    return runners, out
