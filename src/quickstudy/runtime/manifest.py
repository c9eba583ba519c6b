"""Manifest: what a bundle says about itself, checked when it is read. See docs/bundle.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import annotated_types
import pydantic

from quickstudy import targets
from quickstudy.errors import FileFormatError
from quickstudy.inputs import AnySpec, TensorLayout
from quickstudy.targets import ValueScale

FORMAT = 3
"""Version of the bundle format; bundles of other versions are refused by name."""
AXES = ("example", "way", "query", "earlier", "place", "column")
"""Names of axes whose size is not fixed: support examples; classes, output values or symbols; queries; examples that a state holds;
places of the longest sequence; and numbers of a row of any table."""

_AXIS = f"({'|'.join(AXES)}|[1-9][0-9]*)"
Size = Annotated[int, annotated_types.Interval(ge=0, le=2**24)]
Count = Annotated[str, pydantic.StringConstraints(pattern=rf"^{_AXIS}( \+ {_AXIS})?$")]
Axes = Annotated[tuple[Count | Size, ...], annotated_types.MaxLen(8)]
Label = str | int | float | bool
ProgramName = Literal["adapt", "update", "predict"]
StateType = Literal["float32", "int64"]
"""Types that a tensor of a state may have."""


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Target(_Part):
    """Kind of answers that a learner gives.

    Attributes:
        kind: a name of `quickstudy.targets`, such as `classes` or `values`.
        outputs: columns of `y` and of a prediction, if the learner's head fixes them; None for any number.
        most: most columns of values of a learner that takes any number up to that; None for any number.
        symbols: the alphabet of sequences, if the learner's head fixes it; None otherwise.
        scale: names of values, and the scale at which the graphs see and predict them; None: as they are.
    """

    kind: str
    outputs: Size | None = None
    most: Size | None = None
    symbols: tuple[str, ...] | None = None
    scale: ValueScale | None = None


class Program(_Part):
    """Shapes of the inputs and outputs of a graph, and the weights that it needs, by name."""

    inputs: dict[str, Axes]
    outputs: dict[str, Axes]
    weights: tuple[str, ...]


class StateTensor(_Part):
    """Shape and type of a tensor of a state."""

    shape: Axes
    dtype: StateType


class Unknown(_Part):
    """Threshold below which a query belongs to no class.

    Attributes:
        threshold: largest logit below which a query belongs to no class.
        rejected: measured fraction of queries of known classes that are called unknown.
        detected: measured fraction of queries of other classes that are called unknown.
        tasks: what it was measured on, in words.
    """

    threshold: float
    rejected: float
    detected: float
    tasks: str


class Manifest(_Part):
    """Everything about a bundle but its graphs and numbers; the keys are those of docs/bundle.md."""

    format: Literal[3]
    kind: Literal["learner", "skill"]
    learner: dict[str, Any]
    input: AnySpec
    layout: dict[str, TensorLayout]
    target: Target
    programs: dict[ProgramName, Program] = {}
    settings: dict[str, float | int] = {}
    state: dict[str, StateTensor] = {}
    continues: bool
    protocol: str
    precision: Literal["float32", "int8"] = "float32"
    temperature: Annotated[float, annotated_types.Gt(0)] = 1.0
    temperature_power: Annotated[float, annotated_types.Interval(ge=-1, le=1)] | None = None
    statistics: dict[str, float] = {}
    results: dict[str, Any] = {}
    unknown: Unknown | None = None
    labels: tuple[Label, ...] | None = None
    reading: dict[str, str] = {}
    licence: str = ""
    made_by: str = ""
    parts: dict[str, str] = {}


def parse(data: bytes, name: str) -> Manifest:
    """Return a manifest from JSON.

    Raises:
        FileFormatError: another format, or a key that is missing, unknown, holds what it must not, or contradicts another.
    """
    try:
        found = pydantic.TypeAdapter(dict[str, Any]).validate_json(data)
        _check_format(found.get("format"), name)
        manifest = Manifest.model_validate_json(json.dumps(found))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest.json"
        raise FileFormatError(f"{name} has a damaged manifest: {place}: {first['msg']}. Export it again.") from error
    for fault in _faults(manifest):
        raise FileFormatError(f"{name} has a damaged manifest: {fault}. Export it, or adapt, again.")
    return manifest


def _check_format(found: Any, name: str) -> None:
    """Raise a FileFormatError for a bundle of another version, which says what to do."""
    if not isinstance(found, int) or found == FORMAT:
        return
    remedy = "update quickstudy" if found > FORMAT else "export the learner again, and adapt it again to its examples"
    raise FileFormatError(
        f"{name} has bundle format {found}; this quickstudy reads format {FORMAT}: {remedy}.", subject=name, remedy=remedy
    )


def program_names(continues: bool) -> tuple[ProgramName, ...]:
    """Return the names of a learner's programs; `update` is one only if the learner goes on from a state without forgetting.

    >>> program_names(False)
    ('adapt', 'predict')
    """
    return ("adapt", "update", "predict") if continues else ("adapt", "predict")


def _faults(found: Manifest) -> Iterator[str]:
    """Yield what is wrong with a manifest that no key shows alone."""
    if not isinstance(found.learner.get("name"), str):
        yield f"learner.name is {found.learner.get('name')!r}; expected a text"
    if found.layout != found.input.layout():
        yield f"layout is not that of {found.input}"
    if found.programs:
        yield from _program_faults(found, found.programs)
    elif found.kind == "learner":
        yield "it is a learner without programs"
    for name in ("scale", "most"):
        if getattr(found.target, name) is not None and found.target.kind != "values":
            yield f"target.{name} is given for {found.target.kind}; expected it for values alone"
    if found.kind == "skill":
        yield from _label_faults(found)


def _program_faults(found: Manifest, programs: Mapping[ProgramName, Program]) -> Iterator[str]:
    """Yield what is wrong with the graphs' inputs and outputs."""
    expected = program_names(found.continues)
    if programs.keys() != set(expected):
        yield f"programs holds {', '.join(sorted(programs))}; expected {', '.join(expected)}"
        return
    adapt, axes = programs["adapt"], targets.axes(found.target.kind)
    for name, layout in found.layout.items():
        shape = ("example", *layout.shape)
        if adapt.inputs.get(f"support.{name}") != shape:
            yield f"programs.adapt.inputs.support.{name} is {adapt.inputs.get(f'support.{name}')}; expected {shape}"
    outputs = found.target.outputs
    rows = ("example", *axes, "way" if outputs is None else outputs)
    if adapt.inputs.get("support.y") != rows:
        yield f"programs.adapt.inputs.support.y is {adapt.inputs.get('support.y')}; expected {rows}"
    lacking = sorted(found.settings.keys() - adapt.inputs.keys())
    if lacking:
        yield f"programs.adapt.inputs lacks the setting {lacking[0]}"
    for name in expected[:-1]:
        if not found.state or programs[name].outputs.keys() != found.state.keys():
            yield f"programs.{name}.outputs has {sorted(programs[name].outputs)}; expected the state, {sorted(found.state)}"
    predicted = dict(programs["predict"].outputs)
    shape = predicted.pop("prediction", ())
    if len(shape) != 2 + len(axes):
        yield f"programs.predict.outputs lacks prediction {'[query, frame, way]' if axes else '[query, way]'}"
    if predicted not in ({}, {"spread": shape}):
        yield f"programs.predict.outputs has {predicted} beside prediction; expected nothing, or spread of the same shape"


def _label_faults(skill: Manifest) -> Iterator[str]:
    """Yield what is wrong with the labels of a skill."""
    labels, ways = skill.labels, skill.target.outputs
    if labels is None:
        yield "it is a skill without labels"
    elif skill.target.kind in ("classes", "labels"):
        if not labels or len(set(labels)) < len(labels):
            yield f"labels is {str(list(labels))[:200]}; expected at least one, and each once"
        if ways is not None and ways != len(labels):
            yield f"labels has {len(labels)} entries; expected {ways}, as the learner's head has"
