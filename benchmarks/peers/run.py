"""quickstudy beside other libraries: python benchmarks/peers/run.py [--quick] [--only NAME,...] [--contestants NAME,...]

Contestants take turns, A B C A B C ..., one working while the others wait; ratios are taken within a round. See README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import pathlib
import statistics
import sys
import time
from typing import Any

import compare
import inputs
import numpy as np
import race
import report
import rich.console
from process import Contestant, Ended
from works import TAKE_PART, WORKS, Work

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "runs" / "peers"
PAUSE = 0.3
"""Seconds between turns, in which the threads and workers of the one before come to rest."""

CHECKED_TASKS = 4
"""Tasks whose meta-gradient everyone computes in float64."""

console = rich.console.Console()


def main() -> None:
    options = _options()
    folder = FOLDER / "quick" if options.quick else FOLDER
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    works = [work for work in WORKS if not options.only or {work.name, work.row} & set(options.only.split(","))]
    record = report.read(options.out)
    origin = {"command": " ".join(["python", *sys.argv]), "machine": report.machine()}
    contestants: dict[str, Contestant] = {}
    try:
        for work in works:
            if options.quick:
                work = dataclasses.replace(work, tasks=min(work.tasks, 2))
            names = [name for name in TAKE_PART[work.kind] if _takes_part(name, options.contestants)]
            for name in names:
                contestants.setdefault(name, Contestant(name, options.peers_python, folder / "logs"))
            taking_part = [contestants[name] for name in names]
            measured = (run_race if work.kind == "race" else measure)(work, taking_part, folder, options)
            record["works"][work.name] = measured | origin
            report.write(options.out, record)
    finally:
        for contestant in contestants.values():
            contestant.close()
    report.show(record, console)
    report.plot(record, options.out.with_suffix(".svg"))


def measure(work: Work, contestants: list[Contestant], folder: pathlib.Path, options: argparse.Namespace) -> dict[str, Any]:
    """One row: prepare, check, and take turns."""
    console.rule(f"{work.row}: {work.title}")
    load_before = os.getloadavg()[0]
    specification = dataclasses.asdict(work) | inputs.files_for(work, folder)
    taking_part: dict[Contestant, dict[str, Any]] = {}
    excluded: dict[str, str] = {}
    checks = Checks(work, specification, folder)
    for contestant in sorted(contestants, key=lambda one: one.name != "plain"):  # plain first: it is the reference
        try:
            facts = checks.passed(contestant)
            seconds = contestant.ask(do="run", steps=1)["seconds"] if work.kind != "evaluate" else math.inf  # which is long
            facts["steps"] = max(1, min(100_000, round(options.seconds / seconds)))
            taking_part[contestant] = facts
            errors = f"error {facts['error']:.1e}{' (flagged)' if facts['float32_flagged'] else ''}"
            errors += f", in float64 {facts['error_float64']:.1e}" if "error_float64" in facts else ""
            errors += f", {seconds:.3g} s a step" if seconds < math.inf else ""
            console.print(f"{contestant.name}: {facts['setting']}, {errors}", highlight=False)
        except (Ended, ValueError) as error:
            excluded[contestant.name] = str(error)
            console.print(f"[red]{contestant.name} is left out:[/red] {error}", highlight=False)
    turns = {contestant.name: _Turns(facts) for contestant, facts in taking_part.items()}
    for _ in range(min(options.repeats, work.rounds)):
        for contestant, facts in list(taking_part.items()):
            time.sleep(PAUSE)
            try:
                answer = contestant.ask(do="run", steps=facts["steps"])
            except Ended as error:
                excluded[contestant.name] = str(error)
                del taking_part[contestant], turns[contestant.name]
                continue
            turns[contestant.name].seconds_per_task.append(answer["seconds"] / answer["tasks"])
    for contestant in taking_part:
        contestant.ask(do="rest")
    facts = {"row": work.row, "title": work.title, "goal": work.goal, "work": dataclasses.asdict(work)}
    facts |= {"plain_float32_errors": checks.plain_errors}
    facts |= {"repeats": min(options.repeats, work.rounds), "load_before": load_before, "load_after": os.getloadavg()[0]}
    return (
        facts | {"contestants": {name: turn.summary() for name, turn in turns.items()}, "excluded": excluded} | _ratios(turns)
    )


def run_race(work: Work, contestants: list[Contestant], folder: pathlib.Path, options: argparse.Namespace) -> dict[str, Any]:
    """Races: the same record as that of `measure`, where the task is to reach the target; every round has weights and tasks of its own.

    Who does not arrive in one round does not take part in the next.
    """
    console.rule(f"{work.row}: {work.title}")
    load_before, excluded = os.getloadavg()[0], {}
    rounds = 1 if options.quick else min(options.repeats, work.rounds)
    judge = race.Judge(folder / "race.npz", race.QUICK_TARGET if options.quick else race.TARGET)
    turns = {one.name: _Turns({"error": 0.0, "float32_flagged": False, "curves": []}) for one in contestants}
    for number in range(rounds):
        this = dataclasses.replace(work, seed=work.seed + number)
        specification = dataclasses.asdict(this) | inputs.files_for(this, folder)
        taking_part = [one for one in contestants if one.name not in excluded]
        runners, out = race.race(specification, taking_part, judge, console)
        excluded |= {one.name: f"round {number + 1}: {why}" for one, why in out.items()}
        for one, facts in runners.items():
            turns[one.name].facts |= {name: facts[name] for name in ("setting", "versions")}
            turns[one.name].facts["curves"].append(facts["curve"])
            turns[one.name].seconds_per_task.append(facts["seconds"])
    facts = {"row": work.row, "title": work.title, "goal": work.goal, "work": dataclasses.asdict(work), "repeats": rounds}
    facts |= {"load_before": load_before, "load_after": os.getloadavg()[0], "excluded": excluded}
    facts |= {"curves": {name: turn.facts.pop("curves") for name, turn in turns.items()}}
    arrived = {name: turn for name, turn in turns.items() if name not in excluded}
    return facts | {"contestants": {name: turn.summary() for name, turn in arrived.items()}} | _ratios(arrived)


@dataclasses.dataclass
class _Turns:
    """A contestant's facts, and what its turns took."""

    facts: dict[str, Any]
    seconds_per_task: list[float] = dataclasses.field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        rates = [1 / seconds for seconds in self.seconds_per_task]
        return {"tasks_per_second": _spread(rates), "seconds_per_task": _spread(self.seconds_per_task)} | self.facts


