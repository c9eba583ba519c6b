"""Hold Reptile's meta-update against its definition, since it is not the derivative of its loss, and let it learn longer."""

from __future__ import annotations

from builders import WAYS, furthest, gradients, make_learner, make_tasks

from quickstudy.training.engine import meta_gradient

SMALL = {"inner_steps": 3, "adapt_steps": 3, "inner_batch": 4}
LEARNS = {"steps": 100, "margin": 0.05, "changes": {"adapt_steps": 5, "inner_lr": 0.02, "inner_batch": 6}}


def check_gradient(norm: str, ragged: bool) -> None:
    """Hold the meta-gradient against `start - adapted`, averaged over tasks (eq. 17)."""
    for changes in ({}, {"inner_optimizer": "sgd"}, {"head_ways": WAYS}):
        learner, tasks = make_learner("reptile", norm=norm, inner_lr=0.05, **changes), make_tasks(2, ragged=ragged)
        assert learner.inner_steps == learner.adapt_steps
        meta_gradient(learner, tasks, "vmap")
        states = [learner.adapt(tasks[i].support) for i in range(2)]
        expected = {key: value - (states[0][key] + states[1][key]) / 2 for key, value in learner.named_parameters()}
        assert furthest(gradients(learner), expected) < 1e-8
