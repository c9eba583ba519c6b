"""Learners on devices beside PyTorch: python benchmarks/edge.py [accuracy start adapt predict] writes results/edge.json

    accuracy   int8 beside float32 on the same tasks, and the sizes of both bundles
    start      import and first prediction of the shipped learner: seconds and peak memory, in a process of its own
    adapt      MAML, 5 inner steps, Conv4-64, 28x28, 5-way: the bundle beside the faster of torch's eager forms, memory too
    predict    one image: the bundle beside eager torch

`adapt` and `predict` take turns, each in a process of its own and on one thread; medians of CPU time. Set QUICKSTUDY_DATA to the
folder that holds `omniglot/` and `cifar100/`. The learner of CIFAR-FS is trained as `CIFAR` says where runs/edge/cifar_fs is missing.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "edge.json"
CIFAR = (
    "--data cifar_fs --learner protonet --ways 16 --shots 1 --queries 5 --draw.augment flip --threads 1 --tasks_per_step 1 --steps 100000 "
    "--minutes 14 --validation.ways 5 --validation.every 150 --validation.tasks 60 --precision bf16-mixed"
)
TASKS, ROUNDS, REPEATS, STEPS = 2000, 3, 7, 5
GOALS = {
    "int8_loss": 0.2,
    "adapt_ratio": 1.0,
    "memory_ratio": 1 / 3,
    "predict_ratio": 2.5,
    "kilobytes": {"float32": 450, "int8": 125},
}
FORMS = ("onnxruntime", "autograd", "autograd, channels last", "func", "func, channels last")
PREDICTORS = ("onnxruntime", "onnxruntime int8", "torch", "torch, channels last")


def accuracy() -> dict[str, Any]:
    """int8 beside float32, task by task."""
    import numpy as np
    import torch

    from quickstudy.export.bundle import to_bundle
    from quickstudy.export.measure import accuracy
    from quickstudy.export.pack import in_8_bits
    from quickstudy.export.source import Source
    from quickstudy.runtime import bundle as bundles
    from quickstudy.runtime.learner import Learner
    from quickstudy.training.saving import load_learner

    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, place in (("omniglot", "omniglot"), ("cifar_fs", str(_cifar()))):
        saved = load_learner(place)
        source = Source(saved, name)
        exact = to_bundle(saved)
        both = {"float32": exact, "int8": in_8_bits(exact, source)}
        with tempfile.TemporaryDirectory() as folder:
            files = {kind: pathlib.Path(folder) / f"{kind}.qs" for kind in both}
            for kind, file in files.items():
                bundles.write(file, both[kind])
            sizes = {kind: round(file.stat().st_size / 1024, 1) for kind, file in files.items()}
        rows = []
        for shots in (1, 5):
            tasks = source.tasks("test", shots, 15)
            first, second = (100 * accuracy(Learner(one), tasks, TASKS).scores for one in both.values())
            loss = first - second
            rows.append(
                {
                    "ways": 5,
                    "shots": shots,
                    "float32": round(float(first.mean()), 3),
                    "int8": round(float(second.mean()), 3),
                    "loss": round(float(loss.mean()), 3),
                    "loss_ci95": round(1.96 * float(np.std(loss, ddof=1)) / TASKS**0.5, 3),
                    "tasks_hash": tasks.fingerprint(TASKS),
                }
            )
        found[name] = {"kilobytes": sizes, "tasks": TASKS, "rows": rows, "trained": saved.info.get("minutes")}
    return found


def _cifar() -> pathlib.Path:
    out = pathlib.Path("runs/edge/cifar_fs")
    if not (out / "learner.safetensors").exists():
        command = [sys.executable, "-m", "quickstudy", "train", "--out", str(out), *CIFAR.split()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def start() -> dict[str, Any]:
    """Import, load, adapt to five images, predict one."""
    with tempfile.TemporaryDirectory() as folder:
        file = _exported("omniglot", pathlib.Path(folder))
        rows = [_child("start", str(file)) for _ in range(2 * ROUNDS + 1)][1:]  # the first fills the file cache
    return {name: round(statistics.median(row[name] for row in rows), 4) for name in rows[0]}


def start_child(file: str) -> dict[str, Any]:
    began = time.perf_counter()
    import numpy as np

    from quickstudy.runtime.learner import Learner

    imported = time.perf_counter()
    images = np.random.default_rng(0).random((5, 28, 28))
    Learner.load(file).adapt(images, list("abcde")).predict(images[:1])
    ready = time.perf_counter()
    assert "torch" not in sys.modules
    return {"import_seconds": imported - began, "until_first_prediction_seconds": ready - began, "peak_megabytes": _peak()}


def adapt() -> dict[str, Any]:
    """CPU time and peak memory of every form, in turns."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = _exported("maml", pathlib.Path(folder))
        for shots in (1, 5):
            rows: dict[str, list[dict[str, Any]]] = {form: [] for form in FORMS}
            for _ in range(ROUNDS):
                for form in FORMS:
                    rows[form].append(_child("adapt", form, str(shots), str(file)))
            found[f"5-way {shots}-shot"] = _compared(rows)
    return found


