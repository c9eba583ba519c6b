"""Name images by what a skill knows, or predict their values: quickstudy predict mine.qs photo1.png photo2.jpg"""

from __future__ import annotations

import io
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from quickstudy.cli import _data, _output, _parser
from quickstudy.cli.adapt import open_skill
from quickstudy.data.readers._cells import located, separated, table_of
from quickstudy.data.readers.table import existing
from quickstudy.errors import ConfigError, DataError
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.table import TableSpec
from quickstudy.runtime.skill import Skill

Rows = list[dict[str, Any]]


def run(arguments: Sequence[str]) -> None:
    """Print the most likely class of each file, its probability, and the runner-up; or its labels, its values or its transcript."""
    parser = _parser.make_parser("predict", __doc__)
    parser.add_argument("skill", type=str, help="file that quickstudy adapt, or `save` in Python, wrote")
    words = "files of one example each, such as photos of any size; or texts; or tables; - or nothing for the standard input"
    parser.add_argument("files", type=str, nargs="*", help=words)
    _data.add_readings(parser)
    parser.add_argument("--unknown", type=bool, default=False, help="say so if an example belongs to no class (null in JSON)")
    parser.add_argument(
        "--beam", type=int, default=0, help="sequences: width of a search for the likeliest one; 0 reads the likeliest path"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    skill = open_skill(options.skill, **_data.readings(options))
    things, names = _things(skill, options.files)
    strange = _unknown_columns(skill, things)
    target = skill.engine.facts.target
    if options.beam and target != "sequences":
        raise ConfigError(f"{options.skill} predicts {target}, which are not searched for; leave out --beam.")
    if target == "classes":
        rows, table = _classes(skill, things, names, options.unknown)
    elif options.unknown:
        raise ConfigError(f"{options.skill} predicts {target}, of which none is unknown; leave out --unknown.")
    elif target == "sequences":
        found = skill.predict(things, beam=options.beam)
        rows = [{"example": name, "text": text} for name, text in zip(names, found, strict=True)]
        table = [("example", "text"), *zip(names, found, strict=True)]
    elif target == "labels":
        rows, table = _labels(skill, things, names)
    else:
        rows, table = _values(skill, things, names)
    if options.json:
        _output.as_json({"skill": options.skill, "predictions": rows, **({"left_out": strange} if strange else {})})
        return
    _output.table(table[0], table[1:])
    if strange:
        _output.text(f"note: columns that the skill does not know are left out: {', '.join(strange)}")


def _lines(whole: bool = False) -> list[str]:
    """Return the lines of the standard input that are not blank.

    Args:
        whole: keep blank lines, and blanks at the ends of others, which may lie within a quoted cell.

    Raises:
        ConfigError: there are none, or somebody sits at a terminal.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")
    found = [] if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read().splitlines()
    if not whole:
        found = [line.strip() for line in found if line.strip()]
    if not any(found):
        raise ConfigError(
            "there is nothing to predict; name files or texts behind the skill, or give lines on the standard input."
        )
    return found


def _things(skill: Skill, words: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the examples that these words name, or the standard input holds, as the skill's kind of input takes them, and their names."""
    spec, from_input = skill.engine.reader_for(None), list(words) in ([], ["-"])
    if spec.tabular:
        paths = spec.paths if isinstance(spec, SeveralSpec) else ()
        return _rows("\n".join(_lines(whole=True)) if from_input else "", [] if from_input else words, paths)
    named = _lines() if from_input else list(words)
    return spec.named(named), named


def _unknown_columns(skill: Skill, things: Any) -> list[str]:
    """Return the columns of rows of a table that the skill does not know, and take them out of the rows."""
    spec = None if skill.known is None else skill.known.spec
    if not isinstance(spec, TableSpec | SeveralSpec):
        return []
    found = [name for name in things[0] if name not in spec.names]
    for row in things:
        for name in found:
            row.pop(name, None)
    return found


def _rows(content: str, files: Sequence[str], paths: Sequence[str]) -> tuple[Rows, list[str]]:
    """Return the rows of a csv file's content, which begins with the names of columns, or of tables, each with its number as its name.

    Args:
        content: of a csv file; empty if there are tables.
        files: tables.
        paths: names of the columns that hold paths, which are relative to the table's folder.

    Raises:
        DataError: there are no rows, or a table lacks a column that another has.
    """
    tables = {file: table_of(existing(file)) for file in files}
    if content:
        tables[""] = separated(io.StringIO(content), ",", pathlib.Path("standard input"))
    rows, names, known = [], [], dict.fromkeys(name for columns in tables.values() for name in columns)
    for file, columns in tables.items():
        lacking = [name for name in known if name not in columns]
        if lacking:
            raise DataError(
                f"{file!r} has no column {lacking[0]!r}, which another table has; predict tables of unlike columns one by one."
            )
        columns = located(columns, paths, pathlib.Path(file).parent)
        found = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        names += [f"{file}:{number}" if len(files) > 1 else str(number) for number in range(1, len(found) + 1)]
        rows += found
    if not rows:
        raise DataError("the table has no rows to predict; expected a line of column names, and a line for each row.")
    return rows, names


def _classes(skill: Skill, things: Any, names: Sequence[str], unknown: bool) -> tuple[Rows, list[tuple[str, ...]]]:
    """Return the classes of examples as plain rows, and as a table that begins with its head."""
    probabilities = skill.predict_proba(things)
    strange = skill.unknown(things) if unknown else np.zeros(len(names), bool)
    classes = [str(label) for label in skill.labels]
    rows, table = [], [("example", "class", "probability", "runner-up")]
    for file, row, none in zip(names, probabilities, strange, strict=True):
        order = row.argsort()[::-1]
        best = None if none else classes[order[0]]
        rows.append({"example": file, "class": best, "probabilities": dict(zip(classes, row.tolist(), strict=True))})
        second = f"{classes[order[1]]} ({100 * row[order[1]]:.1f} %)" if len(order) > 1 else "-"
        table.append((file, best or "unknown", f"{100 * row[order[0]]:.1f} %", second))
    return rows, table


def _labels(skill: Skill, things: Any, names: Sequence[str]) -> tuple[Rows, list[tuple[str, ...]]]:
    """Return the labels of examples with the probability of each, as plain rows and as a table with its head."""
    known, rows, table = [str(label) for label in skill.labels], [], [("example", "labels", "probabilities")]
    for file, row in zip(names, skill.predict_proba(things), strict=True):
        found = [label for label, probability in zip(known, row, strict=True) if probability > 0.5]
        rows.append({"example": file, "labels": found, "probabilities": dict(zip(known, row.tolist(), strict=True))})
        likely = ", ".join(f"{known[place]} {100 * row[place]:.1f} %" for place in row.argsort()[::-1])
        table.append((file, ", ".join(found) or "-", likely))
    return rows, table


def _values(skill: Skill, things: Any, labels: Sequence[str]) -> tuple[Rows, list[tuple[str, ...]]]:
    """Return the values of examples, and their spread if the learner predicts one, as plain rows and as a table with its head."""
    found = skill.outputs(things)
    names = {"values": found["prediction"], **({"spread": found["spread"]} if "spread" in found else {})}
    rows = [
        {"example": file, **{name: value[place].tolist() for name, value in names.items()}} for place, file in enumerate(labels)
    ]
    scale = skill.engine.facts.scale
    head = "values" if scale is None else ", ".join(scale.names)
    table = [("example", head, "spread (standard deviation)")[: 1 + len(names)]]
    for row in rows:
        table.append((row["example"], *(", ".join(f"{number:.4g}" for number in row[name]) for name in names)))
    return rows, table
