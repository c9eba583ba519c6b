"""what a saved learner or task is, where it comes from and how good it is: quickstudy info omniglot"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy import storage
from quickstudy.cli import _output, _parser
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained


def run(arguments: Sequence[str]) -> None:
    """Print the facts in a file's header; its tensors are checked, but no torch is needed."""
    parser = _parser.make_parser("info", __doc__)
    parser.add_argument("file", type=str, help="a learner's file, a run's folder, a shipped learner, or a task")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    found = pretrained.find(options.file)
    kind, numbers, about = _read(found)
    facts = {"kind": kind, "file": str(found), "bytes": found.stat().st_size, "tensors": numbers, **about}
    if options.json:
        _output.as_json(facts)
        return
    _output.table(("fact", "value"), [(name, value) for name, value in _flat(facts)], title=options.file)


def _read(path: pathlib.Path) -> tuple[str, int, Mapping[str, Any]]:
    """What kind of file it is, how many numbers it holds, and what it says about itself."""
    if bundles.is_bundle(path):
        bundle = bundles.read(path)
        about = bundle.manifest.model_dump(exclude={"kind", "programs", "parts"}, exclude_none=True)
        return f"bundle of a {bundle.manifest.kind}", sum(value.size for value in bundle.weights.values()), about
    content = storage.load(path, "learner", "task")
    return content.kind, sum(value.size for value in content.arrays.values()), content.meta


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            rows.append((f"{prefix}{name}", value))
    return rows
