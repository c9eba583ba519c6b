"""Two versions of quickstudy side by side: python benchmarks/peers/versions.py OTHER_CHECKOUT [--only NAME,...] [--repeats N]

The other checkout runs its own benchmark code with its own source, in the same environment. Versions take turns in one run, and ratios are
taken within a round: above 1, this checkout is faster. Results go to benchmarks/results/versions.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import statistics
import subprocess
import sys
import time

import inputs
import report
import rich.console
import rich.table
from process import Contestant
from works import WORKS, Work

ROOT = pathlib.Path(__file__).parents[2]
PAUSE = 0.3
"""Seconds between turns, in which the threads of the version before come to rest."""

console = rich.console.Console()


def main() -> None:
    options = _options()
    folder = ROOT / "runs" / "peers"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    works = [work for work in WORKS if work.kind != "race" and (not options.only or work.name in options.only.split(","))]
    record = report.read(options.out)
    record |= {"this": _commit(ROOT), "other": _commit(options.other), "machine": report.machine()}
    versions = {"this": ROOT, "other": options.other}
    contestants = {
        name: Contestant("quickstudy", pathlib.Path(sys.executable), folder / "logs", path) for name, path in versions.items()
    }
    try:
        for work in works:
            record["works"][work.name] = compare(work, contestants, folder, options)
            report.write(options.out, record)
    finally:
        for contestant in contestants.values():
            contestant.close()
    show(record)


def compare(
    work: Work, contestants: dict[str, Contestant], folder: pathlib.Path, options: argparse.Namespace
) -> dict[str, float | int]:
    """Let both versions take turns at one work; the spread of how many times as fast this one is."""
    console.print(work.title)
    specification = dataclasses.asdict(work) | inputs.files_for(work, folder)
    steps = {}
    for name, contestant in contestants.items():
        contestant.ask(do="prepare", work=specification, variant="")
        seconds = contestant.ask(do="run", steps=1)["seconds"]
        steps[name] = max(1, min(100_000, round(options.seconds / seconds)))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(options.repeats):
        for name, contestant in list(contestants.items())[:: 1 if turn % 2 else -1]:  # who comes second meets warmer memory
            time.sleep(PAUSE)
            answer = contestant.ask(do="run", steps=steps[name])
            times[name].append(answer["seconds"] / answer["tasks"])
    for contestant in contestants.values():
        contestant.ask(do="rest")
    ratios = [other / this for this, other in zip(times["this"], times["other"], strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios), "rounds": len(ratios)}


def show(record: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print how many times as fast this version is, work by work."""
    table = rich.table.Table("work", "times as fast as the other version (min-max)")
    for name, ratio in record["works"].items():
        table.add_row(name, f"{ratio['median']:.3f} ({ratio['min']:.3f}-{ratio['max']:.3f})")
    console.print(table)


def _commit(checkout: pathlib.Path) -> str:
    """Return the commit of a checkout."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=pathlib.Path, help="the other checkout")
    parser.add_argument("--only", default="", help=f"works: {', '.join(work.name for work in WORKS if work.kind != 'race')}")
    parser.add_argument("--repeats", type=int, default=7, help="rounds; 7 by default")
    parser.add_argument("--seconds", type=float, default=1.0, help="least time of a turn, 1 s by default")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "benchmarks" / "results" / "versions.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
