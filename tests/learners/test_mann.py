"""MANN against its equations written out one number at a time, and against what its memory promises."""

from __future__ import annotations

import math

import numpy as np
import torch
from builders import apart, as_values, make_learner, make_tasks, rows

from quickstudy.learner import Learner
from quickstudy.task import Examples


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    length = math.sqrt(a @ a) * math.sqrt(b @ b)
    return float(a @ b) / length if length else 0.0


def read_weights(learner: Learner, key: np.ndarray, memory: np.ndarray) -> np.ndarray:
    likeness = np.exp([math.exp(float(learner.log_scale)) * cosine(key, row) for row in memory])
    return likeness / likeness.sum()


def written_out(learner: Learner, support: Examples) -> dict[str, np.ndarray]:
    """Return the state after the support set, by section 3.2 of the paper, one slot after another."""
    features = learner.net(support.x)
    hidden = cell = features.new_zeros((1, learner.controller))
    memory, usage = np.zeros((learner.slots, learner.width)), np.zeros(learner.slots)
    answers, amounts = np.zeros((learner.slots, support.y.outputs)), np.zeros((learner.slots, 1))
    gate = 1 / (1 + math.exp(-float(learner.gate)))
    for x, y in zip(features, support.y.rows.numpy(), strict=True):
        hidden, cell = learner.remember(x.unsqueeze(0), hidden, cell)
        key = learner.key(hidden)[0].detach().numpy()
        read = read_weights(learner, key, memory)
        least = min(range(learner.slots), key=lambda slot: usage[slot] + 1e-6 * slot)
        memory[least] = answers[least] = amounts[least] = 0
        for slot in range(learner.slots):
            share = gate * read[slot] + (1 - gate) * (slot == least)
            memory[slot] += share * key
            answers[slot] += share * y
            amounts[slot] += share
            usage[slot] = learner.decay * usage[slot] + read[slot] + share
    return {"hidden": hidden, "cell": cell, "memory": memory, "answers": answers, "amounts": amounts, "usage": usage}


def test_it_writes_as_its_equations_say_also_when_the_memory_is_full() -> None:
    for slots in (12, 4):
        learner, support = make_learner("mann", slots=slots).requires_grad_(False), make_tasks()[0].support
        state = learner.adapt(support)
        for name, value in written_out(learner, support).items():
            assert apart(state[name], torch.as_tensor(value)) < 1e-12


def test_a_query_reads_the_shares_of_answers() -> None:
    learner, task = make_learner("mann").requires_grad_(False), make_tasks()[0]
    for given in (task, as_values(task)):
        state = learner.adapt(given.support)
        found = learner.predict(state, given.query.x)
        for x, output in zip(learner.net(given.query.x), found, strict=True):
            hidden, _ = learner.remember(x.unsqueeze(0), state["hidden"], state["cell"])
            read = read_weights(learner, learner.key(hidden)[0].numpy(), state["memory"].numpy())
            means = read @ state["answers"].numpy() / (read @ state["amounts"].numpy())
            assert np.allclose(output.softmax(-1) if given is task else output, means, rtol=1e-4)


def test_with_its_gate_closed_every_example_has_a_slot_of_its_own_until_there_are_none() -> None:
    learner, support = make_learner("mann", slots=7).requires_grad_(False), make_tasks()[0].support
    learner.gate.fill_(-100.0)
    answers = learner.adapt(rows(support, slice(7)))["answers"]
    assert apart(answers, support.y.rows[:7]) < 1e-12
    after = learner.adapt(rows(support, slice(8)))["answers"]
    changed = (after - answers).abs().amax(-1) > 1e-6
    assert int(changed.sum()) <= 1  # the least used one, perhaps of the same class
    usage = learner.adapt(rows(support, slice(7)))["usage"]
    assert apart(after[usage.argmin()], support.y.rows[7]) < 1e-12
