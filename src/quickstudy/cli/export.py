"""pack a learner into one file that adapts and predicts without PyTorch: quickstudy export runs/mine -o mine.qs"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from quickstudy import pretrained
from quickstudy.cli import _output, _parser
from quickstudy.export.bundle import to_bundle
from quickstudy.runtime import bundle as bundles
from quickstudy.training.saving import load_learner


def run(arguments: Sequence[str]) -> None:
    """Export a saved learner; print what the file holds."""
    parser = _parser.make_parser("export", __doc__)
    parser.add_argument("learner", type=str, help="a learner's file, a run's folder, or a shipped learner")
    parser.add_argument("-o", "--out", type=str, required=True, help="file to write, such as learner.qs")
    parser.add_argument(
        "--features", type=int | None, default=None, help="length of a row, for a learner on rows whose net does not say"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    bundle = to_bundle(load_learner(pretrained.find(options.learner)), options.features)
    bundles.write(options.out, bundle)
    manifest, size = bundle.manifest, pathlib.Path(options.out).stat().st_size
    if options.json:
        _output.as_json({"bundle": options.out, "bytes": size, **manifest.model_dump(exclude_none=True)})
        return
    rows = [
        ("learner", f"{manifest.learner.get('name')} on {(manifest.net or {}).get('name')}"),
        ("size", f"{size / 1024:.0f} KB"),
        ("precision", manifest.precision),
        ("settings", ", ".join(f"{name} {value:g}" for name, value in manifest.settings.items()) or "-"),
        ("state", ", ".join(f"{name} {list(axes)}" for name, axes in list(manifest.state.items())[:4])),
    ]
    _output.table(("fact", "value"), rows, title=f"exported: {options.out}")
    _output.text(f"next: quickstudy adapt {options.out} FOLDER -o mine.qs")
