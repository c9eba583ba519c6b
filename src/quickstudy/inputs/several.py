"""SeveralSpec: an example of several named parts, each of a kind that there is, such as a picture and its caption; some may be missing."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pydantic

from quickstudy.errors import DataError, InputWarning
from quickstudy.inputs import AnySpec, InputSpec
from quickstudy.inputs._columns import plain
from quickstudy.inputs._layout import Shown, TensorLayout, check_several

Stored = dict[str, np.ndarray]
EXPECTED = 'columns by name, such as {"picture": [...], "caption": [...]}, a table of pandas, or a list of rows by name'


class SeveralSpec(InputSpec, frozen=True):
    """The parts of an example, each with a spec of its own. Beside its tensor, each part has a number that says whether it is there.

    A part's tensor is called as the part, with underscores in place of all but letters and digits; `NAME_there` is 1 if the example has the
    part, else 0, and the tensor is then full of zeros. A part that is a row of a table has its columns beside the other parts, each by its
    own name.

    Args:
        parts: spec of each part by its name; they are kept in the order of their names.

    >>> from quickstudy.inputs.rows import RowsSpec
    >>> from quickstudy.inputs.text import TextSpec
    >>> spec = SeveralSpec({"name": TextSpec(4), "size": RowsSpec(2)})
    >>> spec.read({"name": "owl", "size": None})["size_there"].tolist(), list(spec.layout())
    ([0], ['name', 'name_there', 'size', 'size_there'])
    """

    nouns: ClassVar[str] = "examples of several parts"
    usual_net: ClassVar[str] = "joined"
    tabular: ClassVar[bool] = True

    kind: Literal["several"] = "several"
    parts: Annotated[dict[str, AnySpec], pydantic.AfterValidator(lambda parts: dict(sorted(parts.items())))]

    def __init__(self, parts: Mapping[str, InputSpec | Mapping[str, Any]], **fields: Any) -> None:
        super().__init__(parts=parts, **fields)
        _check_parts(self.parts)
        if len(self.layout()) < 2 * len(self.parts):
            raise DataError(
                f"the names {', '.join(map(repr, self.parts))} are not told apart without signs and blanks; rename one of these parts."
            )

    def __hash__(self) -> int:
        return hash(tuple(self.parts.items()))

    def __str__(self) -> str:
        return f"examples of {len(self.parts)} parts: {'; '.join(f'{name}, {part}' for name, part in self.parts.items())}"

    @property
    def by_group(self) -> bool:
        """Return whether some part is of a kind of which only examples of one group can be compared."""
        return any(part.by_group for part in self.parts.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns of a table that hold the parts."""
        own = {name: part.names if part.tabular else (name,) for name, part in self.parts.items()}  # pyright: ignore[reportAttributeAccessIssue]
        return tuple(column for columns in own.values() for column in columns)

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the names of the columns that hold paths of files."""
        return tuple(name for name, part in self.parts.items() if part.paths_in_tables)

    @classmethod
    def takes(cls, array: np.ndarray) -> bool:
        """Return that no array is known to hold several parts; whoever has some names their columns."""
        return False

    @classmethod
    def own(cls, array: np.ndarray | None = None, **wishes: Any) -> Self:
        """Raise a DataError, as nobody has said which parts there are."""
        raise DataError("examples of several parts come as a table; name the column of each part, such as text=COLUMN.")

    def wished(self, **wishes: Any) -> Self:
        """Return the same parts, each of the size for which somebody wishes."""
        of_each = {
            name: {key: value for key, value in wishes.items() if key in part.resizing} for name, part in self.parts.items()
        }
        return type(self)({name: part.wished(**of_each[name]) if of_each[name] else part for name, part in self.parts.items()})

    @property
    def resizable(self) -> frozenset[str]:
        """Return the wishes that settle a size of some part."""
        return frozenset().union(*(part.resizing for part in self.parts.values()))

    def how(self, **wishes: Any) -> dict[str, Any]:
        """Return the options of `read`, those of each part.

        Raises:
            DataError: a part has no such wish, or a wish contradicts its spec.
        """
        known = {name: type(part).wishes() for name, part in self.parts.items()}
        strange = [wish for wish in wishes if not any(wish in names for names in known.values())]
        if strange:
            raise DataError(
                f"{strange[0]} is given, but none of the parts {', '.join(self.parts)} has such an option; leave it out."
            )
        said = {name: {wish: value for wish, value in wishes.items() if wish in known[name]} for name in self.parts}
        found = {name: options for name, part in self.parts.items() if (options := part.how(**said[name]))}
        return {"parts": found} if found else {}

    def as_read(self) -> dict[str, Any]:
        """Return how each part is stored, for those that do not tell it themselves."""
        found = {name: options for name, part in self.parts.items() if (options := part.as_read())}
        return {"parts": found} if found else {}

    def resized(self, other: InputSpec) -> Self:
        """Return the same parts, each of the size that the part of this name has in `other`."""
        others = other.parts if isinstance(other, SeveralSpec) else {}
        return type(self)({name: part.resized(others[name]) if name in others else part for name, part in self.parts.items()})

    def layout(self) -> dict[str, TensorLayout]:
        """Return the layout of all parts, each followed by the number that says whether it is there."""
        there = TensorLayout(axes=(1,), order=(0,), dtype="uint8")
        found = {}
        for name, part in self.parts.items():
            found |= {self.tensor(name): next(iter(part.layout().values())), self.mask(name): there}
        return found

    @staticmethod
    def tensor(name: str) -> str:
        """Return the name of the tensor of a part.

        >>> SeveralSpec.tensor("front view")
        'front_view'
        """
        return re.sub(r"\W", "_", name, flags=re.ASCII)

    @classmethod
    def mask(cls, name: str) -> str:
        """Return the name of the tensor that says whether a part is there."""
        return f"{cls.tensor(name)}_there"

    def read(self, thing: Mapping[str, Any], **how: Any) -> Stored:
        """Return one stored example from its parts by name, of which some may be missing or None."""
        if not isinstance(thing, Mapping):
            raise DataError(f"an example is a {type(thing).__name__}; expected its parts by name: {', '.join(self.parts)}.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            return {name: rows[0] for name, rows in self.read_all([thing], **how).items()}

    def read_all(self, things: Any, **how: Any) -> Stored:
        """Return stored examples.

        Args:
            things: columns by the names of the parts, a table of pandas, a structured array, or a list of rows by name. A cell that is
                None, NaN or an empty text is a part that is missing. Or examples as they are stored, by the names of the layout.
            how: `parts`, the options with which each part is read, by its name.

        Raises:
            DataError: no part is there at all, an example has none, or one cannot be read.

        Warns:
            InputWarning: parts are missing; says how many of which. And what the parts themselves warn of.
        """
        check_several(things)
        of_parts = how.pop("parts", {})
        if how:
            raise DataError(f"{', '.join(how)} was given, but examples of several parts have no such option; leave it out.")
        if self._is_stored(things):
            return self._read_stored(things, of_parts)
        columns = columns_of(things)
        given = {name: self._given(name, columns) for name in self.parts}
        counts = {name: len(column) for name, (column, _) in given.items() if column is not None}
        if not counts:
            raise DataError(f"there is no column {' or '.join(map(repr, self.names))}; it has {', '.join(columns) or 'none'}.")
        if len(set(counts.values())) > 1:
            sizes = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise DataError(f"the parts have different numbers of examples: {sizes}; expected one cell for each example.")
        total = next(iter(counts.values()))
        if not total:
            raise DataError("no example was given; expected at least one.")
        there = {name: np.zeros(total, bool) if column is None else known for name, (column, known) in given.items()}
        check_any(there)
        said = missing_in(there)
        if said:
            warnings.warn(f"{said}; the learner is told that these parts are missing.", InputWarning, stacklevel=2)
        found: Stored = {}
        for name, part in self.parts.items():
            rows = None
            if there[name].any():
                read = part.read_all(_chosen(given[name][0], there[name]), **of_parts.get(name, {}))
                rows = next(iter(read.values()))
            found |= self.spread(name, rows, there[name])
        return found

    def spread(self, name: str, rows: np.ndarray | None, there: np.ndarray) -> Stored:
        """Return the tensors of a part for all examples: its rows where it is there, and zeros elsewhere.

        Args:
            name: the part.
            rows: what is stored of the examples that have it; None if none has.
            there: whether each example has it, bool `[example]`.
        """
        layout = self.layout()[self.tensor(name)]
        whole = np.zeros((len(there), *layout.axes), layout.dtype)
        if rows is not None:
            whole[there] = rows
        return {self.tensor(name): whole, self.mask(name): there.astype(np.uint8)[:, None]}

    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the statistics of each part over the examples that have it, after its name."""
        found = {}
        for name, part in self.parts.items():
            rows = self.of_part(name, stored)
            if len(next(iter(rows.values()))):
                found |= {f"{name}.{key}": value for key, value in part.statistics(rows).items()}
        return found

    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        """Return a warning if a part is far from those of training."""
        said = []
        for name, part in self.parts.items():
            rows, own = self.of_part(name, stored), _beginning_with(f"{name}.", statistics)
            words = (
                part.unlike(own, rows, **how.get("parts", {}).get(name, {})) if own and len(next(iter(rows.values()))) else None
            )
            said += [f"{name}: {words}"] if words else []
        return " ".join(said) or None

    def lacking(self, stored: Mapping[str, np.ndarray]) -> str | None:
        """Return what the parts' examples seem to lack."""
        said = {
            name: part.lacking(self.of_part(name, stored)) for name, part in self.parts.items() if stored[self.mask(name)].any()
        }
        return "; ".join(f"{name}: {words}" for name, words in said.items() if words) or None

    def shown(self, stored: Mapping[str, np.ndarray]) -> Shown:
        """Return the first part of one stored example that is there, for people to look at: a picture if there is one."""
        there = {name: part for name, part in self.parts.items() if stored[self.mask(name)][0]}
        shown = [part.shown(dict.fromkeys(part.layout(), stored[self.tensor(name)])) for name, part in there.items()]
        return min(shown, key=lambda one: one.media.startswith("text"), default=Shown("text/plain", b"no part"))

    def of_part(self, name: str, stored: Mapping[str, np.ndarray]) -> Stored:
        """Return what is stored of a part, as its own spec names it, of the examples that have it."""
        there = stored[self.mask(name)][:, 0] > 0
        return {own: stored[self.tensor(name)][there] for own in self.parts[name].layout()}

    def _given(self, name: str, columns: Mapping[str, Any]) -> tuple[Any, np.ndarray]:
        """Return the cells of a part, None if there is no such column, and which of them are there."""
        part = self.parts[name]
        if not part.tabular:
            column = columns.get(name)
            return column, np.zeros(0, bool) if column is None else present(column)
        own = {column: columns[column] for column in part.names if column in columns}  # pyright: ignore[reportAttributeAccessIssue]
        if not own:
            return None, np.zeros(0, bool)
        known = [[cell is not None for cell in plain(column)] for column in own.values()]
        return _Rows(own), np.array([any(cells) for cells in zip(*known, strict=True)], dtype=bool)

    def _is_stored(self, things: Any) -> bool:
        """Return whether things are stored examples, by the names of the layout."""
        return isinstance(things, Mapping) and things.keys() == self.layout().keys()

    def _read_stored(self, stored: Mapping[str, np.ndarray], of_parts: Mapping[str, Mapping[str, Any]]) -> Stored:
        """Return stored examples as this spec stores them: another spec of the same parts may have stored them."""
        found: Stored = {}
        for name, part in self.parts.items():
            there = stored[self.mask(name)][:, 0] > 0
            rows = stored[self.tensor(name)][there]
            read = part.read_all(rows, **of_parts.get(name, {})) if there.any() else {}
            found |= self.spread(name, next(iter(read.values()), None), there)
        return found


