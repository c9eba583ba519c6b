"""Turn a saved learner into a bundle: captured, written as ONNX, with its weights stored once."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping

import onnx
import pydantic
import torch

import quickstudy
from quickstudy import discovery
from quickstudy.export.input import input_of
from quickstudy.export.onnx.write import to_onnx, unresolved
from quickstudy.export.trace import decompositions
from quickstudy.export.trace.capture import Axes, Backend, Program, Programs, capture
from quickstudy.inputs import InputSpec
from quickstudy.runtime import manifest as manifests
from quickstudy.runtime.bundle import Bundle
from quickstudy.runtime.manifest import Manifest, StateTensor, StateType, Target
from quickstudy.training.saving import SavedLearner, describe

UNSTATED = "NOASSERTION"
"""SPDX's word for a licence that nobody has named."""


def to_bundle(saved: SavedLearner, features: int | None = None, licence: str = UNSTATED) -> Bundle:
    """Return a learner as a bundle of float32 graphs.

    Args:
        saved: the learner, and the spec of its inputs.
        features: numbers per row, for a learner on rows whose net does not say.
        licence: of the weights, as an SPDX name.

    Raises:
        ModelError: the learner cannot be exported.
        ConfigError: nobody says how long the rows are.
    """
    saved = dataclasses.replace(saved, learner=saved.learner.exported())
    spec = input_of(saved, features)
    spec = spec.with_padding(not saved.learner.any_columns)
    types = [getattr(torch, name) for name in typing.get_args(StateType)]
    backend = Backend(decompositions.onnx(), state_types=types)
    programs = capture(saved.learner.eval(), spec.layout(), backend, discovery.load("objectives", saved.target))
    graphs = {f"{name}.onnx": to_onnx(program) for name, program in named(programs).items()}
    weights = {f"weight.{name}": value.numpy() for name, value in programs.weights.items()}
    return Bundle(_manifest(saved, spec, programs, graphs, licence), graphs, weights)


def named(programs: Programs) -> dict[manifests.ProgramName, Program]:
    """Return the programs by name; `update` only if the learner goes on without forgetting."""
    found: dict[manifests.ProgramName, Program] = {"adapt": programs.adapt}
    if programs.update is not None:
        found["update"] = programs.update
    found["predict"] = programs.predict
    return found


def _manifest(saved: SavedLearner, spec: InputSpec, programs: Programs, graphs: Mapping[str, bytes], licence: str) -> Manifest:
    """Return the description of a captured learner that its bundle holds."""
    about = describe(saved)
    ways = programs.adapt.inputs["support.y"][-1]
    target = Target(
        kind=saved.target,
        outputs=ways if isinstance(ways, int) else None,
        most=saved.learner.most_values if saved.target == "values" else None,
        symbols=saved.symbols or None,
        scale=saved.scale,
    )
    return Manifest(
        format=manifests.FORMAT,
        kind="learner",
        learner={"name": about["learner"].get("class")} | about["learner"],
        input=spec,
        layout=spec.layout(),
        target=target,
        programs={name: _described(program, graphs[f"{name}.onnx"]) for name, program in named(programs).items()},
        settings=dict(programs.settings),
        state={
            name: StateTensor(shape=axes, dtype=str(programs.adapt.types[name]).removeprefix("torch."))  # pyright: ignore[reportArgumentType]
            for name, axes in _checked(programs.state).items()
        },
        continues=saved.learner.continues,
        protocol=saved.learner.protocol,
        temperature=float(saved.temperature),
        temperature_power=float(saved.temperature_power) or None,
        statistics=dict(saved.statistics),
        results=about["info"],
        licence=licence,
        made_by=f"quickstudy {quickstudy.__version__}",
    )


def _described(program: Program, graph: bytes) -> manifests.Program:
    """Return the shapes of a program and the names of the weights that its graph reads."""
    inputs = {name: axes for name, axes in program.inputs.items() if not name.startswith("weight.")}
    inputs |= {name: () for name in program.loops if name}
    weights = unresolved(onnx.load_from_string(graph).graph)
    return manifests.Program(inputs=_checked(inputs), outputs=_checked(program.outputs), weights=tuple(sorted(weights)))


def _checked(shapes: Mapping[str, Axes]) -> dict[str, manifests.Axes]:
    """Return the same shapes, after a check that a bundle knows the names of their axes."""
    return pydantic.TypeAdapter(dict[str, manifests.Axes]).validate_python(shapes)
