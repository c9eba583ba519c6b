"""Bundles, and what Python makes of them, for the tests in the browser: python fixtures.py FOLDER."""

import dataclasses
import json
import pathlib
import shutil
import sys
import warnings

import numpy as np
import torch
from sounds import sounds
from tables import tables
from texts import texts

from quickstudy import FewShotClassifier
from quickstudy.errors import UnlikeTrainingWarning
from quickstudy.export.bundle import to_bundle
from quickstudy.export.onnx.int8 import to_int8
from quickstudy.inputs import InputSpec
from quickstudy.inputs.image import ImageSpec, load_image
from quickstudy.inputs.rows import RowsSpec
from quickstudy.inputs.table import TableSpec
from quickstudy.learners.maml import MAML
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import one_hot
from quickstudy.runtime import Learner, bundle, pretrained
from quickstudy.runtime.manifest import Unknown
from quickstudy.targets import ValueScale
from quickstudy.task import Examples, Task
from quickstudy.training.saving import SavedLearner, load_learner

WAYS, SHOTS, QUERIES = 5, 2, 6
SIZE = (45, 37)
"""Height and width of the images given, so that both sides must make them smaller."""


def images(count: int, seed: int) -> np.ndarray:
    """Return grey noise with structure, uint8 `[image, height, width]`."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((count, 5, 5)).repeat(9, axis=1).repeat(8, axis=2)[:, : SIZE[0], : SIZE[1]]
    return (255 * (0.7 * coarse + 0.3 * rng.random((count, *SIZE)))).astype(np.uint8)


def plain(pixels: np.ndarray) -> dict[str, object]:
    """Return an image as the tests read it."""
    return {"height": pixels.shape[0], "width": pixels.shape[1], "data": pixels.ravel().tolist()}


def case(folder: pathlib.Path, name: str, saved: SavedLearner) -> None:
    """Write a bundle, a first and a second set of examples, and the logits after each."""
    bundle.write(folder / f"{name}.qs", to_bundle(saved))
    support, more, query = images(WAYS * SHOTS, 1), images(3, 2), images(QUERIES, 3)
    labels, more_labels = [f"class {way}" for way in range(WAYS)] * SHOTS, ["class 1", "a newcomer", "class 4"]
    classifier = FewShotClassifier(saved, ink="light").fit(support, labels)
    expected = {
        "support": [plain(pixels) for pixels in support],
        "labels": labels,
        "more": [plain(pixels) for pixels in more],
        "moreLabels": more_labels,
        "query": [plain(pixels) for pixels in query],
        "logits": classifier.skill_.logits(query).tolist(),
    }
    classifier.partial_fit(more, more_labels)
    expected |= {"logitsAfterMore": classifier.skill_.logits(query).tolist(), "classes": classifier.skill_.labels}
    (folder / f"{name}.json").write_text(json.dumps(expected))


def values(folder: pathlib.Path) -> None:
    """Write learners of values, two sets of examples for each, and the values that Python predicts after each.

    One takes rows of numbers and sees values as they are, one takes rows of a table and sees values at the scale of its training, and one
    ships and takes any table.
    """
    rng = np.random.default_rng(6)
    sets = [rng.normal(size=(count, 3)).astype(np.float32) for count in (8, 3, QUERIES)]
    y, more_y = np.sin(sets[0][:, :2]), np.cos(sets[1][:, :2])
    learner = MAML(MLP(3, hidden=(16,)), head_ways=2, inner_lr=0.02, inner_steps=5)
    bundle.write(folder / "values.qs", to_bundle(SavedLearner(learner, RowsSpec(3), target="values")))
    answered(folder / "values.qs", [rows.tolist() for rows in sets], y, more_y)
    tables = [[{"hour": float(row[0]), "meal": ["early", "late"][int(row[1] > 1)]} for row in rows] for rows in sets]
    spec = TableSpec.of(tables[0])
    scale = ValueScale.of(["glucose", "insulin"], y * [40.0, 3.0] + [120.0, 9.0])
    learner = MAML(MLP(spec.features, hidden=(16,)), head_ways=2, inner_lr=0.02, inner_steps=5)
    saved = SavedLearner(learner, spec, target="values", scale=scale)
    bundle.write(folder / "glucose.qs", to_bundle(saved))
    answered(folder / "glucose.qs", tables, scale.restored(y), scale.restored(more_y))
    shutil.copy(pretrained.find("table_values"), folder / "table_values.qs")
    answered(folder / "table_values.qs", tables, y, more_y)


def answered(file: pathlib.Path, sets: list[list], y: np.ndarray, more_y: np.ndarray) -> None:
    """Write what a learner of values predicts for the last set after it learned the first, and the second too."""
    support, more, query = sets
    given = [rows if isinstance(rows[0], dict) else np.array(rows, dtype=np.float32) for rows in sets]
    skill = Learner.load(file).adapt(given[0], y)
    found = {"support": support, "labels": y.tolist(), "more": more, "moreLabels": more_y.tolist(), "query": query}
    found["logits"] = skill.outputs(given[2])["prediction"].tolist()
    found["logitsAfterMore"] = skill.add(given[1], more_y).outputs(given[2])["prediction"].tolist()
    file.with_suffix(".json").write_text(json.dumps(found))


def quantised(folder: pathlib.Path) -> None:
    """Write the prototypes in 8 bits, and what onnxruntime makes of them in Python."""
    exact = bundle.read(folder / "prototypes.qs")
    spec = exact.manifest.input
    x = torch.from_numpy(spec.to_network(spec.read_all(images(50, 4), ink="light"))["image"])
    examples = Examples(x, one_hot(torch.arange(50) % WAYS, WAYS))
    small = to_int8(exact, [Task(examples, examples)])
    bundle.write(folder / "int8.qs", small)
    expected = json.loads((folder / "prototypes.json").read_text())
    skill = Learner(small).adapt(images(WAYS * SHOTS, 1), expected["labels"], ink="light")
    (folder / "int8.json").write_text(json.dumps(expected | {"predicted": skill.predict(images(QUERIES, 3))}))


def unknown(folder: pathlib.Path) -> None:
    """Write the prototypes, calibrated so that about half of the queries belong to no class."""
    known = bundle.read(folder / "prototypes.qs")
    logits = np.array(json.loads((folder / "prototypes.json").read_text())["logits"])
    calibrated = Unknown(threshold=float(np.median(logits.max(axis=1))), rejected=0.5, detected=0.5, tasks="queries of a test")
    manifest = known.manifest.model_copy(update={"unknown": calibrated})
    bundle.write(folder / "unknown.qs", dataclasses.replace(known, manifest=manifest))


def pixels(folder: pathlib.Path) -> None:
    """Write what load_image makes of arrays of many sizes and kinds, and what a network sees of it."""
    rng = np.random.default_rng(0)
    shapes = [(28, 28), (105, 105), (13, 90), (64, 20, 3), (50, 41, 4), (31, 30, 2), (90, 30), (90, 120, 3), (1, 1)]
    found = []
    for shape in shapes:
        array = rng.integers(0, 256, shape, dtype=np.uint8)
        for channels, own, given in ((1, "dark", "dark"), (1, "dark", "light"), (1, "light", "light"), (3, "light", "dark")):
            spec = ImageSpec(28, 24, channels, own)
            stored = load_image(array, spec, ink=given)
            seen = spec.to_network({"image": stored[None]})["image"]
            found.append(
                {
                    "image": plain(array),
                    **described(spec),
                    "ink": given,
                    "stored": stored.ravel().tolist(),
                    "seen": seen.ravel().tolist(),
                }
            )
    (folder / "pixels.json").write_text(json.dumps(found))


def described(spec: InputSpec) -> dict[str, object]:
    """Return a spec and its layout, as a manifest holds them."""
    layout = {name: part.model_dump(mode="json") for name, part in spec.layout().items()}
    return {"input": spec.model_dump(mode="json"), "layout": layout}


def warm(folder: pathlib.Path) -> None:
    """Write the prototypes at a temperature that follows the ways, and Python's probabilities."""
    known = bundle.read(folder / "prototypes.qs")
    changed = dataclasses.replace(
        known, manifest=known.manifest.model_copy(update={"temperature": 2.5 * WAYS**0.5, "temperature_power": -0.5})
    )
    bundle.write(folder / "warm.qs", changed)
    expected = json.loads((folder / "prototypes.json").read_text())
    skill = Learner(changed).adapt(images(WAYS * SHOTS, 1), expected["labels"], ink="light")
    probabilities = skill.predict_proba(images(QUERIES, 3)).tolist()
    (folder / "warm.json").write_text(json.dumps(expected | {"probabilities": probabilities}))


