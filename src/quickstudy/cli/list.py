"""List all learners, nets, kinds of input and answer, sources of tasks, data sets, file formats and shipped learners: quickstudy list"""

from __future__ import annotations

import re
from collections.abc import Sequence

from quickstudy import discovery
from quickstudy.cli import _output, _parser
from quickstudy.runtime import pretrained

FOLDERS = {
    "learner": "learners",
    "net": "nets",
    "input": "inputs",
    "target": "targets",
    "tasks": "tasks",
    "data": "data/known",
    "reader": "data/readers",
}
"""The folder behind each kind of thing that is listed."""


def run(arguments: Sequence[str]) -> None:
    """Print every discovered name with the first line of its docstring."""
    parser = _parser.make_parser("list", __doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    found = {kind: {name: _about(folder, name) for name in discovery.names(folder)} for kind, folder in FOLDERS.items()}
    found["shipped"] = {name: _output.command("info", name) for name in pretrained.names()}
    if options.json:
        _output.as_json(found)
        return
    rows = [(kind, name, about) for kind, things in found.items() for name, about in things.items()]
    _output.table(("kind", "name", "what it is"), rows)


def _about(folder: str, name: str) -> str:
    """Return what a file's docstring says behind the name that it begins with."""
    summary = discovery.summary(folder, name)
    return re.sub(r"^[\w -]{1,25}: ", "", summary)
