"""Error weights: queries of a training on transcripts, whose loss weighs characters and words as the settings say."""

from __future__ import annotations

import dataclasses

import torch

from quickstudy.errors import ConfigError
from quickstudy.learner import Learner
from quickstudy.objectives.sequences import Tokens
from quickstudy.objectives.weighed_sequences import WeighedTokens
from quickstudy.task import Task
from quickstudy.tasks.source import TaskSource
from quickstudy.training.settings import ObjectiveSettings


def with_error_weights(tasks: Task, objective: ObjectiveSettings) -> Task:
    """Return the same tasks, whose queries weigh characters and words.

    Support sets stay as they are: a new task is adapted to by the likelihood of its transcripts, which needs no sampling.
    """
    query = tasks.query
    if not isinstance(query.y, Tokens) or tasks.key is None:
        raise ConfigError(f"{_named(objective)} are for transcripts, but these tasks ask for {query.y.name}; leave them out.")
    weights = (torch.full_like(tasks.key, value, dtype=query.y.places.dtype) for value in dataclasses.astuple(objective))
    return dataclasses.replace(tasks, query=dataclasses.replace(query, y=WeighedTokens(query.y.places, tasks.key, *weights)))


def check_error_weights(objective: ObjectiveSettings, learner: Learner, tasks: TaskSource) -> None:
    """Raise a ConfigError where error weights would change nothing: tasks without transcripts, or a learner that trains on no queries."""
    if tasks.target != Tokens.name:
        raise ConfigError(f"{_named(objective)} are for transcripts, but the tasks ask for {tasks.target}; leave them out.")
    if not learner.trains_on_query:
        raise ConfigError(
            f"{_named(objective)} are for queries, but {type(learner).__name__} trains on support sets alone; leave them out, or take "
            "maml, anil or meta_sgd."
        )


def _named(objective: ObjectiveSettings) -> str:
    return f"objective.character_weight {objective.character_weight:g} and objective.word_weight {objective.word_weight:g}"
