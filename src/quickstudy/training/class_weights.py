"""Class weights: queries of a training that are weighed by the inverse frequency of their class, so that all classes count alike."""

from __future__ import annotations

import dataclasses

from quickstudy.errors import ConfigError
from quickstudy.learner import Learner
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Task
from quickstudy.tasks.source import TaskSource


def with_balanced_queries(tasks: Task) -> Task:
    """Return the same tasks, whose queries are weighed by the inverse frequency of their class in their task, with the mean 1.

    Support sets stay as they are: a new task will have its classes in numbers of its own, and is adapted to as it is.
    """
    query = tasks.query
    if not isinstance(query.y, OneHot):
        raise ConfigError(f"class weights are for classes, but these tasks ask for {query.y.name}; leave class_weights out.")
    return dataclasses.replace(tasks, query=dataclasses.replace(query, emphasis=query.y.balanced(query.weight)))


def check_class_weights(learner: Learner, tasks: TaskSource) -> None:
    """Raise a ConfigError where class weights would change nothing: tasks without classes, or a learner that trains on no queries."""
    if tasks.target != OneHot.name:
        raise ConfigError(
            f"class_weights is 'balanced', but the tasks ask for {tasks.target}, which have no classes to be weighed; leave it out."
        )
    if not learner.trains_on_query:
        raise ConfigError(
            f"class_weights is 'balanced', which weighs queries, but {type(learner).__name__} trains on support sets alone. Leave it out, "
            "and even the support sets out instead: Draw(resample='over'), or --draw.resample over at the command line."
        )