class _Rows(dict[str, Any]):
    """Columns of the rows of a table, of which there are as many as one column has cells."""

    def __len__(self) -> int:
        return len(next(iter(self.values())))


def columns_of(things: Any) -> dict[str, Any]:
    """Return the columns of a table by name, as they are.

    Raises:
        DataError: it is no table.
    """
    if isinstance(things, np.ndarray) and things.dtype.names is not None:
        return {name: things[name] for name in things.dtype.names}
    if isinstance(things, Mapping):
        return {str(name): column for name, column in things.items()}
    if not isinstance(things, np.ndarray) and hasattr(things, "columns"):
        return {str(name): things[name] for name in things.columns}
    if isinstance(things, Sequence) and all(isinstance(row, Mapping) for row in things):
        names = dict.fromkeys(name for row in things for name in row)
        return {str(name): [row.get(name) for row in things] for name in names}
    raise DataError(f"the examples are a {type(things).__name__}; expected {EXPECTED}.")


def present(column: Any) -> np.ndarray:
    """Return which cells of a column are there, bool `[example]`: all but None, NaN and empty texts.

    >>> present(["a", "", None, float("nan"), 0]).tolist()
    [True, False, False, False, True]
    """
    return np.array([not _is_missing(cell) for cell in column], dtype=bool)


