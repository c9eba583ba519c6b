"""Bundles, and what Python makes of them, for the tests in the browser: python fixtures.py FOLDER."""

import dataclasses
import json
import pathlib
import sys

import numpy as np
import torch

from quickstudy import FewShotClassifier
from quickstudy.export.bundle import to_bundle
from quickstudy.export.onnx.int8 import to_int8
from quickstudy.inputs.image import ImageSpec, load_image
from quickstudy.learners.maml import MAML
from quickstudy.nets.conv4 import Conv4
from quickstudy.objectives.classes import one_hot
from quickstudy.runtime import Learner, bundle
from quickstudy.runtime.manifest import Unknown
from quickstudy.task import Examples, Task
from quickstudy.training.saving import SavedLearner, load_learner

WAYS, SHOTS, QUERIES = 5, 2, 6
SIZE = (45, 37)
"""Height and width of the images given, so that both sides must make them smaller."""


def images(count: int, seed: int) -> np.ndarray:
    """Grey noise with structure, uint8 `[image, height, width]`."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((count, 5, 5)).repeat(9, axis=1).repeat(8, axis=2)[:, : SIZE[0], : SIZE[1]]
    return (255 * (0.7 * coarse + 0.3 * rng.random((count, *SIZE)))).astype(np.uint8)


def plain(pixels: np.ndarray) -> dict[str, object]:
    return {"height": pixels.shape[0], "width": pixels.shape[1], "data": pixels.ravel().tolist()}


def case(folder: pathlib.Path, name: str, saved: SavedLearner) -> None:
    """A bundle, a first and a second set of examples, and logits after each."""
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


def quantised(folder: pathlib.Path) -> None:
    """The prototypes in 8 bits, and what onnxruntime makes of them in Python."""
    exact = bundle.read(folder / "prototypes.qs")
    spec = exact.manifest.input
    x = torch.from_numpy(spec.to_network(spec.read_all(images(50, 4), ink="light"))["image"])
    examples = Examples(x, one_hot(torch.arange(50) % WAYS, WAYS))
    small = to_int8(exact, [Task(examples, examples)])
    bundle.write(folder / "int8.qs", small)
    expected = json.loads((folder / "prototypes.json").read_text())
    task = Learner(small).adapt(images(WAYS * SHOTS, 1), expected["labels"], ink="light")
    (folder / "int8.json").write_text(json.dumps(expected | {"predicted": task.predict(images(QUERIES, 3))}))


def unknown(folder: pathlib.Path) -> None:
    """The prototypes, calibrated so that about half of the queries belong to no class."""
    known = bundle.read(folder / "prototypes.qs")
    logits = np.array(json.loads((folder / "prototypes.json").read_text())["logits"])
    calibrated = Unknown(threshold=float(np.median(logits.max(axis=1))), rejected=0.5, detected=0.5, tasks="queries of a test")
    manifest = known.manifest.model_copy(update={"unknown": calibrated})
    bundle.write(folder / "unknown.qs", dataclasses.replace(known, manifest=manifest))


def pixels(folder: pathlib.Path) -> None:
    """What load_image makes of arrays of many sizes and kinds."""
    rng = np.random.default_rng(0)
    shapes = [(28, 28), (105, 105), (13, 90), (64, 20, 3), (50, 41, 4), (31, 30, 2), (90, 30), (90, 120, 3), (1, 1)]
    found = []
    for shape in shapes:
        array = rng.integers(0, 256, shape, dtype=np.uint8)
        for channels, own, given in ((1, "dark", "dark"), (1, "dark", "light"), (1, "light", "light"), (3, "light", "dark")):
            spec = ImageSpec(28, 24, channels, own)
            stored = load_image(array, spec, ink=given)
            found.append({"image": plain(array), "input": spec.to_dict(), "ink": given, "stored": stored.ravel().tolist()})
    (folder / "pixels.json").write_text(json.dumps(found))


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    spec = ImageSpec(28, 28, 1, "dark")
    case(folder, "prototypes", load_learner("omniglot"))
    # small steps: on random weights, large ones magnify rounding until torch in 32 bits is not torch in 64 bits
    case(folder, "maml", SavedLearner(MAML(Conv4(), inner_lr=0.02, inner_steps=5), spec))
    quantised(folder)
    unknown(folder)
    pixels(folder)


if __name__ == "__main__":
    main()
