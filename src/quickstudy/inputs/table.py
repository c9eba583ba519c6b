"""TableSpec: rows of a table whose columns have names and types (numbers, truths, dates, categories), of which some may be missing."""

from __future__ import annotations

import collections
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import annotated_types
import numpy as np

from quickstudy.errors import DataError, InputWarning
from quickstudy.inputs._columns import LIMITS, Cells, Column, as_text, inferred, plain, shown
from quickstudy.inputs._layout import InputSpec, TensorLayout, check_several

BOUND = {"spreads": 10.0, "unlike": 5.0, "wider": 1.5, "same": 1e-6}
"""Standard deviations beyond which numbers are cut off; ratio of mean sizes, and of numbers per row, beyond which rows are called unlike
those of training; standard deviation, as a part of the mean (or of 1, if that is larger), below which numbers count as all the same: single
precision has 6e-8."""
Scaling = Literal["training", "task"]


class TableSpec(InputSpec, frozen=True):
    """Rows of a table, by the names of its columns. Each becomes numbers, as `Column` says, one column after the other.

    With `scaling="task"` all numbers are then scaled by the examples that a task is learned from: to mean 0 and standard deviation 1 over
    them. The scale is part of what was learned. So a spec without columns can stand for any table: with the first examples of a task it
    becomes the spec of their table, with `width` numbers, of which those that are left over are zeros.

    Args:
        columns: the columns in their order; none for any table.
        width: numbers per row of any table; None: as many as the columns need.
        scaling: `training`: numbers have mean 0 and standard deviation 1 in the training data; `task`: in the examples of each task.
        location: what is subtracted from a task's numbers; empty before the task is known.
        spread: by what they are divided then.
        padded: whether a network is given zeros for the numbers that are left over; else it is given as many as the columns need.

    >>> spec = TableSpec.of({"colour": ["red", "blue", "red"], "weight": ["1.5", "NA", "2.5"]})
    >>> spec.read({"colour": "blue", "weight": 3.0})["table"].tolist()
    [[1.0, 0.0, 0.0, 2.0, 0.0]]
    """

    nouns: ClassVar[str] = "table rows"
    usual_net: ClassVar[str] = "mlp"
    tabular: ClassVar[bool] = True
    words: ClassVar[Mapping[str, str]] = {
        "width": "numbers per row, for learners of any table; what is over is left out",
        "scaling": "how the columns of your own table are scaled: training (as in the training data) or task (as in each task's examples)",
    }
    resizing: ClassVar[frozenset[str]] = frozenset(["width"])

    kind: Literal["table"] = "table"
    columns: tuple[Column, ...] = ()
    width: Annotated[int, annotated_types.Interval(ge=1, le=2**20)] | None = None
    scaling: Scaling = "training"
    location: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    padded: bool = True

    def __init__(self, columns: Sequence[Column] = (), width: int | None = None, **fields: Any) -> None:
        super().__init__(columns=tuple(columns), width=width, **fields)
        if not self.columns and (self.width is None or self.scaling != "task"):
            raise DataError(
                "a spec of any table has no width, or its scaling is that of the training; give a width, and scaling='task'."
            )
        if self.location and not len(self.location) == len(self.spread) == self.features:
            raise DataError(
                f"location and spread have {len(self.location)} and {len(self.spread)} numbers; expected {self.features}."
            )

    def __str__(self) -> str:
        by_task = ", scaled by each task's examples" if self.scaling == "task" else ""
        if not self.columns:
            return f"rows of any table, of up to {self.width} numbers{by_task}"
        return f"rows of the columns {shown([column.name for column in self.columns])}{by_task}"

    @property
    def features(self) -> int:
        """Return how many numbers a row becomes."""
        return sum(column.width for column in self.columns) if self.width is None else self.width

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns in their order."""
        return tuple(column.name for column in self.columns)

    @property
    def scaled_by_task(self) -> bool:
        """Return whether each task's examples decide the scale of its rows."""
        return self.scaling == "task"

    @property
    def by_group(self) -> bool:
        """Return whether rows are of any table, so that only those of one can be compared."""
        return not self.columns

    @classmethod
    def takes(cls, array: np.ndarray) -> bool:
        """Return whether an array is a table with named columns: a structured array, `[row]`."""
        return array.ndim == 1 and array.dtype.names is not None

    @classmethod
    def own(  # pyright: ignore[reportIncompatibleMethodOverride]  # the wishes of this kind, by name
        cls, array: np.ndarray | None = None, *, scaling: str | None = None, width: int | None = None
    ) -> Self:
        """Return the spec of a user's own table.

        Args:
            array: the table, as a structured array.
            scaling: `training` or `task`; None: `task` if there is a width, else `training`.
            width: numbers per row of any table; None: a spec of this table alone.

        Raises:
            DataError: there is no table, or a column cannot be understood.
        """
        if width is not None:
            return cls(width=width, scaling=scaling or "task")
        if array is None or not cls.takes(array):
            raise DataError("rows of a table come with the names of their columns; give a csv file or a table of pandas.")
        return cls.of(array, scaling=scaling or "training")

    @classmethod
    def of(cls, table: Any, **fields: Any) -> Self:
        """Return the spec of a table: columns of the types that its cells have, and the scale of its numbers.

        Columns that are empty, the same in all rows, or full of different texts say nothing of a row, and are left out.

        Args:
            table: what `read_all` takes.
            fields: other fields of the spec.

        Raises:
            DataError: there is no column that says something, dates are written in two forms, or numbers are infinite.

        Warns:
            InputWarning: columns were left out; says which, and why.
        """
        return cls(_telling(columns_of(table)), **fields)

    def how(self, *, scaling: str | None = None, width: int | None = None) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return no options of `read`, as rows of a table have none.

        Raises:
            DataError: another scaling or width than this spec's.
        """
        for name, value in {"scaling": scaling, "width": width}.items():
            if value not in (None, getattr(self, name)):
                raise DataError(f"{name} {value} was given, but this learner takes {self}; leave it out.")
        return {}

    def resized(self, other: InputSpec) -> Self:
        """Return this spec with the width of `other`, if it is one of any table."""
        return self.changed(width=other.width) if isinstance(other, TableSpec) and not self.columns else self

    def layout(self) -> dict[str, TensorLayout]:
        """Return the layout of the one part, `table`: one row of numbers, which is no table of its own."""
        return {"table": TensorLayout(axes=(1, self.features), order=(0, 1), dtype="float32", open=not self.padded)}

    def with_padding(self, padded: bool) -> Self:
        """Return the spec of any table for a network that takes rows of one length (padded) or of any; other specs have no padding."""
        return self if self.width is None or self.padded == padded else self.changed(padded=padded)

    def to_network(self, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the inputs of a network, float32 `[row, 1, number]`, with the numbers of the columns alone if it needs no padding."""
        inputs = super().to_network(stored)
        if self.padded or not self.columns:
            return inputs
        used = sum(column.width for column in self.columns)
        return {name: rows[..., :used] for name, rows in inputs.items()}

    def read(self, thing: Any, **how: Any) -> dict[str, np.ndarray]:
        """Return one stored row, float32 `[1, features]`, from values by the names of columns, or in their order."""
        things = {name: [value] for name, value in thing.items()} if isinstance(thing, Mapping) else np.asarray(thing)[None]
        return {name: rows[0] for name, rows in self.read_all(things, **how).items()}

    def read_all(self, things: Any, **how: Any) -> dict[str, np.ndarray]:
        """Return stored rows, float32 `[row, 1, features]`.

        Args:
            things: a table of pandas, a structured array, columns by name, or a list of rows by name; or an array or lists
                `[row, column]`, whose columns are in the spec's order; or rows as they are stored.
            how: nothing; rows have no options.

        Raises:
            DataError: a column is missing, or a cell is not what training's were.

        Warns:
            InputWarning: there are categories or missing values that training had none of, or columns that it did not know; says how many.
        """
        if how:
            raise DataError(f"{', '.join(how)} was given, but rows of a table have no such option; leave it out.")
        check_several(things)
        stored = _stored(things)
        if stored is not None:
            if stored.shape[1:] != (1, self.features):
                raise DataError(f"stored rows have {stored.shape[-1]} numbers; expected {self.features}.")
            return {"table": stored}
        if not self.columns:
            fitted, cells = self.fitted_to(things, scale=False), columns_of(things)
            return fitted.read_all({name: cells[name] for name in fitted.names})
        cells = columns_of(things, self.names)
        rows, said = self._encoded(self._known(cells))
        unknown = [name for name in cells if name not in self.names]
        if unknown:
            number = f"{len(unknown)} columns" if len(unknown) > 1 else "a column"
            said.append(
                f"{number} that the learner does not know {'are' if len(unknown) > 1 else 'is'} left out: {shown(unknown)}"
            )
        if said:
            warnings.warn(f"{'; '.join(said)}.", InputWarning, stacklevel=2)
        if self.location:
            rows = (rows - np.array(self.location)) / np.array(self.spread)
        if self.location or not self.scaled_by_task:  # before the task is known, its rows may lie anywhere
            rows = np.clip(rows, -BOUND["spreads"], BOUND["spreads"])
        return {"table": rows.astype(np.float32)[:, None]}

    def fitted_to(self, things: Any, scale: bool = True) -> Self:
        """Return the spec of a task's own examples: the columns of their table, and their scale; itself if the training decides both.

        Args:
            things: examples as `read_all` takes them, or the spec with which a task's examples were read.
            scale: whether to scale by these examples.
        """
        if isinstance(things, TableSpec):
            if things == self:
                return self
            if not (self.scaled_by_task and things.scaled_by_task and things.features == self.features):
                raise DataError(
                    f"the task's examples were read as {things}, but the learner takes {self}; adapt it to the examples again."
                )
            return things  # pyright: ignore[reportReturnType]
        if things is None or not self.scaled_by_task or self.location or _stored(things) is not None:
            return self
        check_several(things)
        own = self
        if not self.columns:
            own = self.changed(columns=self._within(_telling(columns_of(things))))
        if not scale:
            return own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # reading the examples says it
            rows = own.read_all(things)["table"][:, 0].astype(np.float64)
        mean, spread = rows.mean(0), rows.std(0)
        differ = spread > BOUND["same"] * np.maximum(np.abs(mean), 1.0)
        return own.changed(location=mean.tolist(), spread=np.where(differ, spread, 1.0).tolist())

    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the mean size of the numbers, and how many of a row are not 0: more than in 99 of 100 rows are rare."""
        rows = stored["table"].astype(np.float64)
        return {"size": float(np.abs(rows).mean()), "numbers": float(np.quantile((rows != 0).sum(-1), 0.99))}

    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        """Return a warning if rows are far wider than those of training, or their numbers far from these, so that units may be others."""
        found = self.statistics(stored)
        here, usual = found["size"], statistics.get("numbers", math.inf)
        if self.width is not None and found["numbers"] > BOUND["wider"] * usual:
            return (
                f"the rows have {found['numbers']:.0f} numbers each, where those of training had {usual:.0f} at most, as a rule. So wide, "
                "they may be answered badly: give fewer columns, or compare with a model of scikit-learn."
            )
        if self.scaled_by_task or here <= BOUND["unlike"] * statistics["size"]:
            return None
        return (
            f"the rows lie {here:.3g} standard deviations from the mean of the training data, where its own lay {statistics['size']:.3g}; "
            "give columns in the same units, or train with scaling='task'."
        )

    def _within(self, columns: Sequence[Column]) -> list[Column]:
        """Return the columns that fit into the width one after the other, without those that do not, and warn of these."""
        assert self.width is not None  # a spec without columns has one
        kept, used = [], 0
        for column in columns:
            if used + column.width <= self.width:
                kept.append(column)
                used += column.width
        if not kept:
            raise DataError(
                f"{columns[0].name!r} needs {columns[0].width} numbers, but the learner takes {self.width} per row."
            )
        if len(kept) < len(columns):
            warnings.warn(
                f"{len(columns) - len(kept)} of {len(columns)} columns are left out, as the learner takes {self.width} numbers per row; "
                "give the most telling columns first.",
                InputWarning,
                stacklevel=4,
            )
        return kept

    def _known(self, cells: Mapping[str, Cells]) -> dict[str, Cells]:
        """Return the cells of the spec's columns in the spec's order.

        Raises:
            DataError: a column is missing.
        """
        lacking = [name for name in self.names if name not in cells]
        if lacking:
            raise DataError(
                f"the table has no column {shown(lacking)}; it has {shown(list(cells), 8)}. Expected the columns {shown(self.names, 8)}.",
                subject=lacking[0],
                expected=", ".join(self.names),
            )
        return {name: cells[name] for name in self.names}

    def _encoded(self, cells: Mapping[str, Cells]) -> tuple[np.ndarray, list[str]]:
        """Return the numbers of rows, float64 `[row, features]`, and what has to be said of them."""
        parts, said = [], []
        for column in self.columns:
            numbers, words = column.encoded(cells[column.name])
            parts.append(numbers)
            said += words
        rows = np.concatenate(parts, axis=1)
        return np.pad(rows, ((0, 0), (0, self.features - rows.shape[1]))), said


def columns_of(things: Any, names: Sequence[str] = ()) -> dict[str, Cells]:
    """Return the cells of each column of a table by name.

    Args:
        things: what `TableSpec.read_all` takes.
        names: names of the columns of an array without names.

    Raises:
        DataError: it is no table, two columns have one name, or there are more or fewer columns than names.
    """
    if isinstance(things, np.ndarray) and things.dtype.names is not None:
        return {name: _quick(things[name]) for name in things.dtype.names}
    if not isinstance(things, np.ndarray) and hasattr(things, "columns"):  # a table of pandas or polars
        found = [str(name) for name in things.columns]
        twins = [name for name, count in collections.Counter(found).items() if count > 1]
        if twins:
            raise DataError(f"the table has several columns {twins[0]!r}; give each a name of its own.", subject=twins[0])
        return {str(name): _quick(things[name]) for name in things.columns}
    if isinstance(things, Mapping):
        return {str(name): _quick(column) for name, column in things.items()}
    if isinstance(things, Sequence) and all(isinstance(row, Mapping) for row in things):
        found = dict.fromkeys(name for row in things for name in row)
        return {str(name): [row.get(name) for row in things] for name in found}
    return _unnamed(things, names)


def _telling(cells: Mapping[str, Cells]) -> list[Column]:
    """Return the columns of a table that tell its rows apart, and warn of the others, which say why they do not.

    Raises:
        DataError: there is none, or no row.
    """
    if cells and not len(next(iter(cells.values()))):
        raise DataError("the table has no rows; expected at least one.")
    found, left_out = [], []
    for name, column in cells.items():
        known = inferred(name, column)
        ready = plain(column) if known.type == "category" else known.numbers(column)  # once, as this takes the time
        why = _useless(known, ready)
        if why is None:
            found.append(known.measured(ready))
        else:
            left_out.append(f"{name!r} ({why})")
    if not found:
        raise DataError(f"no column of the table tells its rows apart: {', '.join(left_out) or 'it has none'}.")
    if left_out:
        said = f"{len(left_out)} of {len(cells)} columns say nothing of a row, and are left out: {', '.join(left_out[:8])}"
        warnings.warn(f"{said}{', ...' * (len(left_out) > 8)}.", InputWarning, stacklevel=3)
    return found


def _unnamed(things: Any, names: Sequence[str]) -> dict[str, Cells]:
    """Return the columns of an array or of lists `[row, column]`, called `names`, or `x0` and so on if there are none.

    If the names are some of `x0` and so on, because the other columns said nothing, an array with all columns will do too.
    """
    try:
        rows = np.asarray(things) if hasattr(things, "dtype") else np.array([list(row) for row in things], dtype=object)
    except (TypeError, ValueError) as error:
        raise DataError(f"the rows are no table ({error}); expected columns by name, or rows of equal length.") from error
    usual = [f"x{place}" for place in range(rows.shape[1] if rows.ndim == 2 else 0)]
    if len(names) < len(usual) and set(names) <= set(usual):
        return {name: _quick(rows[:, place]) for place, name in enumerate(usual) if not names or name in names}
    if rows.ndim != 2 or not rows.shape[1] or (names and rows.shape[1] != len(names)):
        wanted = f"[row, {len(names)}], with the columns {shown(names, 8)}" if names else "[row, column]"
        raise DataError(f"the rows have shape {list(rows.shape)}; expected {wanted}.")
    return {name: _quick(rows[:, place]) for place, name in enumerate(names)}


def _quick(column: Any) -> Cells:
    """Return a column of numbers in double precision, other columns as lists of cells."""
    dtype = getattr(column, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        return np.asarray(column, dtype=np.float64)
    return list(column)


def _stored(things: Any) -> np.ndarray | None:
    """Return rows that are stored already, float32 `[row, 1, features]`; None if they are something else."""
    return things if isinstance(things, np.ndarray) and things.ndim == 3 and things.dtype == np.float32 else None


def _useless(column: Column, cells: Cells) -> str | None:
    """Return why a column tells no rows apart; None if it does.

    Args:
        column: the column.
        cells: its cells: numbers, of which NaN is missing, or categories, of which None is.
    """
    numbers = isinstance(cells, np.ndarray)
    there = cells[~np.isnan(cells)].tolist() if numbers else [as_text(cell) for cell in cells if cell is not None]
    if not there:
        return "empty"
    different = len(set(there))
    if different == 1 and len(there) == len(cells) > 1:
        return f"always {there[0]!r}"
    names = different > LIMITS["categories"] or different == len(there) > LIMITS["once"]
    if column.type == "category" and names:
        return f"{different} different texts; a column of texts is read with text={column.name!r}"
    return None
