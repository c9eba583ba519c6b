"""OnnxEngine: a bundle's graphs as the engine of a skill, with numpy and onnxruntime alone."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np

from quickstudy.errors import ConfigError, FileFormatError
from quickstudy.inputs import InputSpec
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import state as states
from quickstudy.runtime.bundle import Arrays, Bundle
from quickstudy.runtime.engines import Facts, takes
from quickstudy.runtime.graph import Graph
from quickstudy.runtime.manifest import Manifest, ProgramName


class OnnxEngine:
    """A bundle's graphs as the engine of a skill. Several threads may use it at the same time, and it can be pickled.

    Args:
        bundle: content of the file, as `bundle.read` returns it.
        threads: number of threads that one operation may use.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle, self.threads, self.facts = bundle, threads, _facts(bundle.manifest)
        self._graphs: dict[str, Graph] = {}
        self._loading = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"bundle": self.bundle, "threads": self.threads}  # sessions and locks are made anew

    def __setstate__(self, found: dict[str, Any]) -> None:
        self.__init__(**found)

    @property
    def defaults(self) -> dict[str, np.ndarray]:
        """Return the learner's own value of each setting, of the type that the graph expects."""
        own = self.bundle.manifest.settings
        kinds = self._graph("adapt").kinds if own else {}
        for name, value in own.items():
            if name not in kinds or not takes(kinds[name], value):
                raise FileFormatError(f"adapt.onnx cannot take its default {name}, {value!r}. Export it again.")
        return {name: np.array(value, kinds[name]) for name, value in own.items()}

    def reader_for(self, things: Any) -> InputSpec:
        """Return the learner's spec, with the names of columns if these examples have some."""
        return self.bundle.manifest.input.fitted_to(things)

    def reader_as(self, saved: InputSpec) -> InputSpec:
        """Return the spec in a skill's file: the learner's own, perhaps with names of columns."""
        return saved

    def adapt(self, inputs: Arrays, y: np.ndarray, settings: Arrays) -> dict[str, np.ndarray]:
        """Return the state after these examples."""
        return self._adapted("adapt", inputs, y, settings)

    def update(self, inputs: Arrays, y: np.ndarray, state: Arrays, settings: Arrays) -> dict[str, np.ndarray]:
        """Return the state after these examples and the earlier ones; ways that are new begin as zeros."""
        padded = states.padded(state, self.bundle.manifest.state, y.shape[-1])
        return self._adapted("update", inputs, y, {**settings, **_named("state.", padded)})

    def outputs(self, state: Arrays, inputs: Arrays) -> dict[str, np.ndarray]:
        """Return the `prediction`, `[example, way]`, `[example, output]` or `[example, frame, symbol]`, and perhaps its `spread`."""
        found = self.run("predict", {**_named("query.", inputs), **_named("state.", state)})
        count = len(next(iter(inputs.values())))
        layout = self.bundle.manifest.state
        ways = next((state[name].shape[part.shape.index("way")] for name, part in layout.items() if "way" in part.shape), None)
        for name, value in found.items():
            expected = [count, *([self.facts.frames] if self.facts.frames else []), ways or value.shape[-1]]
            if list(value.shape) != expected:
                raise FileFormatError(f"predict.onnx gives {name} {list(value.shape)}; expected {expected}. Export it again.")
        return found

    def without(self, state: Arrays, way: int, spec: InputSpec) -> Arrays:
        """Return the state without one way."""
        return states.without(state, self.bundle.manifest.state, way)

    def same_as(self, other: Any) -> bool:
        """Return whether a state of this engine's learner is a state of the other's too."""
        return isinstance(other, OnnxEngine) and bundles.same_learner(self.bundle, other.bundle)

    def packed(self, spec: InputSpec) -> Bundle:
        """Return the learner as a bundle."""
        return dataclasses.replace(self.bundle, manifest=self.bundle.manifest.model_copy(update={"input": spec}))

    def run(self, name: ProgramName, values: Arrays) -> dict[str, np.ndarray]:
        """Return the outputs of `adapt`, `update` or `predict` for inputs by name.

        Raises:
            ConfigError: `update` of a learner that would forget, or a bundle for PyTorch, which has no graphs.
        """
        return self._graph(name)(values)

    def _adapted(self, program: ProgramName, inputs: Arrays, y: np.ndarray, others: Arrays) -> dict[str, np.ndarray]:
        """Return the state that `adapt` or `update` gives, of the right shapes and types."""
        y = y.astype(np.float32)
        state = self.run(program, {**_named("support.", inputs), "support.y": y, **others})
        bundles.check_layout(state, self.bundle.manifest.state, {"way": y.shape[-1]}, f"{program}.onnx: state")
        return state

    def _graph(self, name: ProgramName) -> Graph:
        """Return a graph that is ready to run; it is loaded when it is first needed, by one thread."""
        manifest = self.bundle.manifest
        if name not in manifest.programs:
            has = ", ".join(manifest.programs) or "no graphs: export the learner first, with quickstudy export"
            raise ConfigError(f"{self.facts.name} has no program {name!r}; it has {has}.")
        with self._loading:
            if name not in self._graphs:
                program, file = manifest.programs[name], f"{name}.onnx"
                weights = {key: self.bundle.weights[key] for key in program.weights}
                state = {key: tensor.dtype for key, tensor in manifest.state.items()}
                outputs = dict.fromkeys(program.outputs, "float32") if name == "predict" else state
                self._graphs[name] = Graph(file, self.bundle.graphs[file], weights, outputs, self.threads)
            return self._graphs[name]


def _facts(manifest: Manifest) -> Facts:
    """Return what a manifest says of its learner."""
    return Facts(
        name=str(manifest.learner.get("name")),
        target=manifest.target.kind,
        continues=manifest.continues,
        ways=manifest.target.outputs,
        most=manifest.target.most,
        rate=next((name for name in manifest.settings if name.endswith(("lr", "rate_scale"))), ""),
        temperature=manifest.temperature,
        temperature_power=manifest.temperature_power or 0.0,
        threshold=None if manifest.unknown is None else manifest.unknown.threshold,
        statistics=manifest.statistics,
        symbols=manifest.target.symbols or (),
        frames=_frames(manifest),
        scale=manifest.target.scale,
    )


def _frames(manifest: Manifest) -> int:
    """Return how many outputs along time an example has; 0 if its answer is no sequence."""
    shape = manifest.programs["predict"].outputs["prediction"] if manifest.programs else ()
    return shape[1] if len(shape) == 3 and isinstance(shape[1], int) else 0


def _named(prefix: str, values: Arrays) -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": value for name, value in values.items()}
