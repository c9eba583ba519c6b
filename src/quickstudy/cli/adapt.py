"""Learn a task from a folder of examples: quickstudy adapt omniglot my-classes/ -o mine.qs"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from quickstudy.cli import _output, _parser
from quickstudy.data.readers.folder import examples_in
from quickstudy.errors import ConfigError
from quickstudy.runtime import skill_file
from quickstudy.runtime.learner import begun
from quickstudy.runtime.skill import Skill


def run(arguments: Sequence[str]) -> None:
    """Adapt a learner, or go on from a skill, to a folder with one sub-folder of examples per class."""
    parser = _parser.make_parser("adapt", __doc__)
    parser.add_argument(
        "learner", type=str, help="a learner's file, a run's folder, a shipped learner, or a skill to go on from"
    )
    parser.add_argument("support", type=str, help="folder with one sub-folder of images (PNG, JPEG, ...) per class")
    parser.add_argument("-o", "--out", type=str, required=True, help="file to write the skill to, such as mine.qs")
    add_ink(parser)
    parser.add_argument(
        "--keep", type=bool, default=False, help="keep the examples in the file, so that another learner can learn them later"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    skill = begin(options.learner, options.ink, options.keep)
    things, labels = examples_in(pathlib.Path(options.support))
    skill = skill.add(things, labels)
    skill.save(options.out)
    counts = [(label, labels.count(label)) for label in dict.fromkeys(labels)]
    if options.json:
        classes = [str(label) for label in skill.labels]
        _output.as_json(
            {"skill": options.out, "examples": dict(counts), "classes": classes, "kept": skill.examples is not None}
        )
        return
    _output.table(("class", "examples"), counts, title=f"learned: {options.out}")
    _output.following("predict", options.out, things[0])


def add_ink(parser: _parser.Parser) -> None:
    """Add the option that says how images are drawn."""
    parser.add_argument(
        "--ink", type=str | None, default=None, help="your images are drawn dark on light (dark) or light on dark (light)"
    )


def begin(path: str, ink: str | None, keep: bool = False) -> Skill:
    """Return a skill on a learner, or one that goes on from what a file has learned, for files of examples.

    Raises:
        ConfigError: the learner does not learn classes, or not from files.
    """
    engine, learned = skill_file.opened(path)
    if engine.target != "classes":
        raise ConfigError(f"{path} predicts {engine.target}, not classes; use FewShotRegressor in Python for it.")
    if not engine.reader_for(None).suffixes():
        raise ConfigError(f"{path} learns from rows of numbers, not from files; use FewShotClassifier in Python for it.")
    earlier = None if learned is None else Skill(engine, learned.choices, learned.known)
    said: dict[str, Any] = {} if ink is None else {"ink": checked_ink(ink)}
    return begun(engine, earlier, keep, said)


def open_skill(path: str, ink: str | None) -> Skill:
    """Return the skill in a file that `adapt` wrote.

    Raises:
        FileFormatError: the file holds a learner that has learned nothing yet.
    """
    skill = Skill.load(path)
    said: dict[str, Any] = {} if ink is None else {"ink": checked_ink(ink)}
    return begun(skill.engine, skill, False, said)


def checked_ink(ink: str) -> str:
    """Return the value of `--ink`, or raise a ConfigError."""
    if ink not in ("dark", "light"):
        raise ConfigError(f"ink is {ink!r}; expected dark (drawn dark on light) or light (light on dark, and photos).")
    return ink
