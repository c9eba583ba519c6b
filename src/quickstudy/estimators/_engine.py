"""The PyTorch engine of a skill: a learner of this package or of the user's own, on inputs and answers of any kind."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy import discovery, storage
from quickstudy.errors import ConfigError, DataError
from quickstudy.estimators._ridge import KernelRidge
from quickstudy.estimators._sklearn import has_words
from quickstudy.functional.call import with_tensors
from quickstudy.functional.features import frame_count
from quickstudy.inputs import InputSpec
from quickstudy.inputs._layout import as_array, check_several
from quickstudy.inputs._rows import Rows, column_names
from quickstudy.inputs.table import TableSpec
from quickstudy.learner import Learner, changed, hyperparameters
from quickstudy.nets.identity import Identity
from quickstudy.runtime import manifest as manifests
from quickstudy.runtime.bundle import Arrays, Bundle
from quickstudy.runtime.engines import Facts
from quickstudy.runtime.manifest import Manifest
from quickstudy.storage import LEARNER
from quickstudy.task import Examples
from quickstudy.training.saving import SavedLearner, describe, load_learner, to_arrays

DEFAULT = "protonet"
"""Name of the learner of a classifier that is given none."""


class FreeRows(Rows, frozen=True):
    """Rows of numbers in double precision, for learners that take rows of any length and do not say so."""

    @staticmethod
    def precision() -> type[np.floating]:
        """Return float64."""
        return np.float64

    def to_network(self, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the rows as they are."""
        return dict(stored)


class TorchEngine:
    """A learner as the engine of a skill. Threads may share it: it never changes the learner.

    Args:
        saved: the learner, and what travels with it.
    """

    def __init__(self, saved: SavedLearner) -> None:
        self.saved = saved
        self.learner = learner = with_tensors(saved.learner, {}).eval()  # a copy of the structure: the caller's keeps its mode
        self.facts = Facts(
            name=discovery.name_of(learner),
            target=saved.target,
            continues=learner.continues,
            ways=learner.ways,
            most=learner.most_values,
            rate=learner.rate,
            temperature=saved.temperature,
            temperature_power=saved.temperature_power,
            threshold=saved.threshold,
            statistics=saved.statistics,
            symbols=saved.symbols,
            frames=_frames(learner),
            scale=saved.scale,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"saved": self.saved}

    def __setstate__(self, found: dict[str, Any]) -> None:
        self.__init__(**found)

    @property
    def defaults(self) -> dict[str, np.ndarray]:
        """Return the learner's own value of each setting: a whole number, or one in double precision."""
        numbers = hyperparameters(self.learner)
        chosen = {name: value for name, value in numbers.items() if name in self.learner.adjustable or name.endswith("steps")}
        return {name: np.array(value, np.int64 if isinstance(value, int) else np.float64) for name, value in chosen.items()}

    def reader_for(self, things: Any) -> InputSpec:
        """Return the learner's spec; rows as long as these if it has none."""
        if self.saved.spec is not None:
            return self.saved.spec.fitted_to(things)
        if things is None:
            return FreeRows(features=1)
        check_several(things)
        rows = as_array(things, "a table of rows", "[example, feature]")
        if rows.ndim != 2 or not rows.shape[1]:
            raise DataError(f"the rows have shape {list(rows.shape)}; expected [example, feature].")
        return FreeRows(features=rows.shape[1], columns=column_names(things))

    def reader_as(self, saved: InputSpec) -> InputSpec:
        """Return the spec in a skill's file; rows in double precision if the learner has no spec of its own."""
        return saved if self.saved.spec is not None else FreeRows(**saved.model_dump())

    def adapt(self, inputs: Arrays, y: np.ndarray, settings: Arrays) -> dict[str, np.ndarray]:
        """Return the state after these examples."""
        return self._adapted(inputs, y, None, settings)

    def update(self, inputs: Arrays, y: np.ndarray, state: Arrays, settings: Arrays) -> dict[str, np.ndarray]:
        """Return the state after these examples and the earlier ones; ways that are new begin as zeros."""
        return self._adapted(inputs, y, state, settings)

    def outputs(self, state: Arrays, inputs: Arrays) -> dict[str, np.ndarray]:
        """Return the `prediction`, `[example, way]`, `[example, output]` or `[example, frame, symbol]`, and perhaps its `spread`."""
        measure = discovery.load("objectives", self.facts.target).measure
        with torch.no_grad():
            return to_arrays(self.learner.outputs(self._tensors(state), self._input(inputs), measure))

    def without(self, state: Arrays, way: int, spec: InputSpec) -> dict[str, np.ndarray]:
        """Return the state without one way: along each axis that is longer for a task of one way more."""
        inputs = spec.to_network({name: np.zeros((2, *part.axes), part.dtype) for name, part in spec.layout().items()})
        small, large = (self.adapt(inputs, np.eye(2, ways), self.defaults) for ways in (3, 4))
        left = {}
        for name, value in state.items():
            axes = [axis for axis in range(value.ndim) if small[name].shape[axis] != large[name].shape[axis]]
            left[name] = np.delete(value, way, axis=axes[0]) if axes else value
        return left

    def same_as(self, other: Any) -> bool:
        """Return whether a state of this engine's learner is a state of the other's too."""
        if not isinstance(other, TorchEngine):
            return False
        one, two = self.saved.learner.state_dict(), other.saved.learner.state_dict()
        alike = type(self.saved.learner) is type(other.saved.learner) and one.keys() == two.keys()
        return alike and all(torch.equal(value, two[name]) for name, value in one.items())

    def packed(self, spec: InputSpec) -> Bundle:
        """Return the learner, as `save_learner` writes it, as a bundle."""
        facts = self.facts
        manifest = Manifest(
            format=manifests.FORMAT,
            kind="learner",
            learner={"name": facts.name},
            input=spec,
            layout=spec.layout(),
            target=manifests.Target(kind=facts.target, outputs=facts.ways, symbols=facts.symbols or None, scale=facts.scale),
            continues=facts.continues,
            protocol="",
            temperature=facts.temperature,
            temperature_power=facts.temperature_power or None,
            statistics=dict(facts.statistics),
        )
        content = storage.packed("learner", to_arrays(self.saved.learner.state_dict()), describe(self.saved))
        return Bundle(manifest, {}, {}, learner=content)

    def _adapted(self, inputs: Arrays, y: np.ndarray, state: Arrays | None, settings: Arrays) -> dict[str, np.ndarray]:
        learner = self.learner
        others = {name: value.item() for name, value in settings.items() if value.item() != getattr(learner, name)}
        learner = changed(learner, **others) if others else learner
        x = self._input(inputs)
        rows = torch.from_numpy(np.ascontiguousarray(y)).to(self._device(), self._dtype())
        answers = discovery.load("objectives", self.facts.target)(rows)
        with torch.no_grad():
            return to_arrays(learner.adapt(Examples(x, answers), None if state is None else self._tensors(state)))

    def _weight(self) -> Tensor | None:
        return next((value for value in self.learner.parameters() if value.is_floating_point()), None)

    def _device(self) -> torch.device | None:
        weight = self._weight()
        return None if weight is None else weight.device

    def _dtype(self) -> torch.dtype:
        """Return the type of the learner's weights; if it has none, that of its rows."""
        weight = self._weight()
        if weight is not None:
            return weight.dtype
        return torch.float64 if self.saved.spec is None else torch.float32

    def _input(self, inputs: Arrays) -> Any:
        """Return the inputs as the learner takes them: a tensor, or several by name."""
        tensors = {}
        for name, value in inputs.items():
            tensor = torch.from_numpy(np.ascontiguousarray(value))
            tensors[name] = tensor.to(self._device(), self._dtype() if tensor.is_floating_point() else None)
        return next(iter(tensors.values())) if len(tensors) == 1 else tensors

    def _tensors(self, state: Arrays) -> dict[str, Tensor]:
        """Return the tensors of a state; those of a learner of bfloat16, which NumPy lacks, are float32 in arrays."""
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)).to(self._device()) for name, value in state.items()}
        if self._dtype() != torch.bfloat16:
            return tensors
        return {name: value.bfloat16() if value.is_floating_point() else value for name, value in tensors.items()}


