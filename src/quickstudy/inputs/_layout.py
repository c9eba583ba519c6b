"""TensorLayout and InputSpec: what every kind of input says about itself, so that nobody else needs to know the kind."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pydantic

from quickstudy.errors import DataError


class TensorLayout(pydantic.BaseModel):
    """One named part of an example: how it is stored, and how it enters a network, as `input = stored * scale + offset`.

    Args:
        axes: sizes of the axes of one stored example, such as `(height, width, channel)`.
        order: the stored axis that each axis of the network's input is; `(2, 0, 1)` puts the channels first.
        dtype: type of the stored numbers.
        scale: factor of the stored numbers.
        offset: number that is added after scaling.
        open: whether the last axis of the network's input may be shorter, as a small table has fewer numbers than a row has room for.

    >>> TensorLayout(axes=(28, 32, 3), order=(2, 0, 1), dtype="uint8", scale=1 / 255).shape
    (3, 28, 32)
    >>> TensorLayout(axes=(1, 100), order=(0, 1), dtype="float32", open=True).shape
    (1, 'column')
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    axes: tuple[int, ...]
    order: tuple[int, ...]
    dtype: Literal["uint8", "int64", "float32"]
    scale: float = 1.0
    offset: float = 0.0
    open: bool = False

    @pydantic.model_serializer(mode="wrap")
    def _open_only_if_so(self, described: Callable[[TensorLayout], dict[str, Any]]) -> dict[str, Any]:
        """Return the fields for files, of which `open` is one only if it is true."""
        return {name: value for name, value in described(self).items() if name != "open" or value}

    @property
    def shape(self) -> tuple[Any, ...]:
        """Return the shape of one example as the network sees it; an axis that is open is called `column`."""
        sizes = tuple(self.axes[axis] for axis in self.order)
        return (*sizes[:-1], "column") if self.open else sizes

    def to_network(self, stored: np.ndarray) -> np.ndarray:
        """Return the network's input, float32 `[example, *shape]`, for `stored` `[example, *axes]`; int64 stays int64."""
        moved = np.ascontiguousarray(stored.transpose(0, *(axis + 1 for axis in self.order)))
        if self.dtype == "int64":
            return moved
        return moved.astype(np.float32, copy=False) * np.float32(self.scale) + np.float32(self.offset)

    def to_stored(self, inputs: np.ndarray) -> np.ndarray:
        """Return the stored examples `[example, *axes]` of a network's inputs `[example, *shape]`: `to_network` undone."""
        values = inputs if self.dtype == "int64" else (inputs - self.offset) / self.scale
        values = values if self.dtype == "float32" else np.rint(values)
        return values.astype(self.dtype).transpose(0, *(axis + 1 for axis in np.argsort(self.order)))


class Shown(NamedTuple):
    """One example as a file that a browser can show.

    Attributes:
        media: type of the content, such as `image/png`, `image/svg+xml` or `text/plain`.
        content: bytes of the file; text is UTF-8.
        sound: bytes of a WAV file with which the example can be heard too; empty if it makes no sound.
    """

    media: str
    content: bytes
    sound: bytes = b""


