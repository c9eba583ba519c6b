"""Error weights: queries of a training on transcripts, whose loss weighs characters and words as the settings say."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstudy import discovery
from quickstudy.errors import ConfigError
from quickstudy.functional.expected_errors import expected_word_errors
from quickstudy.functional.losses import weighted_mean
from quickstudy.learner import Learner
from quickstudy.objectives.sequences import Tokens
from quickstudy.task import Task
from quickstudy.tasks.source import TaskSource
from quickstudy.training.settings import ObjectiveSettings


@dataclasses.dataclass(frozen=True)
class WeighedTokens(Tokens):
    """Sequences of symbols of some examples of one task (or, with one more leading axis, of a batch of tasks).

    Args:
        places: as `Tokens` has them.
        key: of the task, on which the paths depend whose word errors are counted, int64 `[]`.
        character_weight: of the CTC loss per symbol, `[]`.
        word_weight: of the expected word errors per word, `[]`.
    """

    key: Int[Tensor, " *task"]
    character_weight: Float[Tensor, " *task"]
    word_weight: Float[Tensor, " *task"]

    def loss(self, prediction: Float[Tensor, "example frame symbol"], weight: Float[Tensor, " example"]) -> Float[Tensor, ""]:
        """Return the weighed sum of the CTC loss per symbol, in nats, and of the expected word errors per word."""
        errors = weighted_mean(expected_word_errors(prediction, self.ids, self.key), weight)
        return self.character_weight * super().loss(prediction, weight) + self.word_weight * errors


torch.export.register_dataclass(WeighedTokens)


def with_error_weights(tasks: Task, objective: ObjectiveSettings) -> Task:
    """Return the same tasks, whose queries weigh characters and words.

    Support sets stay as they are: a new task is adapted to by the likelihood of its transcripts, which needs no sampling.
    """
    query = tasks.query
    if tasks.key is None:
        raise ConfigError(f"{_named(objective)} need random numbers, but these tasks have no keys; give each Task a `key`.")
    if not isinstance(query.y, Tokens):
        raise ConfigError(f"{_named(objective)} are for transcripts, but these tasks ask for {query.y.name}; leave them out.")
    weights = (torch.full_like(tasks.key, value, dtype=query.y.places.dtype) for value in dataclasses.astuple(objective))
    return dataclasses.replace(tasks, query=dataclasses.replace(query, y=WeighedTokens(query.y.places, tasks.key, *weights)))


def check_error_weights(objective: ObjectiveSettings, learner: Learner, tasks: TaskSource) -> None:
    """Raise a ConfigError where error weights would change nothing: tasks without transcripts, or a learner that trains on no queries."""
    if tasks.target != Tokens.name:
        raise ConfigError(f"{_named(objective)} are for transcripts, but the tasks ask for {tasks.target}; leave them out.")
    if not learner.trains_on_query:
        kinds = {name: discovery.load("learners", name) for name in discovery.names("learners")}
        able = [name for name, kind in kinds.items() if Tokens in kind.targets and kind.trains_on_query]  # pyright: ignore[reportAttributeAccessIssue]
        raise ConfigError(
            f"{_named(objective)} are for queries, but {type(learner).__name__} trains on support sets alone; leave them out, or take "
            f"{' or '.join(able)}."
        )


def _named(objective: ObjectiveSettings) -> str:
    return f"objective.character_weight {objective.character_weight:g} and objective.word_weight {objective.word_weight:g}"
