"""Few-shot learners on emulated microcontrollers: flash, memory, instructions, accuracy.

    python benchmarks/edge_mcu.py            # trains the two small learners if they are not there (22 minutes), measures, records

Needs gcc, gcc-arm-none-eabi, libnewlib-arm-none-eabi, qemu-system-arm (`make test-mcu` installs them) and QUICKSTUDY_DATA with `omniglot/`.
Runs go to `runs/edge_mcu/NAME`, results to `benchmarks/results/edge_mcu.json`. Instructions are counted by QEMU; they are not cycles.
Flash is code, constants and start-up, RAM is variables and the deepest stack, both without the test's own images.
"""

from __future__ import annotations

import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import torch

from quickstudy import data
from quickstudy.export.c.firmware import Firmware, FirmwareSettings, write_firmware
from quickstudy.inputs.image import ImageSpec
from quickstudy.task import Task
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.saving import SavedLearner, load_learner

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
import boards  # pyright: ignore[reportMissingImports]
from boards import program  # pyright: ignore[reportMissingImports]

RESULTS = pathlib.Path(__file__).parent / "results" / "edge_mcu.json"
RUNS = pathlib.Path("runs/edge_mcu")
WAYS, TASKS = 5, 1000
COMMON = "quickstudy train --data omniglot --threads 1 --draw.augment affine --steps 100000 --validation.every 400 --validation.tasks 100"
TRAIN = {
    "protonet": f"{COMMON} --learner protonet --net.channels 16 --ways 60 --shots 1 --queries 5 --validation.ways 5 --tasks_per_step 1 "
    "--precision bf16-mixed --minutes 13",
    "maml": f"{COMMON} --learner maml --learner.inner_steps 5 --learner.inner_lr 0.2 --net.channels 16 --net.norm none "
    "--net.halving stride --ways 5 --shots 1 --queries 5 --tasks_per_step 8 --minutes 8",
}


def trained(name: str) -> SavedLearner:
    out = RUNS / name
    if not (out / "learner.safetensors").exists():
        command = [sys.executable, "-c", "import sys; from quickstudy.cli import main; sys.exit(main())"]
        subprocess.run([*command, *TRAIN[name].split()[1:], "--out", str(out)], check=True)
    return load_learner(out)


def to_bytes(x: torch.Tensor, saved: SavedLearner) -> np.ndarray:
    """Return the bytes that a camera would give for images as the net sees them."""
    assert isinstance(saved.spec, ImageSpec)
    values = (x.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    return np.ascontiguousarray(255 - values if saved.spec.ink == "dark" else values)


class Host:
    """The same C on this machine."""

    def __init__(self, firmware: Firmware) -> None:
        library = firmware.folder / "learner.so"
        flags = ["-std=c99", "-O3", "-march=native", "-shared", "-fPIC"]
        subprocess.run(["gcc", *flags, "-o", str(library), str(firmware.folder / "learner.c"), "-lm"], check=True)
        self.library, self.state = ctypes.CDLL(str(library)), np.zeros(firmware.state, np.uint8)

    def answers(self, task: Task, saved: SavedLearner) -> np.ndarray:
        support, queries = to_bytes(task.support.x, saved), to_bytes(task.query.x, saved)  # pyright: ignore[reportArgumentType]
        targets = task.support.y.rows.argmax(-1).numpy().astype(np.int32)
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (self.state, support, targets)]
        assert self.library.qs_adapt(*pointers, len(support), None) == 0
        scores = np.zeros(WAYS, np.float32)
        where = scores.ctypes.data_as(ctypes.c_void_p)
        return np.array(
            [self.library.qs_predict(pointers[0], query.ctypes.data_as(ctypes.c_void_p), where) for query in queries]
        )


