"""Strings of digits to write down: new languages and new people, after a few strings of theirs: python benchmarks/strings.py

    python benchmarks/strings.py languages           # trains what is not trained yet, then evaluates; both benchmarks by default
    python benchmarks/strings.py --table             # prints the tables from the recorded results; --markdown for a page

The strings of `languages` are synthetic voices (espeak-ng); a task is one voice of a language that was never heard, and its symbols
are shuffled, so that nothing but its own strings says which is which. Those of `people` are recordings of FSDD's digits, joined to strings;
the digits of six people who speak English, whom learners of synthetic voices hear for the first time.

Every method begins with the same pooled network, which learned to write down the strings of all training voices together, and is repeated
from other seeds. The pooled network is fine-tuned with the rate and number of steps that are best on validation voices. Set QUICKSTUDY_DATA
to the folder that holds `fsdd/`. Runs go to `runs/strings`, results to `benchmarks/results/strings.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import platform
import sys
from typing import Any, NamedTuple

import numpy as np
import rich.console
import rich.table
from few_shot import quickstudy

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "strings.json"
NET = "--net.halvings 1 --threads 1"
STEPS = "--learner maml --learner.first_order true --learner.inner_clip 2"
"""Gradient steps on all weights, which no second derivative looks back through."""


class Benchmark(NamedTuple):
    """A table: what learners are trained on, and asked for.

    Attributes:
        pooled: options of the training of the pooled network.
        tasks: options of the tasks of meta-training.
        meta: options of meta-training.
        head: the head of everything that adapts.
        validation: options of the tasks on which steps and rates are chosen.
        test: options of the tasks that are reported.
        shots: numbers of strings to learn from.
        count: of test tasks of each seed.
    """

    pooled: str
    tasks: str
    meta: str
    head: str
    validation: str
    test: str
    shots: tuple[int, ...]
    count: int


POOLED = "--shots 1 --queries 12 --learner maml --learner.first_order true --learner.inner_steps 0 --learner.head_ways 12 --lr 3e-3"
"""The training of all voices together, with one output for each digit."""
BENCHMARKS = {
    "languages": Benchmark(
        pooled=f"--data languages {POOLED} --tasks_per_step 4 --validation.split null --steps 2500",
        tasks="--data languages --shots 10 --queries 10 --strings.shuffled true",
        meta=f"{STEPS} --learner.inner_steps 8 --learner.inner_lr 0.2 --tasks_per_step 3 --lr 1e-3 --clip 1 --steps 600",
        head="",
        validation="--data languages --split val --strings.shuffled true --queries 40",
        test="--data languages --split test --strings.shuffled true --queries 40",
        shots=(10, 20),
        count=96,
    ),
}
SEEDS = (0, 1, 2)
GRID = {"steps": (8, 16, 32), "lr": (0.05, 0.1, 0.2, 0.4)}
"""Numbers of steps and rates that are tried on validation tasks."""
