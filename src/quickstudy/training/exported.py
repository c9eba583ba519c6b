"""ExportedLearner: a bundle's graphs as a learner, so that what runs on a device can be evaluated and examined as it runs there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils._pytree import tree_map

from quickstudy import discovery
from quickstudy.learner import Learner, State
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained
from quickstudy.runtime.learner import Learner as Graphs
from quickstudy.task import Examples, Input
from quickstudy.training.saving import SavedLearner, load_learner


class ExportedLearner(Learner):
    """A learner that adapts and predicts by a bundle's graphs, in onnxruntime. It has no weights to train, and no gradients.

    Args:
        graphs: the learner in the bundle.
    """

    traceable: ClassVar[bool] = False
    not_exportable: ClassVar[str] = "it is an exported learner already"

    def __init__(self, graphs: Graphs) -> None:
        super().__init__()
        facts = graphs.engine.facts
        self.graphs = graphs
        self.targets = (discovery.load("objectives", facts.target),)  # pyright: ignore[reportAttributeAccessIssue]
        self.continues, self.ways = facts.continues, facts.ways  # pyright: ignore[reportAttributeAccessIssue]
        kind = discovery.load("learners", facts.name) if facts.name in discovery.names("learners") else Learner
        self.gradient_free_adapt = kind.gradient_free_adapt  # pyright: ignore[reportAttributeAccessIssue]
        self.draws = kind.draws  # pyright: ignore[reportAttributeAccessIssue]
        self.rate = ""  # pyright: ignore[reportAttributeAccessIssue]  # the settings of an exported learner are its bundle's

    def adapt(self, support: Examples, state: State | None = None) -> State:
        """Return the state after these examples, without padding; with `state`, after the earlier ones too.

        Raises:
            ConfigError: there is a state, but the learner would forget it.
        """
        real, engine = support.weight > 0, self.graphs.engine
        x, rows = self._arrays(tree_map(lambda part: part[real], support.x)), support.y.rows[real].numpy()
        if state is None:
            return _tensors(engine.adapt(x, rows, engine.defaults))
        return _tensors(engine.update(x, rows, {name: value.numpy() for name, value in state.items()}, engine.defaults))

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        """Return the graph's outputs for new inputs."""
        return self._outputs(state, x)["prediction"]

    def predict_padded(self, state: State, x: Input, mask: Bool[Tensor, " example"] | None) -> Float[Tensor, "example output"]:
        """Return what the graph predicts for the queries that count, and zeros for padding."""
        if mask is None:
            return self.predict(state, x)
        found = self.predict(state, tree_map(lambda part: part[mask], x))
        return found.new_zeros(len(mask), found.shape[1]).masked_scatter(mask[:, None], found)

    def spread(self, state: State, x: Input) -> Float[Tensor, "example output"] | None:
        """Return the graph's spread for new inputs; None if it gives none."""
        return self._outputs(state, x).get("spread")

    @property
    def protocol(self) -> str:
        """Return how queries are answered, as the bundle says."""
        return self.graphs.manifest.protocol or "inductive"

    def _outputs(self, state: State, x: Input) -> dict[str, Tensor]:
        held = {name: value.numpy() for name, value in state.items()}
        return _tensors(self.graphs.engine.outputs(held, self._arrays(x)))

    def _arrays(self, x: Input) -> dict[str, np.ndarray]:
        """Return inputs by the names of the bundle's parts."""
        return arrays(x, next(iter(self.graphs.manifest.layout)))


def load_measurable(path: str | os.PathLike[str]) -> SavedLearner:
    """Return a saved learner, as `load_learner` does; of a bundle in fewer bits than float32, its graphs as they run on a device.

    Args:
        path: what `load_learner` takes.

    >>> load_measurable("intents").learner.protocol
    'inductive'
    """
    found = pretrained.find(path)
    bundle = bundles.read(found) if bundles.is_bundle(found) else None
    if bundle is None or bundle.manifest.precision == "float32":
        return load_learner(path)
    return of_graphs(Graphs(bundle))


def of_graphs(graphs: Graphs) -> SavedLearner:
    """Return an exported learner, by its graphs, with what travels with it."""
    manifest = graphs.manifest
    return SavedLearner(
        ExportedLearner(graphs),
        manifest.input,
        manifest.results,
        manifest.target.kind,
        manifest.temperature,
        manifest.statistics,
        None if manifest.unknown is None else manifest.unknown.threshold,
        manifest.temperature_power or 0.0,
        symbols=manifest.target.symbols or (),
        scale=manifest.target.scale,
    )


def arrays(x: Input, name: str) -> dict[str, np.ndarray]:
    """Return inputs as arrays by name; a bare tensor is the input's single part, of this name."""
    return {part: value.numpy() for part, value in ({name: x} if isinstance(x, Tensor) else x).items()}


def _tensors(found: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(value)) for name, value in found.items()}