class Checks:
    """Nobody is timed whose results are wrong; `plain` must be asked first."""

    def __init__(self, work: Work, specification: dict[str, Any], folder: pathlib.Path) -> None:
        self.work, self.specification, self.file = work, specification, folder / "check.npz"
        self.reference: compare.Results | None = None
        self.exact: compare.Results | None = None
        self.plain_errors: list[float] = []

    def passed(self, contestant: Contestant) -> dict[str, Any]:
        """Prepare a contestant; its facts, with its errors.

        Raises:
            ValueError: it does not do this work, or does it wrong.
            Ended: its process ended.
        """
        facts = contestant.ask(do="prepare", work=self.specification, variant=contestant.variant)
        if "unsupported" in facts:
            raise ValueError(facts["unsupported"])
        if contestant.name == "plain":
            self._ask_reference(contestant)
        facts["error"], facts["error_is"] = compare.error(self.work, self._results(contestant), self.reference)
        facts["float32_flagged"] = compare.flagged(self.work, facts["error"], self.plain_errors)
        if self.work.kind == "gradient":
            if self.exact is None:
                raise ValueError("there is no reference: plain did not finish")
            facts["error_float64"] = compare.relative_error(self._results(contestant, self._few("float64")), self.exact)
            if not facts["error_float64"] <= compare.LIMIT:
                raise ValueError(
                    f"in float64 its meta-gradient is off by {facts['error_float64']:.2e}; limit {compare.LIMIT:g}."
                )
        if not facts["error"] < compare.LIMITS[self.work.kind]:
            raise ValueError(f"{facts['error_is']}: {facts['error']:.2e}; limit {compare.LIMITS[self.work.kind]:g}.")
        return facts

    def _ask_reference(self, plain: Contestant) -> None:
        """For gradients plain's in float64, and how far its float32 is from that in each memory format."""
        if self.work.kind != "gradient":
            self.reference = self._results(plain)
            return
        self.reference = self._results(plain, {"dtype": "float64"})
        self.exact = self._results(plain, self._few("float64"))
        for name in ["contiguous"] if self.work.net == "mlp" else ["contiguous", "channels_last"]:
            results = self._results(plain, {}, {"memory_format": name})
            self.plain_errors.append(compare.relative_error(results, self.reference))

    def _few(self, dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "tasks": min(self.work.tasks, CHECKED_TASKS)}

    def _results(
        self, contestant: Contestant, changes: dict[str, Any] | None = None, setting: dict[str, Any] | None = None
    ) -> compare.Results:
        how = {} if changes is None else {"changes": changes, "setting": setting or {}}
        contestant.ask(do="check", file=str(self.file), **how)
        with np.load(self.file) as arrays:
            return {name: arrays[name] for name in arrays}


