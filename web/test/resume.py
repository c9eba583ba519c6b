"""What Python makes of a task that was saved in the browser: python resume.py TASK CASE."""

import json
import pathlib
import sys

import numpy as np

from quickstudy.runtime import Skill


def pixels(plain: dict) -> np.ndarray:
    return np.array(plain["data"], dtype=np.uint8).reshape(plain["height"], plain["width"])


def main() -> None:
    case = json.loads(pathlib.Path(sys.argv[2]).read_text())
    task = Skill.load(sys.argv[1])
    query = [pixels(plain) for plain in case["query"]]
    found = {"labels": task.labels, "logits": task.logits(query).tolist()}
    task.add([pixels(plain) for plain in case["more"]], case["moreLabels"])
    found["logitsAfterMore"] = task.logits(query).tolist()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
