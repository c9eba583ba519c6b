"""Column: what a table's column holds (numbers, truths, dates or categories), and how its cells become numbers."""

from __future__ import annotations

import datetime
import decimal
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pydantic

from quickstudy.errors import DataError, InputWarning

Type = Literal["number", "boolean", "date", "category"]
Cells = np.ndarray | Sequence[Any]
"""Type of a column's cells: an array of numbers in double precision, in which NaN is missing, or things, of which None is missing."""

MISSING = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "n/a"),
        *("NaN", "nan", "-NaN", "-nan", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"),
        *("NULL", "null", "None", "NaT"),
    ]
)
"""Texts that stand for a missing value: those of pandas, letter by letter, because `none` is a category in many tables."""
TRUTHS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
"""Texts that stand for true and false, in small letters."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?inf(inity)?", re.IGNORECASE | re.ASCII)
ISO = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?", re.ASCII)
FORMATS = {"YYYY/MM/DD": "%Y/%m/%d", "DD.MM.YYYY": "%d.%m.%Y", "MM/DD/YYYY": "%m/%d/%Y", "DD/MM/YYYY": "%d/%m/%Y"}
"""Forms of dates beside that of ISO 8601, as people write them and as Python does."""
START = datetime.datetime(1970, 1, 1)
LIMITS = {"categories": 64, "once": 16, "seconds": 86_400.0}
"""Number of categories beyond which a column is taken for names or texts; number of rows beyond which it is if no text comes twice;
seconds of a day."""


class Column(pydantic.BaseModel):
    """One column of a table: its name, its type, and how its cells become numbers.

    Numbers, truths (0 and 1) and dates (days since 1970-01-01) become `(value - mean) / scale`, and 0 if they are missing. A category
    becomes one 1 among zeros, of which the last stands for categories that training had none of. If training lacked values, one more number
    says whether the cell is missing.

    Args:
        name: name in the table's head.
        type: `number`, `boolean`, `date` or `category`.
        categories: texts of a column of categories, sorted.
        form: how dates are written, such as `ISO` or `DD.MM.YYYY`; empty for other types.
        mean: mean of the training's numbers.
        scale: their standard deviation; 1 if they are all the same.
        missing: whether cells were missing in training.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    type: Type
    categories: tuple[str, ...] = ()
    form: str = ""
    mean: float = 0.0
    scale: float = pydantic.Field(default=1.0, gt=0)
    missing: bool = False

    @pydantic.model_serializer(mode="wrap")
    def _without_defaults(self, described: Callable[[Column], dict[str, Any]]) -> dict[str, Any]:
        """Return the fields that say something, for files and for people."""
        fields = type(self).model_fields
        return {name: value for name, value in described(self).items() if value != fields[name].default}

    @property
    def width(self) -> int:
        """Return how many numbers a cell becomes."""
        return (len(self.categories) + 1 if self.type == "category" else 1) + self.missing

    def encoded(self, cells: Cells) -> tuple[np.ndarray, list[str]]:
        """Return the numbers of cells, float64 `[row, width]`, and what has to be said of them: counts of what training had none of.

        Raises:
            DataError: a cell is of another type than the column, or infinite.
        """
        found = np.zeros((len(cells), self.width))
        if self.type == "category":
            position = {text: place for place, text in enumerate(self.categories)}
            texts = [None if cell is None else as_text(cell) for cell in plain(cells)]
            absent = np.array([text is None for text in texts])
            places = np.array([position.get(text, len(position)) for text in texts if text is not None], dtype=np.int64)
            found[np.flatnonzero(~absent), places] = 1.0
            strange = sorted({text for text in texts if text is not None and text not in position})
            count = int((places == len(position)).sum())
            said = [f"{count} of {len(cells)} rows have a {self.name!r} that training had none of ({shown(strange)})"] * bool(
                strange
            )
        else:
            values, said = self._as_in_training(cells), []
            absent = np.isnan(values)
            found[:, 0] = np.where(absent, 0.0, (values - self.mean) / self.scale)
        if self.missing:
            found[:, -1] = absent
        elif absent.any():
            said.append(f"{int(absent.sum())} of {len(cells)} rows have no {self.name!r}, which no row of training lacked")
        return found, said

    def numbers(self, cells: Cells) -> np.ndarray:
        """Return the cells of a column of numbers, truths or dates as numbers, float64 `[row]`; NaN is missing.

        Raises:
            DataError: a cell is of another type, or infinite.
        """
        if isinstance(cells, np.ndarray) and cells.dtype.kind == "f":
            values = cells
        else:
            read = _READERS[self.type]
            values = np.full(len(cells), np.nan)
            for place, cell in enumerate(plain(cells)):
                found = None if cell is None else read(cell, self.form)
                if cell is not None and found is None:
                    form = f" written as {self.form}" if self.form else ""
                    raise DataError(
                        f"{self.name!r} is {str(cell)[:80]!r} in row {place + 1}; expected a {self.type}{form}, as in training. "
                        "Mend it, or leave the cell empty.",
                        subject=self.name,
                    )
                values[place] = np.nan if found is None else found
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            raise DataError(
                f"{self.name!r} is infinite in {len(infinite)} of {len(values)} rows (row {infinite[0] + 1} first); replace such values, "
                "or leave the cells empty.",
                subject=self.name,
            )
        return values

    def _as_in_training(self, cells: Cells) -> np.ndarray:
        """Return the cells as numbers; an array of numbers is no column of dates, and one of truths holds 0 and 1 alone.

        Raises:
            DataError: a cell is of another type, or infinite.
        """
        if isinstance(cells, np.ndarray) and cells.dtype.kind == "f" and self.type in ("date", "boolean"):
            strange = cells[~np.isnan(cells) & ((self.type == "date") | ~np.isin(cells, (0.0, 1.0)))]
            if len(strange):
                raise DataError(
                    f"{self.name!r} holds the number {strange[0]:g}; expected a {self.type}, as in training.", subject=self.name
                )
        return self.numbers(cells)

    def measured(self, cells: Cells) -> Column:
        """Return the column with mean, standard deviation and whether values are missing, of these cells."""
        if self.type == "category":
            return self.model_copy(update={"missing": any(cell is None for cell in plain(cells))})
        values = self.numbers(cells)
        there = values[~np.isnan(values)]
        mean, scale = (float(there.mean()), float(there.std())) if len(there) else (0.0, 1.0)
        usable = scale > 1e-12 * max(1.0, abs(mean)) and np.isfinite(scale)
        return self.model_copy(update={"mean": mean, "scale": scale if usable else 1.0, "missing": len(there) < len(values)})