def _ratios(turns: dict[str, _Turns]) -> dict[str, Any]:
    """How many times as fast as each peer ours are, round by round; the best peer has the smallest median time."""
    times = {name: turn.seconds_per_task for name, turn in turns.items()}
    peers = [name for name in times if not name.startswith("quickstudy")]
    if not peers:
        return {"best_peer": None, "ratios": {}}
    ratios = {
        ours: {peer: _spread([b / a for a, b in zip(times[ours], times[peer], strict=True)]) for peer in peers}
        for ours in times
        if ours not in peers
    }
    return {"best_peer": min(peers, key=lambda name: statistics.median(times[name])), "ratios": ratios}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _takes_part(name: str, chosen: str) -> bool:
    """Whether a contestant was asked for; the reference, and who everyone is compared with, always are."""
    return not chosen or name in ("plain", "quickstudy") or bool({name, name.partition("-")[0]} & set(chosen.split(",")))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds, 2 tasks, results in runs/: does everything work?")
    parser.add_argument("--only", default="", help=f"rows or works: a, b, ... or {', '.join(work.name for work in WORKS)}")
    parser.add_argument("--contestants", default="", help="libraries, or one way of using one, such as torchopt-vmap")
    parser.add_argument("--repeats", type=int, default=0, help="rounds; 7 by default")
    parser.add_argument("--seconds", type=float, default=0.0, help="least time of a turn, 1 s by default")
    parser.add_argument("--peers-python", type=pathlib.Path, default=ROOT / ".venv-peers" / "bin" / "python")
    parser.add_argument("--out", type=pathlib.Path, default=None, help="where results go: a .json, and a .svg beside it")
    options = parser.parse_args()
    options.repeats = options.repeats or (2 if options.quick else 7)
    options.seconds = options.seconds or (0.1 if options.quick else 1.0)
    options.out = options.out or (FOLDER / "quick" / "peers.json" if options.quick else report.RESULTS)
    unknown = set(filter(None, options.only.split(","))) - {known for work in WORKS for known in (work.name, work.row)}
    if unknown:
        parser.error(
            f"--only names {', '.join(sorted(unknown))}; expected {', '.join(work.name for work in WORKS)}, or a row's letter"
        )
    if not options.peers_python.exists():
        parser.error(f"there is no {options.peers_python}; make it with: make bench-peers, or setup_peers.py")
    return options


if __name__ == "__main__":
    main()