def kept(folder: pathlib.Path) -> None:
    """Write a skill of the prototypes that keeps its examples, though the prototypes would not forget them."""
    expected = (folder / "prototypes.json").read_text()
    learner = Learner.load(folder / "prototypes.qs")
    learner.adapt(images(WAYS * SHOTS, 1), json.loads(expected)["labels"], ink="light", keep=True).save(folder / "kept.qs")
    (folder / "kept.json").write_text(expected)


def unlike(folder: pathlib.Path) -> None:
    """Write statistics of several sets of examples, and what Python warns of if a learner was trained on the first of them."""
    rng = np.random.default_rng(5)
    strokes = 255 - 255 * (rng.random((7, 28, 25, 1)) < 0.15).astype(np.uint8)  # dark on light
    strokes[:, :3] = strokes[:, -3:] = strokes[:, :, :3] = strokes[:, :, -3:] = 255
    photos = rng.integers(40, 200, (6, 9, 10, 3), dtype=np.uint8)
    rows = rng.normal(3, 2, (40, 6)).astype(np.float32)
    sets = [
        (ImageSpec(28, 25, 1, "dark"), [strokes, 255 - strokes, np.full_like(strokes, 120), strokes[:1]]),
        (ImageSpec(28, 25, 1, "light"), [255 - strokes, strokes, 255 - strokes // 2]),
        (ImageSpec(9, 10, 3), [photos, photos // 4, 255 - photos // 8]),
        (RowsSpec(6), [rows, rows * 100, rows * 1e7, rows + 60, rows / 30, rows / 1e6, rows[:3], rows[:1] / 1e6]),
    ]
    found = []
    for spec, given in sets:
        trained = spec.statistics({spec.kind: given[0]})
        for number, stored in enumerate(given):
            found.append(
                {
                    "name": f"{spec}, set {number}",
                    **described(spec),
                    "shape": stored.shape,
                    "stored": stored.ravel().tolist(),
                    "statistics": spec.statistics({spec.kind: stored}),
                    "trained": trained,
                    "warning": spec.unlike(trained, {spec.kind: stored}),
                }
            )
    (folder / "unlike.json").write_text(json.dumps(found))


def main() -> None:
    """Write everything that the tests read."""
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    warnings.simplefilter("ignore", UnlikeTrainingWarning)  # noise is no drawing
    spec = ImageSpec(28, 28, 1, "dark")
    case(folder, "prototypes", load_learner("omniglot"))
    # small steps: on random weights, large ones magnify rounding until torch in 32 bits is not torch in 64 bits
    case(folder, "maml", SavedLearner(MAML(Conv4(), inner_lr=0.02, inner_steps=5), spec))
    values(folder)
    quantised(folder)
    unknown(folder)
    warm(folder)
    kept(folder)
    pixels(folder)
    unlike(folder)
    texts(folder)
    tables(folder)
    sounds(folder)


if __name__ == "__main__":
    main()