def inferred(name: str, cells: Cells) -> Column:
    """Return the column whose type fits all of these cells; one without any value is a column of numbers.

    >>> [inferred("x", cells).type for cells in (["1", "2.5"], ["yes", "no"], ["2024-03-01", None], ["red", "7"])]
    ['number', 'boolean', 'date', 'category']

    Raises:
        DataError: dates are written in two forms.
    """
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "f":
        return Column(name=name, type="number")
    there = [cell for cell in plain(cells) if cell is not None]
    for kind in ("boolean", "number"):
        if all(_READERS[kind](cell, "") is not None for cell in there) and (there or kind == "number"):
            return Column(name=name, type=kind)
    form = _form_of(name, there)
    if form:
        return Column(name=name, type="date", form=form)
    return Column(name=name, type="category", categories=tuple(sorted({as_text(cell) for cell in there})))


def plain(cells: Cells) -> Sequence[Any]:
    """Return cells as plain values of Python, None for what is missing.

    >>> plain([" red ", "NA", float("nan"), np.int64(3)])
    ['red', None, None, 3]
    """
    return [_plain(cell) for cell in cells]


def _plain(cell: Any) -> Any:
    """Return a cell as a plain value, None if it is missing.

    Raises:
        DataError: it is nothing that a cell holds.
    """
    if isinstance(cell, str):
        text = cell.strip()
        return None if text in MISSING else text
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    elif isinstance(cell, np.generic):
        cell = cell.item()
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(cell, decimal.Decimal):
        cell = float(cell)
    if isinstance(cell, bytes):
        return _plain(cell.decode("utf-8", "replace"))
    if not isinstance(cell, bool | int | float | datetime.date):
        raise DataError(f"a cell holds {str(cell)[:80]!r}, a {type(cell).__name__}; expected a number, a text or a date.")
    return None if cell != cell else cell


def as_text(cell: Any) -> str:
    """Return a cell as the name of a category; whole numbers without a point, so that a missing value beside them changes none.

    >>> as_text(3.0), as_text("3"), as_text(True)
    ('3', '3', 'true')
    """
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def shown(names: Sequence[str], most: int = 3) -> str:
    """Return the first of some names, and how many more there are.

    >>> shown(["a", "b", "c", "d"])
    "'a', 'b', 'c' and 1 more"
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _number(cell: Any, form: str) -> float | None:
    del form
    if isinstance(cell, str):
        return float(cell) if NUMBER.fullmatch(cell) else None
    return float(cell) if isinstance(cell, int | float) else None


def _boolean(cell: Any, form: str) -> float | None:
    del form
    return float(cell) if isinstance(cell, bool) else TRUTHS.get(cell.lower()) if isinstance(cell, str) else None


def _date(cell: Any, form: str) -> float | None:
    """Return the days since 1970-01-01 of a date written in this form; None if it is none. Times of a zone are turned into UTC."""
    try:
        if isinstance(cell, str) and form == "ISO":
            cell = datetime.datetime.fromisoformat(cell) if ISO.fullmatch(cell) else None
        elif isinstance(cell, str):
            cell = datetime.datetime.strptime(cell, FORMATS[form])  # a date of no zone
    except ValueError:
        return None
    if isinstance(cell, datetime.datetime):
        moment = cell.astimezone(datetime.UTC).replace(tzinfo=None) if cell.tzinfo else cell
        return (moment - START).total_seconds() / LIMITS["seconds"]
    return float((cell - START.date()).days) if isinstance(cell, datetime.date) else None


_READERS: Mapping[str, Callable[[Any, str], float | None]] = {"number": _number, "boolean": _boolean, "date": _date}


def _form_of(name: str, cells: Sequence[Any]) -> str:
    """Return the form in which all of these cells are dates; empty if some are none. Month comes first if both orders fit, as in pandas.

    Raises:
        DataError: all are dates, but in two forms.
    """
    forms = ("ISO", *FORMATS)
    whole = [form for form in forms if all(_date(cell, form) is not None for cell in cells)]
    if not cells or all(_date(cells[0], form) is None for form in forms):
        return ""
    if len(whole) > 1 and any(isinstance(cell, str) for cell in cells):
        said = f"{name!r} is read as {whole[0]}, but {whole[1]} would fit too; write dates as 2024-03-31 to be sure."
        warnings.warn(said, InputWarning, stacklevel=4)
    if whole:
        return whole[0]
    fits = {form: [_date(cell, form) is not None for cell in cells] for form in forms}
    if not all(any(found) for found in zip(*fits.values(), strict=True)):
        return ""
    main = max(fits, key=lambda form: sum(fits[form]))
    other = fits[main].index(False)
    raise DataError(
        f"{name!r} holds dates in two forms: {sum(fits[main])} of {len(cells)} are {main}, but {str(cells[other])!r} is not; write all as "
        "2024-03-31.",
        subject=name,
    )
