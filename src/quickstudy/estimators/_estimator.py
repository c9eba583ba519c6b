"""Base of the estimators: a learner, chosen in any way, and the skill that it learns."""

from __future__ import annotations

import abc
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from quickstudy.errors import ConfigError
from quickstudy.estimators import _sklearn
from quickstudy.runtime import skill_file
from quickstudy.runtime.skill import Choices, Engine, Skill, reading_options


class Estimator(_sklearn.BaseEstimator, abc.ABC):
    """A learner as an estimator. Subclasses say which kind of answer they learn, and from what they learn without a learner."""

    target: ClassVar[str]
    skill_: Skill
    n_features_in_: int
    feature_names_in_: np.ndarray

    def __init__(self, learner: Any = None, ink: Any = None) -> None:
        self.learner = learner
        self.ink = ink

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], ink: Any = None) -> Self:
        """Return an estimator on a learner that ships with quickstudy (`"omniglot"`, `"glyphs"`), or on a saved one."""
        return cls(name, ink)

    @classmethod
    def load(cls, path: str | os.PathLike[str], ink: Any = None, net: Any = None, learner: Any = None) -> Self:
        """Return an estimator that goes on from a file that `save` or `quickstudy adapt` wrote.

        Args:
            path: a `.qs` file.
            ink: polarity of images given from now on, if it is another.
            net: the net, if it is your own.
            learner: the learner's class, if it is your own.
        """
        skill = Skill.load(path, net=net, learner=learner)
        found = cls(skill.engine, skill.choices.reading.get("ink") if ink is None else ink)
        found._check_target(skill.engine)
        found.skill_ = skill
        if skill.known is not None and skill.known.spec.kind == "rows":
            found.n_features_in_ = next(iter(skill.known.spec.layout().values())).axes[0]
            columns = getattr(skill.known.spec, "columns", None)
            if columns is not None:
                found.feature_names_in_ = np.array(columns, dtype=object)
        return found

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the task from the examples `X`, forgetting what was learned before.

        Args:
            X: images (paths, PIL images or arrays, of any size), or rows `[example, feature]`.
            y: one label, or one value or row of values, per example.
        """
        return self._learn(X, y, first=True, expected=())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned, with the learner, to one `.qs` file."""
        _sklearn.check_fitted(self)
        self.skill_.save(path)

    @abc.abstractmethod
    def _default(self, X: Any) -> Engine:
        """Return the engine to take if no learner was given, for rows like these."""

    def _learn(self, X: Any, y: Any, first: bool, expected: Sequence[Any]) -> Self:
        _sklearn.check_column(y)
        skill = self._begun(X, tuple(expected)) if first else self.skill_
        skill.add(self._examples(skill, X, reset=first), y, least=1)
        self.skill_ = skill
        return self

    def _begun(self, X: Any, expected: tuple[Any, ...]) -> Skill:
        if self.learner is None:
            engine = self._default(_sklearn.checked_rows(self, X, reset=True))
        else:
            engine = skill_file.engine_of(self.learner, self.target)
        self._check_target(engine)
        said = {"ink": self.ink} if self.ink is not None and "ink" in reading_options(engine.reader_for(None)) else {}
        return Skill(engine, Choices(said, engine.settings({}, {}), expected=expected))

    def _examples(self, skill: Skill, X: Any, reset: bool) -> Any:
        is_rows = skill.engine.reader_for(None).kind == "rows"
        return _sklearn.checked_rows(self, X, reset) if is_rows else X

    def _outputs(self, X: Any) -> np.ndarray:
        _sklearn.check_fitted(self)
        return self.skill_.logits(self._examples(self.skill_, X, reset=False))

    def _check_target(self, engine: Engine) -> None:
        if engine.target != self.target:
            other = {"classes": "FewShotClassifier", "values": "FewShotRegressor"}[engine.target]
            raise ConfigError(
                f"{engine.name.removeprefix('_')} was trained to predict {engine.target}, not {self.target}; use {other}."
            )
