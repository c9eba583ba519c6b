"""Writes docs/scoreboard.md and its plots from the recorded results: python benchmarks/scoreboard.py

Each record is measured as `python benchmarks/few_shot.py omniglot NAME` does;
runs of your own are compared by `quickstudy scoreboard RUN...`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

from quickstudy.report.scoreboard import Entry, write

HERE = pathlib.Path(__file__).parent
ABOUT = """Learners that were trained on Omniglot (Vinyals split), measured on tasks of its test classes; ± is the 95 % interval over
tasks. Written by `make scoreboard` from `benchmarks/results/omniglot.json`; [Measured](../benchmarks/README.md) has the
papers' figures and the commands. A line shows what was measured: older records have no size and no time of adapting. Runs of your own are
compared by `quickstudy scoreboard RUN...`."""


def entry(name: str, run: dict[str, Any]) -> Entry:
    """Return the line of a record: the first evaluation of its recipe, since to choose the best one would choose by the test."""
    words = run["command"].split()
    seconds = run.get("training_seconds", 60 * run["minutes_to_best"])
    learner = words[words.index("--learner") + 1]
    return Entry(
        name,
        learner,
        run["results"][0]["rows"],
        run.get("figures", {}),
        training_seconds=seconds or None,
        megabytes=run.get("megabytes"),
    )


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=pathlib.Path, default=HERE / "results" / "omniglot.json", help="file of the records")
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / "docs" / "scoreboard.md", help="page to write")
    options = parser.parse_args()
    runs = json.loads(options.records.read_text())["runs"]
    write(options.out, [entry(name, run) for name, run in runs.items()], "Scoreboard", ABOUT)


if __name__ == "__main__":
    main()
