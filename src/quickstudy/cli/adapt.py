"""Learn a task from a folder of examples, or a table: quickstudy adapt omniglot my-classes/ -o mine.qs"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import jsonargparse
import numpy as np

from quickstudy.cli import _data, _output, _parser
from quickstudy.data.readers import _several, table
from quickstudy.data.readers._label_sets import label_sets_of
from quickstudy.data.readers.folder import examples_in
from quickstudy.errors import ConfigError
from quickstudy.estimators import ESTIMATORS
from quickstudy.inputs import InputSpec
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.table import TableSpec
from quickstudy.runtime import skill_file
from quickstudy.runtime.engines import Engine
from quickstudy.runtime.learner import begun
from quickstudy.runtime.skill import Skill
from quickstudy.targets import ValueScale


def run(arguments: Sequence[str]) -> None:
    """Adapt a learner, or go on from a skill, to a folder with one sub-folder of examples per class."""
    parser = _parser.make_parser("adapt", __doc__)
    parser.add_argument(
        "learner", type=str, help="a learner's file, a run's folder, a shipped learner, or a skill to go on from"
    )
    parser.add_argument(
        "support",
        type=str,
        help="folder with one sub-folder of files per class, or a table with a column of classes, of values, or of transcripts (--label)",
    )
    _data.add_columns(parser, leave_out=["group"])
    parser.add_argument("-o", "--out", type=str, required=True, help="file to write the skill to, such as mine.qs")
    _data.add_readings(parser)
    parser.add_argument(
        "--keep", type=bool, default=False, help="keep the examples in the file, so that another learner can learn them later"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    skill = begin(options.learner, options.keep, **_data.readings(options))
    spec = skill.engine.reader_for(None)
    kind = type(spec)
    if skill.engine.facts.target == "values":
        _learn_values(skill, options)
        return
    if skill.engine.facts.target == "labels":
        _learn_labels(skill, kind, options)
        return
    things, labels = _examples(pathlib.Path(options.support), spec, options)
    skill = skill.add(things, labels)
    skill.save(options.out)
    counts = [(label, labels.count(label)) for label in dict.fromkeys(labels)]
    of_classes = skill.engine.facts.target == "classes"
    if options.json:
        known = [str(label) for label in skill.labels]
        found = {"skill": options.out, "examples": dict(counts), "classes" if of_classes else "symbols": known}
        _output.as_json({**found, "kept": skill.examples is not None})
        return
    _output.table(("class" if of_classes else "transcript", "examples"), counts, title=f"learned: {options.out}")
    _output.following("predict", options.out, options.support if kind.tabular else things[0])


def _learn_values(skill: Skill, options: jsonargparse.Namespace) -> None:
    """Learn the values in a table, save the skill, and print what was learned."""
    rows, values, names = _rows_with_values(pathlib.Path(options.support), skill.engine.facts.scale, _data.columns(options))
    skill.add(rows, values)
    skill.save(options.out)
    kept = skill.examples is not None
    if options.json:
        _output.as_json({"skill": options.out, "examples": len(values), "values": names, "kept": kept})
        return
    facts = [
        (name, len(values), *(f"{number:.4g}" for number in (column.mean(), column.min(), column.max())))
        for name, column in zip(names, values.T, strict=True)
    ]
    _output.table(("value", "examples", "mean", "least", "greatest"), facts, title=f"learned: {options.out}")
    _output.following("predict", options.out, options.support)


def _learn_labels(skill: Skill, kind: type[InputSpec], options: jsonargparse.Namespace) -> None:
    """Learn the label sets in a table, save the skill, and print how many examples have each label.

    Raises:
        ConfigError: it is no table, nobody says which column holds the labels, or another kind of answer or input is named.
    """
    support, said = pathlib.Path(options.support), _data.columns(options)
    if not table.recognises(support) or not said.get("labels"):
        raise ConfigError(
            "this learner predicts sets of labels; give a table (csv, tsv or jsonl), and name its column of label sets with --labels."
        )
    strange = [name for name in table.COLUMNS if said.get(name) and name != kind.column]
    if strange:
        raise ConfigError(f"--{strange[0]} is given, but this learner takes {kind.nouns}; leave it out.")
    examples, sets = label_sets_of(support, said, TableSpec if kind.tabular else kind)
    skill.add(examples, sets)
    skill.save(options.out)
    counts = [(str(label), sum(label in one for one in sets)) for label in skill.labels]
    if options.json:
        kept = skill.examples is not None
        _output.as_json({"skill": options.out, "examples": len(sets), "labels": dict(counts), "kept": kept})
        return
    _output.table(("label", f"of {len(sets)} examples"), counts, title=f"learned: {options.out}")
    _output.following("predict", options.out, options.support if kind.tabular else examples[0])


def _rows_with_values(
    support: pathlib.Path, scale: ValueScale | None, said: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the rows of a table, the values of each `[row, value]`, and the names of the values.

    Args:
        support: path of the table.
        scale: scale of the learner's values, which names them.
        said: names of columns that the command line gives.

    Raises:
        ConfigError: it is no table, or nobody says which column holds the values.
    """
    if not table.recognises(support):
        raise ConfigError(
            f"{str(support)!r} is no table, but this learner predicts values; give a csv file with a column of them."
        )
    if said.get("label"):
        raise ConfigError("--label is given, but this learner predicts values, not classes; name their column with --value.")
    names = said.get("value") or (None if scale is None else scale.names)
    if not names:
        raise ConfigError("this learner does not say what its values are called; name their column with --value.")
    found = table.values_of(support, {**said, "value": names})
    return table.structured(found.columns, found.kept), found.values, list(names)


