"""name images by what a task learned: quickstudy predict mine.task photo1.png photo2.jpg"""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.cli import _output, _parser
from quickstudy.cli.adapt import Classifier, open_task
from quickstudy.errors import ConfigError
from quickstudy.runtime.classifier import FewShotClassifier


def run(arguments: Sequence[str]) -> None:
    """Print the most likely class of each image, its probability, and the runner-up."""
    parser = _parser.make_parser("predict", __doc__)
    parser.add_argument("task", type=str, help="file that quickstudy adapt wrote")
    parser.add_argument("images", type=str, nargs="+", help="image files, of any size")
    parser.add_argument(
        "--ink", type=str | None, default=None, help="your images are drawn dark on light (dark) or light on dark (light)"
    )
    parser.add_argument("--unknown", type=bool, default=False, help="say so where an image belongs to no class (null in JSON)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    classifier = open_task(options.task, options.ink)
    probabilities = classifier.predict_proba(options.images)
    unknown = _unknown(classifier, options.images, options.task) if options.unknown else [False] * len(options.images)
    classes = [str(label) for label in classifier.classes_]
    if options.json:
        rows = [
            {
                "image": image,
                "class": None if strange else classes[row.argmax()],
                "probabilities": dict(zip(classes, row.tolist(), strict=True)),
            }
            for image, row, strange in zip(options.images, probabilities, unknown, strict=True)
        ]
        _output.as_json({"task": options.task, "predictions": rows})
        return
    table = []
    for image, row, strange in zip(options.images, probabilities, unknown, strict=True):
        order = row.argsort()[::-1]
        second = f"{classes[order[1]]} ({100 * row[order[1]]:.1f} %)" if len(order) > 1 else "-"
        table.append((image, "unknown" if strange else classes[order[0]], f"{100 * row[order[0]]:.1f} %", second))
    _output.table(("image", "class", "probability", "runner-up"), table)


def _unknown(classifier: Classifier, images: Sequence[str], task: str) -> list[bool]:
    """Which images belong to no class."""
    if not isinstance(classifier, FewShotClassifier):
        raise ConfigError(
            f"{task} has no threshold for unknown classes; adapt a bundle, which quickstudy export --data writes."
        )
    return classifier.is_unknown(images).tolist()
