"""What every contestant is given: the same starting weights, the same tasks, the same image files."""

from __future__ import annotations

import pathlib
import zipfile

import numpy as np
import torch
from PIL import Image
from torch import nn
from works import Work

from quickstudy.data import load
from quickstudy.data.places import find
from quickstudy.tasks.classes import ClassTasks


def files_for(work: Work, folder: pathlib.Path) -> dict[str, str]:
    """Paths of what a work needs, made where it is missing: `weights` and `data` (npz), `images` (folder)."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"weights-{work.net}-{work.ways}-{work.seed}.npz"
    if not weights.exists():
        np.savez(weights, **starting_weights(work))  # pyright: ignore[reportArgumentType]
    if work.kind == "race":
        return {"weights": str(weights), "images": str(_training_images(folder / "omniglot-train"))}
    if work.kind in ("protonet", "sampling"):
        return {"weights": str(weights), "images": str(_images(folder / "omniglot"))}
    data = folder / f"tasks-{'sinusoid' if work.net == 'mlp' else 'omniglot'}-{work.shots}-{work.queries}-{work.tasks}.npz"
    if not data.exists():
        np.savez(data, **(_sinusoids(work) if work.net == "mlp" else _characters(work)))  # pyright: ignore[reportArgumentType]
    return {"weights": str(weights), "data": str(data)}


def starting_weights(work: Work) -> dict[str, np.ndarray]:
    """torch's own initialisation, under the names of `contestants/_torch.py`; convolutions `[out, in, height, width]`."""
    torch.manual_seed(work.seed)
    weights = {}
    if work.net == "mlp":
        layers: dict[str, nn.Module] = {"body.linear0": nn.Linear(1, 40), "body.linear1": nn.Linear(40, 40)}
        layers["head"] = nn.Linear(40, 1)
    else:
        layers = {f"body.conv{i}": nn.Conv2d(1 if i == 0 else 64, 64, 3, bias=False) for i in range(4)}
        layers |= {f"body.norm{i}": nn.BatchNorm2d(64, track_running_stats=False) for i in range(4)}
        layers["head"] = nn.Linear(64 if work.net == "pool" else 64 * 4, work.ways)
    for name, layer in layers.items():
        weights |= {f"{name}.{part}": value.detach().numpy() for part, value in layer.named_parameters()}
    return weights


def _characters(work: Work) -> dict[str, np.ndarray]:
    """Omniglot tasks: `x` float32 `[task, example, 1, 28, 28]`, `y` int64 `[task, example]`."""
    source = ClassTasks(load("omniglot", "train"), work.ways, work.shots, work.queries, seed=work.seed)
    tasks = source.batch(range(work.tasks))
    return {
        "support_x": np.asarray(tasks.support.x),
        "support_y": tasks.support.y.rows.argmax(-1).numpy(),
        "query_x": np.asarray(tasks.query.x),
        "query_y": tasks.query.y.rows.argmax(-1).numpy(),
    }


def _sinusoids(work: Work) -> dict[str, np.ndarray]:
    """Finn et al. 2017, section 5.1: amplitude in [0.1, 5], phase in [0, pi], x in [-5, 5]; all float32 `[task, example, 1]`."""
    generator = np.random.default_rng(work.seed)
    amplitude = generator.uniform(0.1, 5.0, (work.tasks, 1, 1))
    phase = generator.uniform(0.0, np.pi, (work.tasks, 1, 1))
    x = generator.uniform(-5.0, 5.0, (work.tasks, work.shots + work.queries, 1))
    y = amplitude * np.sin(x - phase)
    x, y = x.astype(np.float32), y.astype(np.float32)
    split = work.shots
    return {"support_x": x[:, :split], "support_y": y[:, :split], "query_x": x[:, split:], "query_y": y[:, split:]}


def _images(folder: pathlib.Path) -> pathlib.Path:
    """Omniglot's background set as PNG files, `<alphabet>/<character>/<drawing>.png`, extracted once."""
    inside = folder / "images_background"
    if not (folder / "complete").exists():
        archive = find("omniglot", "images_background.zip")
        if archive is None:
            raise SystemExit("images_background.zip is not in the data folder; set QUICKSTUDY_DATA, or load omniglot once.")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        (folder / "complete").touch()
    return inside


def _training_images(folder: pathlib.Path) -> pathlib.Path:
    """Vinyals' training characters and their rotations, `<alphabet>/<character>/<drawing>.png` of 28x28 pixels, written once."""
    if not (folder / "complete").exists():
        dataset = load("omniglot", "train")
        images = np.split(dataset.examples["image"], dataset.starts[1:])
        for name, drawings in zip(dataset.classes, images, strict=True):
            alphabet, _, character = name.partition("/")
            place = folder / "images" / alphabet / character.replace("/", "_")
            place.mkdir(parents=True, exist_ok=True)
            for number, drawing in enumerate(drawings):
                Image.fromarray(drawing[:, :, 0]).save(place / f"{number:02d}.png")
        (folder / "complete").touch()
    return folder / "images"
