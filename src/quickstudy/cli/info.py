"""what a saved learner or task is, where it comes from and how good it is: quickstudy info omniglot"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy import pretrained, storage
from quickstudy.cli import _output, _parser


def run(arguments: Sequence[str]) -> None:
    """Print the facts in a file's header; its tensors are checked, but no torch is needed."""
    parser = _parser.make_parser("info", __doc__)
    parser.add_argument("file", type=str, help="a learner's file, a run's folder, a shipped learner, or a task")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    content = storage.load(pretrained.find(options.file), "learner", "task")
    facts = {
        "kind": content.kind,
        "file": str(pretrained.find(options.file)),
        "bytes": pretrained.find(options.file).stat().st_size,
        "tensors": sum(value.size for value in content.arrays.values()),
        **content.meta,
    }
    if options.json:
        _output.as_json(facts)
        return
    _output.table(("fact", "value"), [(name, value) for name, value in _flat(facts)], title=options.file)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            rows.append((f"{prefix}{name}", value))
    return rows