def adapt_child(form: str, shots: str, file: str) -> dict[str, Any]:
    import numpy as np

    random, count = np.random.default_rng(0), 5 * int(shots)
    x = random.random((count, 1, 28, 28), dtype=np.float32)
    y = np.eye(5, dtype=np.float32)[np.arange(count) % 5]
    if form == "onnxruntime":
        from quickstudy.runtime.learner import Learner

        learner = Learner.load(file)
        settings = {"inner_lr": np.float32(0.1), "inner_steps": np.int64(STEPS)}
        feeds = {"support.image": x, "support.y": y} | {name: np.array(value) for name, value in settings.items()}
        return _timed(lambda: learner.run("adapt", feeds))
    return _timed(_torch_form(form, x, y))


def _torch_form(form: str, x: Any, y: Any) -> Callable[[], Any]:
    """Adapt as the exported learner does, in eager torch: inner steps on all weights, then the statistics of batch norm."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    kind, _, layout = form.partition(", ")
    weights, examples, labels = _torch_weights(layout), torch.from_numpy(x), torch.from_numpy(y).argmax(-1)
    weights |= {"head": torch.zeros(5, 64), "bias": torch.zeros(5)}
    examples = examples.to(memory_format=torch.channels_last) if layout else examples

    def loss(values: dict[str, Any]) -> Any:
        return F.cross_entropy(F.linear(_embedded(values, examples), values["head"], values["bias"]), labels)

    def run() -> None:
        adapted = {name: value.detach() for name, value in weights.items()}
        for _ in range(STEPS):
            if kind == "func":
                gradients = torch.func.grad(loss)(adapted)
            else:
                adapted = {name: value.requires_grad_() for name, value in adapted.items()}
                gradients = dict(zip(adapted, torch.autograd.grad(loss(adapted), list(adapted.values())), strict=True))
            with torch.no_grad():
                adapted = {name: value - 0.1 * gradients[name] for name, value in adapted.items()}
        with torch.no_grad():
            _embedded(adapted, examples)

    return run


def _torch_weights(layout: str) -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    weights: dict[str, Any] = {}
    for block in range(4):
        kernel = torch.randn(64, 64 if block else 1, 3, 3) * 0.06
        weights[f"kernel{block}"] = kernel.to(memory_format=torch.channels_last) if layout else kernel
        weights[f"scale{block}"], weights[f"shift{block}"] = torch.ones(64), torch.zeros(64)
    return weights


def _embedded(values: dict[str, Any], x: Any, statistics: tuple[Any, Any] | None = None) -> Any:
    """Conv4; batch norm by the batch, or by given statistics."""
    import torch.nn.functional as F

    mean, var = statistics or (None, None)
    for block in range(4):
        x = F.conv2d(x, values[f"kernel{block}"], padding=1)
        x = F.batch_norm(x, mean, var, values[f"scale{block}"], values[f"shift{block}"], training=statistics is None)
        x = F.relu(F.max_pool2d(x, 2))
    return x.flatten(1)


def predict() -> dict[str, Any]:
    """One image against five prototypes."""
    rows: dict[str, list[dict[str, Any]]] = {form: [] for form in PREDICTORS}
    with tempfile.TemporaryDirectory() as folder:
        files = {int8: _exported("omniglot", pathlib.Path(folder), int8) for int8 in (False, True)}
        for _ in range(ROUNDS):
            for form in PREDICTORS:
                rows[form].append(_child("predict", form, str(files["int8" in form])))
    return _compared(rows)


def predict_child(form: str, file: str) -> dict[str, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    x, sums = random.random((1, 1, 28, 28), dtype=np.float32), random.random((5, 64), dtype=np.float32)
    if form.startswith("onnxruntime"):
        from quickstudy.runtime.learner import Learner

        learner = Learner.load(file)
        feeds = {"query.image": x, "state.sums": sums, "state.counts": np.ones(5, np.float32)}
        return _timed(lambda: learner.run("predict", feeds), inner=100)
    import torch

    torch.set_num_threads(1)
    layout = form.partition(", ")[2]
    weights, seen = _torch_weights(layout), (torch.zeros(64), torch.ones(64))
    query, prototypes = torch.from_numpy(x), torch.from_numpy(sums)
    query = query.to(memory_format=torch.channels_last) if layout else query

    def run() -> None:
        with torch.inference_mode():
            (_embedded(weights, query, seen).unsqueeze(1) - prototypes).square().sum(-1).neg()

    return _timed(run, inner=100)


def _timed(work: Callable[[], Any], inner: int = 1) -> dict[str, Any]:
    """Milliseconds of CPU and of the clock, for each of some repeats, after two that warm up."""
    for _ in range(2 * inner):
        work()
    cpu, wall = [], []
    for _ in range(REPEATS):
        began, clock = time.process_time(), time.perf_counter()
        for _ in range(inner):
            work()
        cpu.append(1e3 * (time.process_time() - began) / inner)
        wall.append(1e3 * (time.perf_counter() - clock) / inner)
    return {"cpu": cpu, "wall": wall, "peak_megabytes": _peak()}


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _compared(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of each form, and ours beside the best of torch's."""
    found: dict[str, Any] = {}
    for form, runs in rows.items():
        cpu, wall = ([value for run in runs for value in run[kind]] for kind in ("cpu", "wall"))
        found[form] = {
            "cpu_ms": round(statistics.median(cpu), 4),
            "cpu_ms_least": round(min(cpu), 4),
            "wall_ms": round(statistics.median(wall), 4),
            "peak_megabytes": statistics.median(run["peak_megabytes"] for run in runs),
        }
    return found | {"beside": {layout: _beside(found, layout) for layout in ("as it comes", "channels last")}}


