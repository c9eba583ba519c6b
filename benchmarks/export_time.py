"""Measure how long `quickstudy export` takes for MAML on Conv4, and which part of it what takes.

python benchmarks/export_time.py --out benchmarks/results/export_time.json
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import torch

from quickstudy.export.bundle import named
from quickstudy.export.onnx.write import to_onnx
from quickstudy.export.trace import decompositions
from quickstudy.export.trace.capture import Backend, capture
from quickstudy.inputs.image import ImageSpec
from quickstudy.learners.maml import MAML
from quickstudy.nets.conv4 import Conv4
from quickstudy.training.saving import SavedLearner, save_learner

SIZE = 28
"""Height and width of the images, in pixels."""


def whole(times: int) -> list[float]:
    """Return the seconds of the command, from the start of its process to its end, for each of some runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "learner.safetensors"
        save_learner(path, SavedLearner(MAML(Conv4(1, SIZE)), ImageSpec(SIZE, SIZE, 1)))
        command = [sys.executable, "-m", "quickstudy", "export", str(path), "--out", str(path.with_suffix(".qs"))]
        seconds = []
        for _ in range(times):
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, timeout=600)
            seconds.append(time.perf_counter() - started)
        return seconds


def parts() -> dict[str, float]:
    """Return the seconds of each step, in a process that has imported everything."""
    learner, layout = MAML(Conv4(1, SIZE)).eval(), ImageSpec(SIZE, SIZE, 1).layout()
    seconds = {}
    for kind in ("first", "again"):  # the first run of each also imports what it needs
        started = time.perf_counter()
        programs = capture(learner, layout, Backend(decompositions.onnx()))
        seconds[f"capture, {kind}"] = time.perf_counter() - started
        for name, program in named(programs).items():
            started = time.perf_counter()
            to_onnx(program)
            seconds[f"{name} as ONNX, {kind}"] = time.perf_counter() - started
    return seconds


def main() -> None:
    """Print the figures as JSON, and write them where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = whole(options.times)
    facts = {
        "what": "quickstudy export of MAML on Conv4 (64 channels, 28x28), seconds of the whole process",
        "command": "python benchmarks/export_time.py --out benchmarks/results/export_time.json",
        "seconds": [round(run, 2) for run in runs],
        "best": round(min(runs), 2),
        "parts": {name: round(value, 2) for name, value in parts().items()},
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "torch": torch.__version__},
    }
    text = json.dumps(facts, indent=2) + "\n"
    sys.stdout.write(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
