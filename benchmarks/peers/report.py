"""The results as a JSON record, a table and a plot."""

from __future__ import annotations

import json
import os
import pathlib
import platform
from typing import Any

import matplotlib.figure
import rich.console
import rich.table
import torch

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "peers.json"


def read(file: pathlib.Path) -> dict[str, Any]:
    """Return the record so far: a run of some works leaves the others as they are."""
    return json.loads(file.read_text()) if file.exists() else {"works": {}}


def write(file: pathlib.Path, record: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(_rounded(record), indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Describe the machine on which the figures were measured."""
    processor = platform.processor() or platform.machine()
    about = pathlib.Path("/proc/cpuinfo")
    if about.exists():
        names = [line.partition(":")[2].strip() for line in about.read_text().splitlines() if line.startswith("model name")]
        processor = names[0] if names else processor
    processor += f", {torch.backends.cpu.get_cpu_capability()}"
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": processor, "cores": os.cpu_count(), "system": platform.system(), "accelerator": accelerator}


def show(record: dict[str, Any], console: rich.console.Console) -> None:
    """Tasks per second of everyone, and how quickstudy compares with the best peer."""
    table = rich.table.Table(
        "row", "work", "contestant", "tasks/s (min-max)", "quickstudy is × as fast (min-max)", "error", "setting"
    )
    for work in _sorted(record):
        ratios = work["ratios"].get("quickstudy", {})
        for name, facts in sorted(work["contestants"].items(), key=lambda item: -item[1]["tasks_per_second"]["median"]):
            best = " best peer" if name == work["best_peer"] else ""
            ratio = _shown(ratios[name]) + best if name in ratios else _of_ours(work, name)
            setting = " ".join(f"{key}={value}" for key, value in facts["setting"].items())
            race = work["work"]["kind"] == "race"
            rate = f"{_shown(facts['seconds_per_task'])} s in all" if race else _shown(facts["tasks_per_second"])
            table.add_row(
                work["row"],
                work["title"],
                name,
                rate,
                ratio,
                f"{facts['error']:.0e}{'!' if facts['float32_flagged'] else ''}",
                setting,
            )
        for name, why in work["excluded"].items():
            table.add_row(work["row"], work["title"], name, "left out", "", "", why.strip().splitlines()[-1])
        table.add_section()
    console.print(table)
    goals = rich.table.Table("row", "work", "best peer", "× as fast", "min-max", "goal", "reached")
    for work in _sorted(record):
        if work["best_peer"] is None or "quickstudy" not in work["ratios"]:
            goals.add_row(work["row"], work["title"], work["best_peer"], "not compared", "", f"{work['goal']:g}", "no")
        for ours, ratios in work["ratios"].items():
            ratio = ratios[work["best_peer"]]
            reached = "yes" if ratio["median"] >= work["goal"] else "no"
            title = work["title"] + (f" ({ours})" if ours != "quickstudy" else "")
            spread = f"{ratio['min']:.2f}-{ratio['max']:.2f}"
            goals.add_row(work["row"], title, work["best_peer"], f"{ratio['median']:.2f}", spread, f"{work['goal']:g}", reached)
    console.print(goals)


def plot(record: dict[str, Any], file: pathlib.Path) -> None:
    """Draw a bar for each work: how many times as fast as the best peer, on a log scale, with the goal as a tick."""
    rows = [
        (work, work["ratios"]["quickstudy"][work["best_peer"]]) for work in _sorted(record) if "quickstudy" in work["ratios"]
    ]
    if not rows:
        return
    figure = matplotlib.figure.Figure(figsize=(9, 1 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(rows)))
    medians = [ratio["median"] for _, ratio in rows]
    spread = [[ratio["median"] - ratio["min"] for _, ratio in rows], [ratio["max"] - ratio["median"] for _, ratio in rows]]
    reached = ["tab:green" if ratio["median"] >= work["goal"] else "tab:gray" for work, ratio in rows]
    # bars on a log scale start at 1: as fast as the best peer
    axes.barh(places, [median - 1 for median in medians], left=1, xerr=spread, color=reached, ecolor="black", capsize=2)
    axes.plot([work["goal"] for work, _ in rows], places, "|", color="tab:red", markersize=14, markeredgewidth=2, label="goal")
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(places, [f"{work['title']} (best peer: {work['best_peer']})" for work, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel("quickstudy: times as fast as the best peer (median, min to max over rounds)")
    axes.legend()
    figure.savefig(file)


def _sorted(record: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(record["works"].values(), key=lambda work: work["row"])


def _shown(spread: dict[str, float]) -> str:
    return f"{spread['median']:.3g} ({spread['min']:.3g}-{spread['max']:.3g})"


def _of_ours(work: dict[str, Any], name: str) -> str:
    """For a second way of using quickstudy: how it compares with the best peer."""
    if name not in work["ratios"] or name == "quickstudy" or work["best_peer"] is None:
        return ""
    return f"itself {_shown(work['ratios'][name][work['best_peer']])} × the best peer"


def _rounded(value: Any) -> Any:
    """Four digits are more than the machine repeats."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