def _beside(found: dict[str, Any], layout: str) -> dict[str, Any]:
    """Ours in parts of torch's fastest form in a memory layout: as it comes, or with channels last, for who knows to ask for it."""
    theirs = {
        form: row
        for form, row in found.items()
        if not form.startswith("onnx") and ("channels last" in form) == (layout == "channels last")
    }
    fastest = min(theirs, key=lambda form: theirs[form]["cpu_ms"])
    ours = {form: row for form, row in found.items() if form.startswith("onnx")}
    return {
        "fastest": fastest,
        "time": {form: round(row["cpu_ms"] / theirs[fastest]["cpu_ms"], 3) for form, row in ours.items()},
        "memory": {form: round(row["peak_megabytes"] / theirs[fastest]["peak_megabytes"], 3) for form, row in ours.items()},
    }


def _exported(name: str, folder: pathlib.Path, int8: bool = False) -> pathlib.Path:
    """Return a bundle in the folder, written by a process of its own."""
    file = folder / f"{name}-{int8}.qs"
    subprocess.run([sys.executable, __file__, "export", name, str(file), str(int8)], check=True)
    return file


def export_child(name: str, file: str, int8: str) -> dict[str, Any]:
    import torch

    from quickstudy.export.bundle import to_bundle
    from quickstudy.export.pack import in_8_bits
    from quickstudy.export.source import Source
    from quickstudy.inputs.image import ImageSpec
    from quickstudy.learners.maml import MAML
    from quickstudy.nets.conv4 import Conv4
    from quickstudy.runtime import bundle as bundles
    from quickstudy.training.saving import SavedLearner, load_learner

    torch.manual_seed(0)
    maml = name == "maml"
    saved = SavedLearner(MAML(Conv4(), inner_steps=STEPS), ImageSpec(28, 28, 1)) if maml else load_learner(name)
    bundle = to_bundle(saved)
    bundles.write(file, in_8_bits(bundle, Source(saved)) if int8 == "True" else bundle)
    return {}


def _child(*arguments: str) -> dict[str, Any]:
    ended = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout)


def _machine() -> Iterator[tuple[str, Any]]:
    cpu = pathlib.Path("/proc/cpuinfo")
    models = [line for line in cpu.read_text().splitlines() if line.startswith("model name")] if cpu.exists() else []
    yield "processor", models[0].partition(": ")[2] if models else "unknown"
    yield "cores", os.cpu_count()
    yield "load", [round(load, 1) for load in os.getloadavg()]


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    parts = {"accuracy": accuracy, "start": start, "adapt": adapt, "predict": predict}
    children = {"start": start_child, "adapt": adapt_child, "predict": predict_child, "export": export_child}
    if len(sys.argv) > 2 and sys.argv[1] in children and sys.argv[2] not in parts:
        print(json.dumps(children[sys.argv[1]](*sys.argv[2:])))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in sys.argv[1:] or parts:
        before = dict(_machine())
        results[name] = parts[name]() | {"machine": before, "load_after": dict(_machine())["load"]}
        print(json.dumps({name: results[name]}, indent=1))
        RESULTS.write_text(json.dumps({"command": "python benchmarks/edge.py", "goals": GOALS} | results, indent=1) + "\n")


if __name__ == "__main__":
    main()
