"""Show what a saved learner or skill is, where it comes from and how good it is: quickstudy info omniglot"""

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
    parser.add_argument("file", type=str, help="a learner's file, a run's folder, a shipped learner, or a skill")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    found = pretrained.find(options.file)
    about = _in_bundle(found) if bundles.is_bundle(found) else _in_file(found)
    facts = {"kind": about.pop("kind"), "file": str(found), "bytes": found.stat().st_size, **about}
    if options.json:
        _output.as_json(facts)
        return
    _output.table(("fact", "value"), [(name, value) for name, value in _flat(facts)], title=options.file)


def _in_bundle(path: pathlib.Path) -> dict[str, Any]:
    """Return what a bundle holds: its kind, how many numbers, how many examples it keeps, and what it says about itself."""
    bundle = bundles.read(path)
    is_skill = bundle.manifest.kind != "learner"
    holds = {
        "numbers": sum(value.size for value in bundle.weights.values()) if bundle.learner is None else None,
        "engine": "torch" if bundle.learner else "onnxruntime",
        "state_numbers": sum(value.size for value in bundle.state.values()) if is_skill else None,
        "kept_examples": len(bundle.support["y"]) if bundle.support else (0 if is_skill else None),
    }
    about = bundle.manifest.model_dump(exclude={"kind", "programs", "parts"}, exclude_none=True)
    kind = "skill" if is_skill else "bundle of a learner"
    return {"kind": kind, **{name: value for name, value in holds.items() if value is not None}, **about}


def _in_file(path: pathlib.Path) -> dict[str, Any]:
    """Return what a learner's file for PyTorch holds."""
    content = storage.load(path, "learner")
    return {"kind": content.kind, "numbers": sum(value.size for value in content.arrays.values()), **content.meta}


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Return facts within facts as one list, with dots in their names; each row of a table within them is one fact."""
    rows: list[tuple[str, object]] = []
    for name, value in facts.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, inner in enumerate(value, start=1):
                rows.append((f"{prefix}{name}.{number}", ", ".join(f"{key} {_shown(one)}" for key, one in inner.items())))
        elif isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            rows.append((f"{prefix}{name}", _shown(value)))
    return rows


def _shown(value: object) -> object:
    """Return a value as people read it: numbers with six digits, `true` and `false` as options are spelled.

    >>> _shown(1.4840741778135092), _shown(True), _shown("conv4")
    ('1.48407', 'true', 'conv4')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return format(value, ".6g") if isinstance(value, float) else value