@torch.no_grad()
def accuracy(saved: SavedLearner, firmware: Firmware, shots: int) -> dict[str, Any]:
    """Accuracy of the C code on this machine and of torch in float32, on the same tasks."""
    host = Host(firmware)
    tasks = ClassTasks(data.load("omniglot", "test"), ways=WAYS, shots=shots, queries=5)
    rows = []
    for index in range(TASKS):
        task = tasks[index]
        truth = task.query.y.rows.argmax(-1).numpy()
        mine = host.answers(task, saved)
        exact = saved.learner.predict(saved.learner.adapt(task.support), task.query.x).argmax(-1).numpy()
        rows.append([(mine == truth).mean(), (exact == truth).mean(), (mine == exact).mean()])
    percent = 100 * np.array(rows)
    mean, half = percent.mean(0), 1.96 * percent.std(0, ddof=1) / np.sqrt(TASKS)
    return {
        "task": f"{WAYS}-way {shots}-shot",
        "tasks": TASKS,
        "tasks_hash": tasks.fingerprint(TASKS),
        firmware.precision: round(float(mean[0]), 2),
        "torch_float32": round(float(mean[1]), 2),
        "ci95": round(float(half[0]), 2),
        "same_answers": round(float(mean[2]), 2),
    }


def on_board(saved: SavedLearner, firmware: Firmware, board: str, extra: tuple[str, ...]) -> dict[str, Any]:
    """One task of classes never seen on an emulated board."""
    task = ClassTasks(data.load("omniglot", "test"), ways=WAYS, shots=1, queries=2, seed=1)[0]
    support, queries = to_bytes(task.support.x, saved), to_bytes(task.query.x, saved)  # pyright: ignore[reportArgumentType]
    targets = task.support.y.rows.argmax(-1).numpy()
    program.write_program(firmware.folder, program.Trial(support, targets, queries))
    measured = boards.run(firmware.folder, boards.BOARDS[board], extra)
    expected = saved.learner.predict(saved.learner.adapt(task.support), task.query.x).detach()
    answers = np.array(measured.output["answer"])
    instructions = {
        name: round(np.mean(measured.output[f"{name}_ticks"]) * program.INSTRUCTIONS_PER_TICK / 1e6, 3)
        for name in ("adapt", "predict")
    }
    result: dict[str, Any] = {
        "board": boards.BOARDS[board].processor,
        "flags": " ".join([*boards.BOARDS[board].flags, *boards.FLAGS[:4], *extra]),
        "flash_bytes": measured.flash,
        "ram_bytes": measured.ram,
        "of_it_stack": measured.stack,
        "weight_bytes": firmware.weights,
        "state_bytes": firmware.state,
        "adapt_5way_1shot_minstructions": instructions["adapt"],
        "predict_minstructions": instructions["predict"],
        "answers_as_torch": f"{int((answers == expected.argmax(-1).numpy()).sum())}/{len(answers)}",
        "right": f"{int((answers == task.query.y.rows.argmax(-1).numpy()).sum())}/{len(answers)}",
    }
    if firmware.precision == "float32":
        result["largest_difference_to_torch"] = float(
            np.abs(program.scores(measured.output, np.float32) - expected.numpy()).max()
        )
    else:
        host = Host(firmware)
        host.answers(task, saved)
        result["state_equal_to_host"] = measured.output["state"][0] == program.fingerprint(host.state.tobytes())
    return result


def main() -> None:
    torch.set_num_threads(1)
    pixels = data.load("omniglot", "val").examples["image"][::17][:300]
    learners = {
        "protonet, conv4 with 16 channels, int8": (trained("protonet"), TRAIN["protonet"]),
        "protonet, conv4 with 64 channels, int8 (shipped learner `omniglot`)": (load_learner("omniglot"), "make pretrained"),
        "maml, all weights, 5 steps, strided conv4 with 16 channels without norm, float32": (trained("maml"), TRAIN["maml"]),
    }
    record: dict[str, Any] = {"command": "python benchmarks/edge_mcu.py", "rows": {}}
    for name, (saved, command) in learners.items():
        with tempfile.TemporaryDirectory() as folder:
            firmware = write_firmware(folder, saved, FirmwareSettings(WAYS, 25), calibration=pixels)
            runs = [on_board(saved, firmware, board, extra) for board in boards.BOARDS for extra in ((), ("-DQS_SMALL",))]
            shots = (1, 5) if firmware.precision == "int8" else (1,)
            accuracies = [accuracy(saved, firmware, count) for count in shots]
        record["rows"][name] = {"trained_by": command, "boards": runs, "accuracy": accuracies}
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")
        print(name, json.dumps(record["rows"][name], indent=1))


if __name__ == "__main__":
    main()
