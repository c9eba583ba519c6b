"""What Python makes of a skill that was saved in the browser: python resume.py SKILL CASE."""

import json
import pathlib
import sys
import warnings

import numpy as np

from quickstudy.errors import InputWarning, UnlikeTrainingWarning
from quickstudy.runtime import Skill


def example(plain: dict | list | str) -> np.ndarray | dict | str:
    """Return an example of a case: an image, a row of numbers, a row of a table, or a text."""
    if isinstance(plain, str) or (isinstance(plain, dict) and "data" not in plain):
        return plain
    if isinstance(plain, list):
        return np.array(plain, dtype=np.float32)
    return np.array(plain["data"], dtype=np.uint8).reshape(plain["height"], plain["width"])


def answers(skill: Skill, query: list) -> list:
    """Return logits of classes, or values in their own unit."""
    return (skill.logits(query) if skill.labels else skill.outputs(query)["prediction"]).tolist()


def main() -> None:
    """Print what the skill predicts, before and after it learns more."""
    warnings.simplefilter("ignore", UnlikeTrainingWarning)  # the case's images are noise
    warnings.simplefilter("ignore", InputWarning)  # and one of its texts is cut
    case = json.loads(pathlib.Path(sys.argv[2]).read_text())
    skill = Skill.load(sys.argv[1])
    query = [example(plain) for plain in case["query"]]
    found = {"labels": skill.labels, "logits": answers(skill, query)}
    skill.add([example(plain) for plain in case["more"]], case["moreLabels"])
    found["logitsAfterMore"] = answers(skill, query)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