def _frames(learner: Learner) -> int:
    """Return how many outputs along time a learner has for each example; 0 if there is one."""
    return next((frames for part in learner.children() if (frames := frame_count(part)) is not None), 0)


def engine_of(learner: Any, target: str | None = None) -> TorchEngine:
    """Return the engine of a learner, or of a saved one.

    Args:
        learner: the learner.
        target: kind of answer of a learner that can learn several; its first one if None.

    Raises:
        ConfigError: it is no learner, or it cannot learn this kind of answer.
    """
    if isinstance(learner, SavedLearner):
        return TorchEngine(learner)
    if not isinstance(learner, Learner):
        raise ConfigError(
            f"{type(learner).__name__} is no learner; expected a Learner, a SavedLearner, a skill, or a path or name of one."
        )
    known = [answers.name for answers in learner.targets]
    if target is not None and target not in known:
        raise ConfigError(f"{discovery.name_of(learner)} learns {' or '.join(known)}, not {target}; choose another learner.")
    return TorchEngine(SavedLearner(learner, target=target or known[0]))


def prototypes(rows: Any) -> TorchEngine:
    """Return the engine of the nearest class mean on rows like these; rows of a table with words in it are scaled by these examples."""
    spec = _table_spec(rows)
    net = Identity(_width(rows) if spec is None else spec.features)
    return TorchEngine(SavedLearner(discovery.load("learners", DEFAULT)(net).double(), spec))


def ridge(rows: Any) -> TorchEngine:
    """Return the engine of kernel ridge regression on rows like these; rows of a table with words in it are scaled by these examples."""
    spec = _table_spec(rows)
    net = Identity(_width(rows) if spec is None else spec.features)
    return TorchEngine(SavedLearner(KernelRidge(net).double(), spec, target="values"))


def _table_spec(rows: Any) -> TableSpec | None:
    """Return the spec of a table with columns that are no numbers; None for rows of numbers."""
    return TableSpec.of(rows, scaling="task") if has_words(rows) else None


def _width(rows: Any) -> int:
    """Return the length of a row; 1 if they are no rows, which is refused when they are read."""
    shape = rows.shape if hasattr(rows, "shape") else np.shape(rows)
    return max(1, shape[1]) if len(shape) == 2 else 1


def load_engine(path: str | os.PathLike[str], **own: Any) -> TorchEngine:
    """Return the engine of a learner's file; `own` are modules and the class of the user's own."""
    return TorchEngine(load_learner(path, **own))


def engine_in(bundle: Bundle, **own: Any) -> TorchEngine:
    """Return the engine of the learner that travels in a skill's file."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / LEARNER
        file.write_bytes(bundle.learner or b"")
        if bundle.manifest.learner.get("name") == KernelRidge.__module__.rpartition(".")[2]:
            own = {"learner": KernelRidge, **own}
        return load_engine(file, **own)