class InputSpec(pydantic.BaseModel, abc.ABC, frozen=True):
    """The example that a network expects; a kind of input is one subclass in a file of its own.

    The same object stands in task sources, in files of learners and in manifests of bundles. Two specs are equal only if
    every field is.
    """

    model_config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)

    nouns: ClassVar[str] = "examples"
    """Name of several examples of this kind, in errors and warnings."""

    column: ClassVar[str] = ""
    """Name of the column of a table that holds examples of this kind, or the paths of their files; empty if tables cannot hold them."""

    paths_in_tables: ClassVar[bool] = False
    """Whether that column holds paths of files, and not the examples themselves."""

    usual_net: ClassVar[str] = "mlp"
    """Name of the net that a command line takes for this kind if none is chosen."""

    words: ClassVar[Mapping[str, str]] = {}
    """Explanation of each wish of `own` and each reading of `read_all`, for the help of commands."""

    tabular: ClassVar[bool] = False
    """Whether examples are rows of tables, whose columns are known by name."""

    resizing: ClassVar[frozenset[str]] = frozenset()
    """Names of the wishes of `own` that settle a size. Data of this kind can be brought to any size."""

    kind: str

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**{name: _plain(value) for name, value in fields.items()})
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{field} is {first['input']!r}: {first['msg']}.") from None

    @property
    def scaled_by_task(self) -> bool:
        """Return whether the examples that a task is learned from decide how its inputs are scaled: `fitted_to` says how."""
        return False

    @property
    def by_group(self) -> bool:
        """Return whether only examples of one group of classes can be compared, as rows of one table can."""
        return False

    @classmethod
    def suffixes(cls) -> frozenset[str]:
        """Return the endings of files that hold one example each, such as `.png`; none if this kind has no such files."""
        return frozenset()

    @classmethod
    def named(cls, words: Sequence[str]) -> list[Any]:
        """Return the examples that words of a command line name, as `read_all` takes them: paths of files, unless the kind says more."""
        return list(words)

    @classmethod
    @abc.abstractmethod
    def takes(cls, array: np.ndarray) -> bool:
        """Return whether an array `[example, ...]` looks like examples of this kind."""

    @classmethod
    @abc.abstractmethod
    def own(cls, array: np.ndarray | None = None, **wishes: Any) -> Self:
        """Return the spec for data of a user's own.

        Args:
            array: the examples, if they are an array; None if they are files.
            wishes: what the owner says of the data; the keyword-only arguments of the kind's own method. None says nothing.

        Raises:
            DataError: `array` cannot be examples of this kind, or a wish is impossible.
        """

    @abc.abstractmethod
    def how(self, **wishes: Any) -> dict[str, Any]:
        """Return the options of `read` for data whose owner says `wishes`, so that it becomes what this spec is.

        Raises:
            DataError: a wish contradicts the spec, and no option of `read` could bring them together.
        """

    def as_read(self) -> dict[str, Any]:
        """Return the options under which another spec of this kind reads what this spec stores."""
        return {}

    def resized(self, other: InputSpec) -> Self:
        """Return this spec with the size of `other`, for data that can be read at any size; by default there is none."""
        del other
        return self

    @property
    def resizable(self) -> frozenset[str]:
        """Return the names of the wishes that settle a size of this spec."""
        return self.resizing

    def wished(self, **wishes: Any) -> Self:
        """Return this spec with the size for which the owner of data wishes."""
        return self.resized(type(self).own(**wishes))

    @abc.abstractmethod
    def layout(self) -> dict[str, TensorLayout]:
        """Return how each part of an example is stored and enters the network, by name."""

    @abc.abstractmethod
    def read(self, thing: Any, **how: Any) -> dict[str, np.ndarray]:
        """Return one stored example from whatever users have, by name.

        Raises:
            DataError: `thing` cannot be read as this kind of input.
        """

    @abc.abstractmethod
    def read_all(self, things: Any, **how: Any) -> dict[str, np.ndarray]:
        """Return stored examples by name, stacked along a leading axis.

        Raises:
            DataError: there is no example, or one cannot be read as this kind of input.
        """

    @classmethod
    def wishes(cls) -> list[str]:
        """Return the names of what owners can say of data of this kind: the keyword-only arguments of `own`."""
        parameters = inspect.signature(cls.own).parameters.values()
        return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]

    @classmethod
    def readings(cls) -> list[str]:
        """Return the names of what may be said of examples when they are read: the keyword-only arguments of `read_all`."""
        parameters = inspect.signature(cls.read_all).parameters.values()
        return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]

    @abc.abstractmethod
    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return simple statistics of stored examples, to be kept with a learner that was trained on them."""

    @abc.abstractmethod
    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        """Return a warning if stored examples are far from those that `statistics` describes: what is far, and the remedy.

        Args:
            statistics: statistics of the training inputs.
            stored: examples to compare.
            how: options of `read_all` with which the examples were read.
        """

    def with_padding(self, padded: bool) -> Self:
        """Return the spec for a network that takes inputs of one length (padded), or of any; by default, nothing is ever padded."""
        del padded
        return self

    def lacking(self, stored: Mapping[str, np.ndarray]) -> str | None:
        """Return a warning if stored examples of files seem to lack something that the files hold: how many, and what; None by default."""
        del stored

    def to_network(self, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the inputs of a network by name, float32 `[example, ...]`."""
        return {name: layout.to_network(stored[name]) for name, layout in self.layout().items()}

    def shown(self, stored: Mapping[str, np.ndarray]) -> Shown:
        """Return one stored example for people to look at: its first numbers as text, unless the kind has something better."""
        numbers = np.concatenate([np.ravel(part) for part in stored.values()])
        words = [f"{number:.4g}" for number in numbers[:8].tolist()] + ["..."] * (len(numbers) > 8)
        return Shown("text/plain", ", ".join(words).encode())

    def fitted_to(self, things: Any) -> Self:
        """Return the spec with what only a task's own examples tell, such as the names of their columns.

        Args:
            things: examples as a user gave them, or the spec with which a task's examples were read.
        """
        return self

    def changed(self, **fields: Any) -> Self:
        """Return the same spec with other values of some fields, checked."""
        return type(self)(**(self.model_dump() | fields))


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as the Python number that it is, and everything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def check_several(things: Any, one: tuple[type, ...] = (str, bytes, bytearray), name: str = "example") -> None:
    """Raise a DataError if `things` is a single example, is no list, or is an empty list.

    Args:
        things: what a user gave as examples.
        one: types that are one example.
        name: an example's name in errors.
    """
    if isinstance(things, one):
        raise DataError(f"one {name} was given ({str(things)[:80]}); expected a list of {name}s.")
    try:
        count = len(things)
    except TypeError:
        raise DataError(f"the examples are a {type(things).__name__}; expected a list or an array of examples.") from None
    if count == 0:
        raise DataError("no example was given; expected at least one.")


def listed(things: Any, nouns: str) -> list[Any]:
    """Return things as a list; the column of a table with a single one.

    Args:
        things: what a user gave as examples.
        nouns: name of several examples in errors.

    Raises:
        DataError: a table has several columns.
    """
    found = things.to_numpy() if hasattr(things, "to_numpy") else things
    if isinstance(found, np.ndarray) and found.ndim == 2 and found.shape[1] == 1 and found.dtype.kind in "OSU":
        found = found[:, 0]
    if isinstance(found, np.ndarray) and found.ndim != 1 and found.dtype.kind in "OSU":
        raise DataError(f"the {nouns} have shape {list(found.shape)}; expected a list, or a table with a single column.")
    return list(found)


def as_array(thing: Any, name: str, expected: str) -> np.ndarray:
    """Return `thing` (an array, a tensor of torch, nested lists, a table of pandas) as an array.

    Args:
        thing: what a user gave.
        name: the thing's name in errors, such as "an image".
        expected: what could have been given, in words.

    Raises:
        DataError: `thing` is no array of one shape and type.
    """
    if isinstance(thing, np.ndarray):
        return thing
    try:
        plain = thing.detach().cpu() if hasattr(thing, "detach") else thing
        return np.asarray(plain)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} is a {type(thing).__name__} that is no array ({error}); expected {expected}.") from error
