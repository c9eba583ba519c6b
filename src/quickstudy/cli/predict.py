"""Name images by what a skill knows: quickstudy predict mine.qs photo1.png photo2.jpg"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quickstudy.cli import _data, _output, _parser
from quickstudy.cli.adapt import open_skill


def run(arguments: Sequence[str]) -> None:
    """Print the most likely class of each file, its probability, and the runner-up."""
    parser = _parser.make_parser("predict", __doc__)
    parser.add_argument("skill", type=str, help="file that quickstudy adapt wrote")
    parser.add_argument("files", type=str, nargs="+", help="files of one example each, such as photos of any size")
    _data.add_readings(parser)
    parser.add_argument("--unknown", type=bool, default=False, help="say so if an example belongs to no class (null in JSON)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    skill = open_skill(options.skill, **_data.readings(options))
    probabilities = skill.predict_proba(options.files)
    strange = skill.unknown(options.files) if options.unknown else np.zeros(len(options.files), bool)
    classes = [str(label) for label in skill.labels]
    if options.json:
        rows = [
            {
                "file": file,
                "class": None if none else classes[row.argmax()],
                "probabilities": dict(zip(classes, row.tolist(), strict=True)),
            }
            for file, row, none in zip(options.files, probabilities, strange, strict=True)
        ]
        _output.as_json({"skill": options.skill, "predictions": rows})
        return
    table = []
    for file, row, none in zip(options.files, probabilities, strange, strict=True):
        order = row.argsort()[::-1]
        second = f"{classes[order[1]]} ({100 * row[order[1]]:.1f} %)" if len(order) > 1 else "-"
        table.append((file, "unknown" if none else classes[order[0]], f"{100 * row[order[0]]:.1f} %", second))
    _output.table(("file", "class", "probability", "runner-up"), table)