def _examples(support: pathlib.Path, spec: InputSpec, options: jsonargparse.Namespace) -> tuple[Any, list[str]]:
    """Return the examples of a learner's kind in a folder, or those of a table, and the class of each.

    Raises:
        ConfigError: columns are named for a folder, or the table holds another kind.
    """
    said, kind = _data.columns(options), type(spec)
    if said.get("labels"):
        raise ConfigError(
            "--labels is given, but this learner predicts no label sets; name the column of its answers with --label."
        )
    if said.get("value"):
        raise ConfigError("--value is given, but this learner predicts no values; name the column of its answers with --label.")
    if table.recognises(support) and isinstance(spec, SeveralSpec):
        return _several.examples_of(support, said, spec, table.COLUMNS)
    if table.recognises(support) and kind.tabular:
        if any(said.get(name) for name in table.COLUMNS):
            found = table.kind_said(support, said)
            raise ConfigError(f"a column of {found.nouns} is named, but this learner takes {kind.nouns}; leave it out.")
        return table.rows_of(support, said)
    if table.recognises(support):
        found = table.kind_said(support, said)
        if kind is not found:
            way = f"name their column with --{kind.column}" if kind.column else "give a folder of them"
            raise ConfigError(f"{str(support)!r} is a table of {found.nouns}, but this learner takes {kind.nouns}; {way}.")
        return table.examples_of(support, said.get(kind.column), options.label, kind)
    if kind.tabular or not kind.suffixes():
        raise ConfigError(
            f"{str(support)!r} is no table, but this learner takes {kind.nouns}; give a csv file with a column of classes."
        )
    if said:
        raise ConfigError(f"--{next(iter(said))} is given, but {str(support)!r} is no table with columns; leave it out.")
    return examples_in(support, kind)


def begin(path: str, keep: bool = False, **readings: Any) -> Skill:
    """Return a skill on a learner, or one that goes on from what a file has learned, for files of examples.

    Raises:
        ConfigError: the learner does not learn from files.
    """
    engine, learned = skill_file.opened(path)
    _check_reads_files(path, engine)
    if engine.facts.target == "values" and not engine.reader_for(None).tabular:
        raise ConfigError(f"{path} predicts {engine.facts.target}, not classes; use FewShotRegressor in Python for it.")
    earlier = None if learned is None else Skill(engine, learned.choices, learned.known)
    return begun(engine, earlier, keep, readings)


def open_skill(path: str, **readings: Any) -> Skill:
    """Return the skill in a file that `adapt` wrote, for examples that are read in another way if `readings` says so.

    Raises:
        FileFormatError: the file holds a learner that has learned nothing yet.
        ConfigError: the learner does not predict from files.
    """
    skill = Skill.load(path)
    _check_reads_files(path, skill.engine)
    return begun(skill.engine, skill, False, readings)


def _check_reads_files(path: str, engine: Engine) -> None:
    """Raise a ConfigError, which names what to use in Python, unless the learner's examples are files."""
    spec = engine.reader_for(None)
    if not spec.suffixes() and not spec.tabular and not spec.column:
        estimator = ESTIMATORS.get(engine.facts.target, "runtime.Learner.load(...).adapt(x, y)")
        raise ConfigError(f"{path} learns from {spec.nouns}, not from files; use {estimator} in Python for it.")
