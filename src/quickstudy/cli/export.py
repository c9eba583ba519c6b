"""Pack a learner into one file that adapts and predicts without PyTorch: quickstudy export runs/mine -o mine.qs --int8"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Literal

import jsonargparse
import numpy as np

from quickstudy.cli import _data, _garbage, _output, _parser
from quickstudy.errors import ConfigError
from quickstudy.export import budget
from quickstudy.export.budget import Candidate, Limit
from quickstudy.export.bundle import UNSTATED
from quickstudy.export.c.firmware import FirmwareSettings, write_firmware
from quickstudy.export.pack import Packed, Packing, pack
from quickstudy.export.source import Source
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained
from quickstudy.runtime.manifest import Manifest
from quickstudy.training.progress import progress_line
from quickstudy.training.saving import load_learner
from quickstudy.training.settings import TrainingSettings

CALIBRATION = 256
"""Number of images on which the ranges of an int8 learner in C are measured."""


def run(arguments: Sequence[str]) -> None:
    """Export a saved learner; print what the file holds."""
    options = _build_parser().parse(arguments)
    saved = load_learner(pretrained.find(options.learner))
    source = Source(saved, options.data, options.data_dir, wishes=_data.columns(options))
    if options.target == "c":
        with _garbage.rarely_collected():
            _write_c(options, source)
        return
    if options.budget or options.latency:
        packed, tried = _within(options, source)
    else:
        known = source if options.data else None
        with _garbage.rarely_collected():
            packed = pack(saved, known, Packing(options.features, options.licence), int8=options.int8)
        tried = []
    bundles.write(options.out, packed.bundle)
    _show(options, packed, tried)


def _build_parser() -> _parser.Parser:
    """Return the parser of this verb."""
    parser = _parser.make_parser("export", __doc__)
    parser.add_argument("learner", type=str, help="a learner's file, a run's folder, or a shipped learner")
    parser.add_argument(
        "-o", "--out", type=str, required=True, help="file to write, such as learner.qs; with --target c, a folder"
    )
    parser.add_argument(
        "--target",
        type=Literal["bundle", "c"],
        default="bundle",
        help="bundle: a file for Python and browsers; c: a folder of C99 for microcontrollers",
    )
    parser.add_argument("--ways", type=int, default=5, help="with --target c: classes of a task, at most")
    parser.add_argument("--examples", type=int, default=25, help="with --target c: support examples of a task, at most")
    parser.add_argument(
        "--prefix", type=str, default="qs", help="with --target c: beginning of all C names, to link several learners together"
    )
    parser.add_argument("--int8", type=bool, default=False, help="the net in 8 bits: a quarter of the size, and faster")
    parser.add_argument(
        "--data",
        type=str | None,
        default=None,
        help="data set to calibrate and measure on; null: with --int8 or a budget, the one that the learner was trained on; with "
        "--target c, drawn letters",
    )
    parser.add_argument(
        "--data_dir", "--data-dir", type=str | None, default=None, help="where known sets are, or are downloaded to"
    )
    _data.add_columns(parser)
    parser.add_argument(
        "--budget", type=str | None, default=None, help="largest file, such as 256KB: the best learner that fits"
    )
    parser.add_argument(
        "--latency",
        type=str | None,
        default=None,
        help="longest prediction of one example, such as 5ms: the best learner that fits",
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="with a budget: how long a smaller student is trained")
    parser.add_argument(
        "--features", type=int | None, default=None, help="length of a row, for a learner on rows whose net does not say"
    )
    parser.add_argument("--licence", type=str, default=UNSTATED, help="of the weights, as an SPDX name such as Apache-2.0")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _write_c(options: jsonargparse.Namespace, source: Source) -> None:
    """Write the folder of C and print what it takes of a device."""
    if options.budget or options.latency:
        raise ConfigError(
            "a budget is for bundles; with --target c choose a smaller net, or --int8, and read the sizes that are printed."
        )
    calibration = None
    if options.data:
        split = source.split("train")
        (stored,) = split.examples.values()
        calibration = stored[np.linspace(0, len(stored) - 1, min(CALIBRATION, len(stored))).astype(int)]
    settings = FirmwareSettings(options.ways, options.examples, "int8" if options.int8 else "auto", options.prefix)
    written = write_firmware(options.out, source.saved, settings, calibration=calibration, features=options.features)
    if options.json:
        _output.as_json(dataclasses.asdict(written) | {"folder": str(written.folder)})
        return
    more = (
        f" for {options.examples} examples; less for fewer (see its README)"
        if written.grows
        else ", whatever the number of examples"
    )
    of_classes = source.saved.target == "classes"
    rows = [
        ("precision", written.precision),
        ("weights (flash)", f"{written.weights:,} bytes"),
        ("working memory (RAM)", f"{written.arena:,} bytes{more}"),
        ("an adapted task (RAM)", f"{written.state:,} bytes" + (f", up to {options.ways} ways" if of_classes else "")),
        ("files", ", ".join(written.files)),
    ]
    _output.table(("fact", "value"), rows, title=f"exported: {options.out}")
    folder = pathlib.Path(options.out)
    compiled = ("cc", "-O2", "-o", folder / "example", folder / "learner.c", folder / "example.c", "-lm")
    _output.text(f"read: {folder / 'README.md'}")
    _output.text(f"next: {_output.pasted(*compiled)}")


def _within(options: jsonargparse.Namespace, source: Source) -> tuple[Packed, list[Candidate]]:
    """Return the best learner within the budget, and all that were tried."""
    if options.int8:
        raise ConfigError("--int8 and a budget are both given; a budget chooses the precision itself, so leave out --int8.")
    limits = {}
    if options.budget:
        limits["bytes"] = budget.quantity(options.budget, ("KB", "MB", "B"))
    if options.latency:
        limits["seconds"] = budget.quantity(options.latency, ("ms", "us", "s"))
    from quickstudy.export.front import draw  # a second of imports that no other export needs

    limit, settings = Limit(**limits), TrainingSettings(steps=10**6, minutes=options.minutes, tasks_per_step=1)
    out = pathlib.Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)  # now, and not after the student was trained
    with progress_line() as progress:
        tried = budget.search(source, limit, settings, Packing(options.features, options.licence), progress)
    draw(tried, limit, out.with_suffix(".svg"))
    return budget.best(tried, limit).packed, tried


def _show(options: jsonargparse.Namespace, packed: Packed, tried: Sequence[Candidate]) -> None:
    """Print what was exported, and what else was tried."""
    manifest, size = packed.bundle.manifest, pathlib.Path(options.out).stat().st_size
    front = [
        {"learner": one.name, "bytes": one.bytes, "milliseconds": round(1e3 * one.seconds, 3), "accuracy": one.accuracy}
        | {"chosen": one.packed is packed}
        for one in tried
    ]
    if options.json:
        facts = {"bundle": options.out, "bytes": size, **manifest.model_dump(exclude_none=True), "notes": packed.notes}
        _output.as_json(facts | ({"tried": front} if front else {}))
        return
    if front:
        columns = ("tried", "size, KB", "one prediction, ms", "accuracy, %", "chosen")
        rows = [
            (
                one["learner"],
                round(one["bytes"] / 1024),
                one["milliseconds"],
                "-" if one["accuracy"] is None else round(one["accuracy"], 2),
                "yes" if one["chosen"] else "",
            )
            for one in front
        ]
        _output.table(columns, rows, title=f"drawn: {pathlib.Path(options.out).with_suffix('.svg')}")
    _output.table(("fact", "value"), _facts(packed, size), title=f"exported: {options.out}")
    for note in packed.notes:
        _output.text(f"note: {note}")
    _output.following("info", options.out)
    _output.text(f"then: {_use(options.out, manifest)}")


def _use(path: str, manifest: Manifest) -> str:
    """Return what teaches the exported learner a task: a command for examples in files, Python for others."""
    if manifest.target.scale is not None and manifest.input.tabular:
        return _output.command("adapt", path, "MINE.csv", "--value", *manifest.target.scale.names, "-o", "mine.qs")
    if manifest.target.kind == "classes" and manifest.input.tabular:
        command = _output.command("adapt", path, "MINE.csv", "--label", "COLUMN", "-o", "mine.qs")
        return f"{command}    (COLUMN holds the class of each row)"
    if manifest.target.kind == "classes" and manifest.input.column and not manifest.input.suffixes():
        column = f"--{manifest.input.column}"
        command = _output.command("adapt", path, "MINE.csv", column, "COLUMN", "--label", "COLUMN", "-o", "mine.qs")
        return f"{command}    (name the columns of your {manifest.input.nouns} and of their classes)"
    if manifest.target.kind == "labels" and (manifest.input.tabular or manifest.input.column):
        column = [] if manifest.input.tabular else [f"--{manifest.input.column}", "COLUMN"]
        command = _output.command("adapt", path, "MINE.csv", *column, "--labels", "COLUMN", "-o", "mine.qs")
        return f"{command}    (name the column of label sets, such as red;round)"
    if manifest.target.kind == "sequences" and manifest.input.column:
        column = f"--{manifest.input.column}"
        command = _output.command("adapt", path, "MINE.csv", column, "COLUMN", "--label", "COLUMN", "-o", "mine.qs")
        return f"{command}    (name the columns of your {manifest.input.nouns} and of what is said in them)"
    if manifest.target.kind == "classes" and manifest.input.suffixes():
        command = _output.command("adapt", path, "MY-CLASSES", "-o", "mine.qs")
        return f"{command}    (MY-CLASSES holds one folder of examples for each class)"
    return f"in Python, quickstudy.runtime.Learner.load({path!r}).adapt(x, y)"


def _facts(packed: Packed, size: int) -> list[tuple[str, str]]:
    """Return the rows of the table about a bundle of `size` bytes."""
    manifest = packed.bundle.manifest
    rows = [
        ("learner", f"{manifest.learner.get('name')} on {(manifest.learner['modules'].get('net') or {}).get('name')}"),
        ("size", f"{size / 1024:.0f} KB"),
        ("precision", manifest.precision),
        ("settings", ", ".join(f"{name} {value:g}" for name, value in manifest.settings.items()) or "-"),
        ("state", ", ".join(f"{name} {part.dtype} {list(part.shape)}" for name, part in list(manifest.state.items())[:4])),
    ]
    for row in manifest.results.get("measured", []):
        task = f"{row['ways']}-way {row['shots']}-shot of {row['dataset']}"
        rows.append((f"{row['protocol']}, {row['precision']}", f"{row['accuracy']:.2f} ± {row['ci95']:.2f} % ({task})"))
    if manifest.unknown:
        found = manifest.unknown
        rows.append(
            (
                "unknown",
                f"below {found.threshold:.4g}: {found.detected:.1%} of other classes, {found.rejected:.1%} of known ones",
            )
        )
    return rows
