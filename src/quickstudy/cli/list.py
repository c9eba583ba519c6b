"""what there is: learners, nets, known data sets, shipped learners"""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Sequence

import quickstudy
from quickstudy import discovery
from quickstudy.cli import _output, _parser
from quickstudy.data import known
from quickstudy.runtime import pretrained

PACKAGE = pathlib.Path(quickstudy.__file__).parent


def run(arguments: Sequence[str]) -> None:
    """Print every discovered name with the first line of its docstring."""
    parser = _parser.make_parser("list", __doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    found = {
        "learner": {name: _summary(PACKAGE / "learners" / f"{name}.py") for name in discovery.names("learners")},
        "net": {name: _summary(PACKAGE / "nets" / f"{name}.py") for name in discovery.names("nets")},
        "data": {name: _summary(PACKAGE / "data" / "known" / f"{name}.py") for name in known.names()},
        "shipped": {name: f"quickstudy info {name}" for name in pretrained.names()},
    }
    if options.json:
        _output.as_json(found)
        return
    rows = [(kind, name, summary) for kind, names in found.items() for name, summary in names.items()]
    _output.table(("kind", "name", "what it is"), rows)


def _summary(file: pathlib.Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).partition(": ")[2].strip()
