"""Manifest: what a bundle says about itself, checked when it is read. See docs/bundle.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import annotated_types
import pydantic

from quickstudy.data.image import ImageSpec, Ink
from quickstudy.errors import FileFormatError

FORMAT = 1
"""Version of the bundle format; newer bundles are refused by name."""

Size = Annotated[int, annotated_types.Interval(ge=0, le=2**24)]
Count = Annotated[str, pydantic.StringConstraints(pattern=r"^(example|way|query|earlier)( \+ (example|way|query|earlier))?$")]
Axes = Annotated[tuple[Count | Size, ...], annotated_types.MaxLen(8)]
Label = str | int | float | bool


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


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
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return (self.features,)


class Program(_Part):
    """Shapes of the inputs and outputs of a graph, and the weights that it needs, by name."""

    inputs: dict[str, Axes]
    outputs: dict[str, Axes]
    weights: tuple[str, ...]


class Programs(_Part):
    """The graphs of a learner."""

    adapt: Program
    update: Program
    predict: Program


class Unknown(_Part):
    """When a query belongs to no class: its largest logit is below the threshold.

    Args:
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

    format: int
    kind: Literal["learner", "task"]
    learner: dict[str, Any]
    net: dict[str, Any] | None = None
    input: Annotated[ImageInput | RowsInput, pydantic.Field(discriminator="kind")]
    objective: Literal["classification", "regression"] = "classification"
    programs: Programs
    settings: dict[str, float | int]
    state: dict[str, Axes]
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
        FileFormatError: a newer format, or a key that is missing, unknown, or holds what it must not.
    """
    try:
        found = pydantic.TypeAdapter(dict[str, Any]).validate_json(data)
        if isinstance(found.get("format"), int) and found["format"] > FORMAT:
            raise FileFormatError(
                f"{name} has bundle format {found['format']}, this quickstudy reads up to {FORMAT}: update it."
            )
        return Manifest.model_validate_json(data)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest.json"
        raise FileFormatError(f"{name} has a damaged manifest: {place}: {first['msg']}. Export it again.") from error
