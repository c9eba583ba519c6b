"""Manifest: what a bundle says about itself, checked when it is read. See docs/bundle.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import annotated_types
import pydantic

from quickstudy.errors import FileFormatError
from quickstudy.inputs.image import ImageSpec, Ink
from quickstudy.inputs.rows import RowsSpec

FORMAT = 2
"""Version of the bundle format; newer bundles are refused by name, older ones are read as if they were of this one."""
MOST_BYTES = 2**20
"""Of manifest.json; the browser has the same limit."""

Size = Annotated[int, annotated_types.Interval(ge=0, le=2**24)]
Count = Annotated[str, pydantic.StringConstraints(pattern=r"^(example|way|query|earlier)( \+ (example|way|query|earlier))?$")]
Axes = Annotated[tuple[Count | Size, ...], annotated_types.MaxLen(8)]
Label = str | int | float | bool
StateType = Literal["float32", "int64"]
"""Types that a tensor of a state may have."""


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ImageInput(_Part):
    """An image of `ImageSpec`, as `byte * scale + offset`, float32 `[example, channel, height, width]`."""

    kind: Literal["image"] = "image"
    height: Annotated[int, annotated_types.Interval(ge=1, le=4096)]
    width: Annotated[int, annotated_types.Interval(ge=1, le=4096)]
    channels: Literal[1, 3]
    ink: Ink
    scale: float
    offset: float

    @property
    def spec(self) -> ImageSpec:
        """What an image must be."""
        return ImageSpec(self.height, self.width, self.channels, self.ink)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example, as the network sees it."""
        return self.channels, self.height, self.width


class RowsInput(_Part):
    """Rows of numbers, float32 `[example, feature]`."""

    kind: Literal["rows"] = "rows"
    features: Size

    @property
    def spec(self) -> RowsSpec:
        """What a row must be."""
        return RowsSpec(self.features)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return (self.features,)


class Program(_Part):
    """Shapes of the inputs and outputs of a graph, and the weights that it needs, by name."""

    inputs: dict[str, Axes]
    outputs: dict[str, Axes]
    weights: tuple[str, ...]


class TensorLayout(_Part):
    """Shape and type of a tensor."""

    shape: Axes
    dtype: StateType


class Programs(_Part):
    """The graphs of a learner."""

    adapt: Program
    update: Program
    predict: Program


class Unknown(_Part):
    """When a query belongs to no class: its largest logit is below the threshold.

    Attributes:
        threshold: on the largest logit.
        rejected: fraction of queries of known classes that are called unknown, measured.
        detected: fraction of queries of other classes that are called unknown, measured.
        tasks: what it was measured on, in words.
    """

    threshold: float
    rejected: float
    detected: float
    tasks: str


class Manifest(_Part):
    """Everything about a bundle but its graphs and numbers; the keys are those of docs/bundle.md."""

    format: Annotated[int, annotated_types.Ge(1)]
    kind: Literal["learner", "task"]
    learner: dict[str, Any]
    net: dict[str, Any] | None = None
    input: Annotated[ImageInput | RowsInput, pydantic.Field(discriminator="kind")]
    objective: Literal["classification", "regression"] = "classification"
    programs: Programs
    settings: dict[str, float | int]
    state: dict[str, TensorLayout]
    continues: bool
    protocol: str
    precision: Literal["float32", "int8"] = "float32"
    results: dict[str, Any] = {}
    unknown: Unknown | None = None
    labels: tuple[Label, ...] | None = None
    ink: Ink | None = None
    licence: str = ""
    made_by: str = ""
    parts: dict[str, str] = {}


def parse(data: bytes, name: str) -> Manifest:
    """A manifest from JSON.

    Raises:
        FileFormatError: a newer format, or a key that is missing, unknown, holds what it must not, or contradicts another.
    """
    try:
        found = pydantic.TypeAdapter(dict[str, Any]).validate_json(data)
        if isinstance(found.get("format"), int) and found["format"] > FORMAT:
            raise FileFormatError(
                f"{name} has bundle format {found['format']}, this quickstudy reads up to {FORMAT}: update it."
            )
        manifest = Manifest.model_validate_json(json.dumps(_upgraded(found)))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest.json"
        raise FileFormatError(f"{name} has a damaged manifest: {place}: {first['msg']}. Export it again.") from error
    for fault in _faults(manifest):
        raise FileFormatError(f"{name} has a damaged manifest: {fault}. Export it, or adapt, again.")
    return manifest.model_copy(update={"format": FORMAT})


def _upgraded(found: dict[str, Any]) -> dict[str, Any]:
    """A manifest of format 1, whose states were float32 without saying so, as one of format 2; others as they are."""
    if found.get("format") != 1 or not isinstance(found.get("state"), dict):
        return found
    return found | {"state": {name: {"shape": axes, "dtype": "float32"} for name, axes in found["state"].items()}}


def _faults(found: Manifest) -> Iterator[str]:
    """What the runtime relies on, and one key cannot say alone."""
    adapt, expected = found.programs.adapt, ("example", *found.input.shape)
    if not isinstance(found.learner.get("name"), str):
        yield f"learner.name is {found.learner.get('name')!r}; expected a text"
    if adapt.inputs.get("support_x") != expected:
        yield f"programs.adapt.inputs.support_x is {adapt.inputs.get('support_x')}; expected {expected}"
    if len(adapt.inputs.get("support_y", ())) != 2:
        yield f"programs.adapt.inputs.support_y is {adapt.inputs.get('support_y')}; expected ('example', 'way')"
    lacking = sorted(found.settings.keys() - adapt.inputs.keys())
    if lacking:
        yield f"programs.adapt.inputs lacks the setting {lacking[0]}"
    for name, program in (("adapt", adapt), ("update", found.programs.update)):
        if not found.state or program.outputs.keys() != found.state.keys():
            yield f"programs.{name}.outputs has {sorted(program.outputs)}; expected the state, {sorted(found.state)}"
    if len(found.programs.predict.outputs.get("prediction", ())) != 2:
        yield "programs.predict.outputs lacks prediction [query, way]"
    if found.kind == "task":
        yield from _label_faults(found)


def _label_faults(task: Manifest) -> Iterator[str]:
    labels, ways = task.labels, task.programs.adapt.inputs["support_y"][1]
    if labels is None:
        yield "it is a task without labels"
    elif task.objective == "classification":
        if not labels or len(set(labels)) < len(labels):
            yield f"labels is {str(list(labels))[:200]}; expected at least one, and each once"
        if isinstance(ways, int) and ways != len(labels):
            yield f"labels has {len(labels)} entries; expected {ways}, as the learner's head has"
