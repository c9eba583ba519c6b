"""quickstudy: learn how to learn, then ship the learner.

A learner is two pure functions, `adapt(support) -> state` and `predict(state, x) -> y`. Importing this package does not import torch;
each public name below loads what it needs when it is first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_WHERE = {
    "ClassTasks": "quickstudy.tasks.classes",
    "Draw": "quickstudy.tasks._draw",
    "EngineSettings": "quickstudy.training.settings",
    "Examples": "quickstudy.task",
    "FewShotClassifier": "quickstudy.estimators.classifier",
    "FewShotMultiLabelClassifier": "quickstudy.estimators.multi_label",
    "FewShotRegressor": "quickstudy.estimators.regressor",
    "GaussianProcessTasks": "quickstudy.tasks.gaussian_process",
    "HarmonicTasks": "quickstudy.tasks.harmonic",
    "ImageSpec": "quickstudy.inputs.image",
    "LabelTasks": "quickstudy.tasks.labels",
    "Learner": "quickstudy.learner",
    "MultiHot": "quickstudy.objectives.labels",
    "OneHot": "quickstudy.objectives.classes",
    "PooledTasks": "quickstudy.tasks.pooled",
    "QuickstudyError": "quickstudy.errors",
    "Result": "quickstudy.training.evaluate",
    "RunFolder": "quickstudy.training.folder",
    "SavedLearner": "quickstudy.training.saving",
    "SeveralSpec": "quickstudy.inputs.several",
    "SinusoidTasks": "quickstudy.tasks.sinusoid",
    "Skill": "quickstudy.runtime.skill",
    "SoundSpec": "quickstudy.inputs.sound",
    "StringTasks": "quickstudy.tasks.strings",
    "Strings": "quickstudy.tasks._strings",
    "TablePrior": "quickstudy.tasks.table_prior",
    "TableValuesPrior": "quickstudy.tasks.table_values_prior",
    "TableSpec": "quickstudy.inputs.table",
    "Task": "quickstudy.task",
    "TextSpec": "quickstudy.inputs.text",
    "Tokens": "quickstudy.objectives.sequences",
    "TrainingSettings": "quickstudy.training.settings",
    "UnlikeTrainingWarning": "quickstudy.errors",
    "ValidationSettings": "quickstudy.training.settings",
    "ValueTasks": "quickstudy.tasks.values",
    "Values": "quickstudy.objectives.values",
    "evaluate": "quickstudy.training.evaluate",
    "fit": "quickstudy.training.fit",
    "from_label_sets": "quickstudy.data.arrays",
    "load_data": "quickstudy.data",
    "load_learner": "quickstudy.training.saving",
    "multi_hot": "quickstudy.objectives.labels",
    "one_hot": "quickstudy.objectives.classes",
    "save_learner": "quickstudy.training.saving",
    "tokens": "quickstudy.objectives.sequences",
}

if TYPE_CHECKING:
    from quickstudy.data import load as load_data
    from quickstudy.data.arrays import from_label_sets
    from quickstudy.errors import QuickstudyError, UnlikeTrainingWarning
    from quickstudy.estimators.classifier import FewShotClassifier
    from quickstudy.estimators.multi_label import FewShotMultiLabelClassifier
    from quickstudy.estimators.regressor import FewShotRegressor
    from quickstudy.inputs.image import ImageSpec
    from quickstudy.inputs.several import SeveralSpec
    from quickstudy.inputs.sound import SoundSpec
    from quickstudy.inputs.table import TableSpec
    from quickstudy.inputs.text import TextSpec
    from quickstudy.learner import Learner
    from quickstudy.objectives.classes import OneHot, one_hot
    from quickstudy.objectives.labels import MultiHot, multi_hot
    from quickstudy.objectives.sequences import Tokens, tokens
    from quickstudy.objectives.values import Values
    from quickstudy.runtime.skill import Skill
    from quickstudy.task import Examples, Task
    from quickstudy.tasks._draw import Draw
    from quickstudy.tasks._strings import Strings
    from quickstudy.tasks.classes import ClassTasks
    from quickstudy.tasks.gaussian_process import GaussianProcessTasks
    from quickstudy.tasks.harmonic import HarmonicTasks
    from quickstudy.tasks.labels import LabelTasks
    from quickstudy.tasks.pooled import PooledTasks
    from quickstudy.tasks.sinusoid import SinusoidTasks
    from quickstudy.tasks.strings import StringTasks
    from quickstudy.tasks.table_prior import TablePrior
    from quickstudy.tasks.table_values_prior import TableValuesPrior
    from quickstudy.tasks.values import ValueTasks
    from quickstudy.training.evaluate import Result, evaluate
    from quickstudy.training.fit import fit
    from quickstudy.training.folder import RunFolder
    from quickstudy.training.saving import SavedLearner, load_learner, save_learner
    from quickstudy.training.settings import EngineSettings, TrainingSettings, ValidationSettings

__all__ = [
    "ClassTasks",
    "Draw",
    "EngineSettings",
    "Examples",
    "FewShotClassifier",
    "FewShotMultiLabelClassifier",
    "FewShotRegressor",
    "GaussianProcessTasks",
    "HarmonicTasks",
    "ImageSpec",
    "LabelTasks",
    "Learner",
    "MultiHot",
    "OneHot",
    "PooledTasks",
    "QuickstudyError",
    "Result",
    "RunFolder",
    "SavedLearner",
    "SeveralSpec",
    "SinusoidTasks",
    "Skill",
    "SoundSpec",
    "StringTasks",
    "Strings",
    "TablePrior",
    "TableSpec",
    "TableValuesPrior",
    "Task",
    "TextSpec",
    "Tokens",
    "TrainingSettings",
    "UnlikeTrainingWarning",
    "ValidationSettings",
    "ValueTasks",
    "Values",
    "__version__",
    "evaluate",
    "fit",
    "from_label_sets",
    "load_data",
    "load_learner",
    "multi_hot",
    "one_hot",
    "save_learner",
    "tokens",
]

_RENAMED = {"load_data": "load"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'quickstudy' has no attribute {name!r}")
    module = importlib.import_module(_WHERE[name])
    value = getattr(module, _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
