"""Rows of tables, what Python stores of them, and what the learner of any table that ships answers; `fixtures.py` calls it."""

import json
import pathlib
import shutil
import warnings
from typing import Any

import numpy as np

from quickstudy.errors import DataError, InputWarning
from quickstudy.inputs.table import TableSpec
from quickstudy.runtime import Learner, pretrained

Row = dict[str, Any] | list[Any]

MIXED: list[Row] = [
    {"colour": " red ", "weight": "1.5", "ripe": "yes", "picked": "2024-03-01", "tree": 3, "note": "NA"},
    {"colour": "blue", "weight": 2, "ripe": "No", "picked": "2024-03-09T12:00:00+02:00", "tree": 4.0, "note": None},
    {"colour": "Grün", "weight": None, "ripe": "TRUE", "picked": "", "tree": "3", "note": ""},
    {"colour": "red", "weight": "-3e-1", "ripe": None, "picked": "2023-12-31 06:30", "tree": "x", "note": "nan"},
    {"colour": "😀", "weight": ".5", "ripe": False, "picked": "2024-02-29", "tree": "ｘ", "note": "NULL"},
]
OTHERS: list[Row] = [
    {"colour": "violet", "weight": 400, "ripe": True, "picked": "2024-03-01", "tree": "3", "owner": "it's mine"},
    {"colour": "red", "weight": None, "ripe": False, "picked": None, "tree": "y", "owner": 2},
    {"colour": None, "weight": 7, "ripe": "no", "picked": "1969-07-20", "tree": "3", "place": 1},
]
DATES: list[list[Row]] = [
    [{"day": text, "n": n} for n, text in enumerate(texts)]
    for texts in (
        ["03/04/2024", "05/06/2024", "12/01/2023"],
        ["13/04/2024", "05/06/2024", "1/1/2023"],
        ["31.12.1999", "01.01.2000", "NA"],
        ["2024/2/29", "2023/12/1", "2000/01/01"],
        ["2024-01-01T00:00:00.123456789Z", "2024-01-01 23:59:59,5", "2024-01-02T10"],
        ["2023-02-29", "2024-02-29", "2024-02-30"],
        ["03/ 4/2024", "12/31/2023", "1/30/1999"],
        ["2024-01-01T12:3045", "2024-01-01", "x"],
        ["2024-01-01T1230+0215", "2024-01-01T12:30:45+02:00:30", "2024-01-01T12:30-02:75"],
    )
]
NUMBERS: list[Row] = [[0.1 * n, 7.0, float(n % 3), 1e-9 * n] for n in range(6)]
STRANGE: list[Row] = [
    {"a": text, "b": number, "same": 1e-7}
    for text, number in [("constructor", 1e-5), ("yes", 1e-7), ("\u0663", 1e21), ("toString", 1.5e16), ("a\tb", "low")]
]
TABLES: list[tuple[list[Row], list[Row]]] = [
    (STRANGE, [{"a": "yes", "b": 1e-5, "same": 1}]),
    (MIXED, OTHERS),
    (NUMBERS, [[0.5, 1.0, 2.0, 3.0]]),
    *((rows, rows[:1]) for rows in DATES),
    ([{"text": f"word {n}", "n": n} for n in range(20)], [{"n": 3, "text": "any"}]),
    ([{"n": n, "wide": f"{n % 9}k"} for n in range(12)], [{"n": 99, "wide": "8k"}]),
]
REFUSED: list[tuple[list[Row], list[Row]]] = [
    ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [{"a": 1}]),
    ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [{"a": "one", "b": "x"}]),
    ([{"day": "2024-01-02"}, {"day": "2024-01-03"}], [{"day": "3.4.2024"}]),
    ([{"ripe": "yes"}, {"ripe": "no"}], [{"ripe": "perhaps"}]),
    ([{"day": "2024-01-02"}, {"day": "03.04.2024"}], []),
    ([{"a": 1}, {"a": 1}], []),
    ([{"a": None}, {"a": float("inf")}, {"a": 2}, {"a": "-inf"}], []),
    ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": float("inf")}]),
]


def tables(folder: pathlib.Path) -> None:
    """Write how rows are stored, which are refused, what is said of them, and what `tables` answers."""
    found = [stored(rows, others, wishes) for rows, others in TABLES for wishes in ({}, {"scaling": "task"}, {"width": 6})]
    written = json.dumps({"stored": found, "refused": refused()}).replace(
        "Infinity", "1e999"
    )  # which JSON has, and JavaScript reads so
    (folder / "rows_of_tables.json").write_text(written)
    shutil.copy(pretrained.find("tables"), folder / "tables.qs")
    rng = np.random.default_rng(5)
    size, colour = rng.normal(size=40), rng.integers(0, 3, size=40)
    labels = np.where(size + (colour == 1) > 0.5, "large", "small")
    rows = [
        {"size": None if place % 11 == 5 else float(s), "colour": ["red", "blue", "green"][c], "same": 1}
        for place, (s, c) in enumerate(zip(size, colour, strict=True))
    ]
    support, more, query = rows[:20], rows[20:24], rows[24:]
    more_labels = ["huge", *labels[21:24].tolist()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        skill = Learner.load("tables").adapt(support, labels[:20].tolist())
        expected = {"support": support, "labels": labels[:20].tolist(), "more": more, "moreLabels": more_labels, "query": query}
        expected |= {"logits": skill.logits(query).tolist(), "probabilities": skill.predict_proba(query).tolist()}
        expected |= {"predicted": [str(label) for label in skill.predict(query)]}
        skill.add(more, more_labels)
        expected |= {"logitsAfterMore": skill.logits(query).tolist(), "classes": skill.labels}
    (folder / "tables.json").write_text(json.dumps(expected))


def stored(rows: list[Row], others: list[Row], wishes: dict[str, Any]) -> dict[str, Any]:
    """Return a spec, the rows that it is fitted to and others as they are stored, and what was said of both; or why it is refused."""
    spec = TableSpec.own(**wishes) if "width" in wishes else None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            begun = spec or TableSpec.of(rows, **wishes)
            said.clear()
            fitted = begun.fitted_to(rows)
            about = [str(warning.message) for warning in said]
            said.clear()
            first, second = fitted.read_all(rows)["table"], fitted.read_all(others)["table"]
        except DataError as error:
            return {"spec": None, "rows": rows, "others": others, "refused": str(error)}
    statistics = fitted.statistics({"table": first})
    return {
        "spec": begun.model_dump(mode="json"),
        "layout": {name: part.model_dump(mode="json") for name, part in begun.layout().items()},
        "rows": rows,
        "others": others,
        "fitted": fitted.model_dump(mode="json"),
        "about": about,
        "said": [str(warning.message) for warning in said],
        "stored": first.tolist(),
        "storedOthers": second.tolist(),
        "statistics": statistics,
        "unlike": fitted.unlike({name: value / 9 for name, value in statistics.items()}, {"table": first}),
    }


def refused() -> list[dict[str, Any]]:
    """Return tables whose rows, or other rows, are refused, with the words."""
    found = []
    for rows, others in REFUSED:
        spec = TableSpec.own(width=9)
        try:
            spec.fitted_to(rows).read_all(others)
        except DataError as error:
            found.append({"spec": spec.model_dump(mode="json"), "rows": rows, "others": others, "said": str(error)})
    assert len(found) == len(REFUSED), "every table is refused"
    return found