def check_any(there: Mapping[str, np.ndarray]) -> None:
    """Raise a DataError if an example has none of its parts."""
    none = [place for place, known in enumerate(zip(*there.values(), strict=True)) if not any(known)]
    if none:
        total = len(next(iter(there.values())))
        raise DataError(
            f"example {none[0]} has none of its parts {', '.join(there)} ({len(none)} of {total} have none); leave such examples out."
        )


def missing_in(there: Mapping[str, np.ndarray]) -> str:
    """Return how many examples lack which part, in words; empty if none does.

    >>> missing_in({"caption": np.array([True, False]), "picture": np.array([True, True])})
    '1 of 2 examples have no caption'
    """
    counts = {name: (int((~known).sum()), len(known)) for name, known in there.items()}
    return ", ".join(f"{lacking} of {total} examples have no {name}" for name, (lacking, total) in counts.items() if lacking)


def _is_missing(cell: Any) -> bool:
    """Return whether a cell holds nothing."""
    if (
        cell is None
        or type(cell).__name__ in ("NAType", "NaTType")
        or (isinstance(cell, float | np.floating) and math.isnan(cell))
    ):
        return True
    return isinstance(cell, str | bytes) and not cell.strip()


def _chosen(column: Any, there: np.ndarray) -> Any:
    """Return the cells of a column that are there; of the columns of a table's rows, these cells of each."""
    if isinstance(column, _Rows):
        return {name: _chosen(cells, there) for name, cells in column.items()}
    if isinstance(column, np.ndarray) and column.dtype != object:
        return column[there]
    return [cell for cell, known in zip(column, there, strict=True) if known]


def _beginning_with(prefix: str, numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in numbers.items() if name.startswith(prefix)}


def _check_parts(parts: Mapping[str, InputSpec]) -> None:
    """Raise a DataError for parts that cannot be one example."""
    if not parts:
        raise DataError("there are no parts; expected at least one, each with a name.")
    for name, part in parts.items():
        if not name.strip():
            raise DataError("a part has no name; expected a name for each.")
        if isinstance(part, SeveralSpec):
            raise DataError(f"the part {name!r} has several parts itself; give these beside the others.")
        if len(part.layout()) > 1:
            raise DataError(f"the part {name!r} is {part}, which has several tensors; a part has one.")
        if part.scaled_by_task:
            raise DataError(
                f"the part {name!r} is {part}, whose scale each task's examples decide; a part of several is scaled as in training: leave "
                "out scaling='task' and a width."
            )
    tables = [name for name, part in parts.items() if part.tabular]
    if len(tables) > 1:
        raise DataError(f"{' and '.join(tables)} are both rows of tables; put their columns into one part.")
