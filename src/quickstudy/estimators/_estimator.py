"""Base of the estimators: a learner, chosen in any way, and the skill that it learns."""

from __future__ import annotations

import abc
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from quickstudy import inputs
from quickstudy.errors import ConfigError, QuickstudyError, check_choice
from quickstudy.estimators import ESTIMATORS, _sklearn
from quickstudy.inputs.table import TableSpec
from quickstudy.runtime import skill_file
from quickstudy.runtime.engines import Choices, Engine, settings_of
from quickstudy.runtime.learner import begun
from quickstudy.runtime.skill import Skill


def _signature(constructor: Callable[..., None]) -> inspect.Signature:
    """Return the signature of a constructor, with an argument for each way of reading in place of `reading`."""
    named, keyword_only = inspect.signature(constructor), inspect.Parameter.KEYWORD_ONLY
    kept = [parameter for parameter in named.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    ways = [inspect.Parameter(name, keyword_only, default=None, annotation=hint) for name, hint in inputs.readings().items()]
    return named.replace(parameters=[*kept, *ways])


class Estimator(_sklearn.BaseEstimator, abc.ABC):
    """A learner as an estimator. Subclasses say which kind of answer they learn, and from what they learn without a learner."""

    target: ClassVar[str]
    skill_: Skill
    n_features_in_: int
    feature_names_in_: np.ndarray

    def __init__(self, learner: Any = None, **reading: Any) -> None:
        for name in reading:
            check_choice("option", name, inputs.readings())
        self.learner = learner
        vars(self).update({name: reading.get(name) for name in inputs.readings()})

    # scikit-learn reads the names of an estimator's parameters from its constructor's signature
    __init__.__signature__ = _signature(__init__)  # type: ignore[attr-defined]

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **reading: Any) -> Self:
        """Return an estimator on a learner that ships with quickstudy (`"omniglot"`, `"glyphs"`), or on a saved one."""
        return cls(name, **reading)

    @classmethod
    def load(cls, path: str | os.PathLike[str], net: Any = None, learner: Any = None, **reading: Any) -> Self:
        """Return an estimator that goes on from a file that `save` or `quickstudy adapt` wrote.

        Args:
            path: a `.qs` file.
            net: the net, if it is your own.
            learner: the learner's class, if it is your own.
            reading: how examples that are given from now on are read, if it is another way; see the class.
        """
        skill = Skill.load(path, net=net, learner=learner)
        skill = begun(skill.engine, skill, False, reading)
        found = cls(skill.engine, **skill.choices.reading)
        found._check_target(skill.engine)
        found.skill_ = skill
        if skill.known is not None and skill.known.spec.kind == "rows":
            found.n_features_in_ = next(iter(skill.known.spec.layout().values())).axes[0]
            columns = getattr(skill.known.spec, "columns", None)
            if columns is not None:
                found.feature_names_in_ = np.array(columns, dtype=object)
        if skill.known is not None and isinstance(skill.known.spec, TableSpec):
            names = skill.known.spec.names
            if not all(name == f"x{name[1:]}" and name[1:].isdigit() for name in names):
                found.feature_names_in_ = np.array(names, dtype=object)
                found.n_features_in_ = len(
                    names
                )  # unlike a table, an array may have had more columns, of which nothing is kept
        return found

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the task from the examples `X`, forgetting what was learned before.

        Args:
            X: images (paths, PIL images or arrays, of any size), texts, sounds (paths, or samples with their rate), rows
                `[example, feature]`, or a table of pandas.
            y: one label, or one value or row of values, per example.
        """
        return self._learn(X, y, first=True, expected=())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned, with the learner, to one `.qs` file."""
        _sklearn.check_fitted(self)
        self.skill_.save(path)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn has to know: learners of tables take texts and missing values, others do not."""
        tags = super().__sklearn_tags__()  # pyright: ignore[reportAttributeAccessIssue]
        tags.input_tags.allow_nan = tags.input_tags.string = self._takes_tables()
        return tags

    def _takes_tables(self) -> bool:
        """Return whether the learner takes rows of tables; False for one that cannot be read, which `fit` refuses."""
        try:
            spec = skill_file.input_of(self.skill_ if hasattr(self, "skill_") else self.learner)
        except QuickstudyError:
            return False
        return spec is not None and spec.tabular

    @abc.abstractmethod
    def _default(self, X: Any) -> Engine:
        """Return the engine to take if no learner was given, for rows like these."""

    def _learn(self, X: Any, y: Any, first: bool, expected: Sequence[Any]) -> Self:
        self._check_answers(y)
        skill = self._begun(X, tuple(expected)) if first else self.skill_
        skill.add(self._examples(skill, X, reset=first), y, least=1)
        self.skill_ = skill
        return self

    def _check_answers(self, y: Any) -> None:
        """Warn of answers, or raise an error, as scikit-learn does."""
        _sklearn.check_column(y)

    def _begun(self, X: Any, expected: tuple[Any, ...]) -> Skill:
        if self.learner is None:
            engine = self._default(X if _sklearn.has_words(X) else _sklearn.checked_rows(self, X, reset=True))
        else:
            engine = skill_file.engine_of(self.learner, self.target)
        self._check_target(engine)
        given = {name: getattr(self, name, None) for name in engine.reader_for(None).readings()}
        said = {name: value for name, value in given.items() if value is not None}
        return Skill(engine, Choices(said, settings_of(engine, {}, {}), expected=expected))

    def _examples(self, skill: Skill, X: Any, reset: bool) -> Any:
        spec = skill.engine.reader_for(None)
        if spec.tabular:
            return _sklearn.checked_table(self, X, reset)
        return _sklearn.checked_rows(self, X, reset) if spec.kind == "rows" else X

    def _outputs(self, X: Any) -> dict[str, np.ndarray]:
        _sklearn.check_fitted(self)
        return self.skill_.outputs(self._examples(self.skill_, X, reset=False))

    def _check_target(self, engine: Engine) -> None:
        facts = engine.facts
        if facts.target != self.target:
            other = ESTIMATORS.get(
                facts.target, "its skill: quickstudy.runtime.Learner.load(...).adapt(x, y), once it is exported"
            )
            name = facts.name.removeprefix("_")
            raise ConfigError(f"{name} was trained to predict {facts.target}, not {self.target}; use {other}.")
