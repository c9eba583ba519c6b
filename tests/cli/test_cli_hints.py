"""Every command that the program prints works when it is pasted: it is split as a shell splits it and run as it is.

The commands of the demo and of an interrupted training are run in their own tests.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
from builders import DESCENT

from quickstudy.cli import _data, _tasks
from quickstudy.data.dataset import DataWarning
from quickstudy.errors import StorageError
from quickstudy.training.best import Best

Call = Callable[..., Any]


@pytest.fixture
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Return an empty folder with a space in its name, where the process stands."""
    (tmp_path / "my place").mkdir()
    monkeypatch.chdir(tmp_path / "my place")
    _data.forget()  # a process of one command keeps data by its relative path
    return tmp_path / "my place"


def drawings(root: pathlib.Path, classes: int, images: int, size: int = 18) -> pathlib.Path:
    """Write classes of dark strokes on white, in folders whose names need quotes."""
    for number in range(classes):
        rng = np.random.default_rng(number)
        pattern = rng.random((size, size)) < 0.3
        (root / f"class {number}").mkdir(parents=True)
        for image in range(images):
            noise = np.random.default_rng(1000 * number + image).random((size, size)) < 0.05
            pixels = np.where(pattern ^ noise, 0, 255).astype(np.uint8)
            PIL.Image.fromarray(pixels).save(root / f"class {number}" / f"image {image}.png")
    return root


OWN = {"size": 16, "channels": 1, "ink": "dark", "queries": 1, "steps": 2}
CASES: dict[str, tuple[int, int, dict[str, object], str]] = {
    "twelve classes": (12, 22, {"validation__split": "null"}, "--split test --ways 2 --shots 1 5$"),
    "few images": (12, 6, {}, "--split test --ways 2 --shots 1 5 --queries 1$"),
    "two images": (12, 2, {"validation__split": "null"}, "--split test --ways 2 --shots 1 --queries 1$"),
    "all are trained on": (2, 3, {"split": "all", "validation__split": "null"}, "--split all --ways 2 --shots 1 --queries 2$"),
    "a fixed head": (12, 22, {"learner": DESCENT, "learner__head_ways": 2}, "--split test --ways 2 --shots 1 5$"),
    "a head that the test split is too small for": (
        *(12, 6, {"learner": DESCENT, "learner__head_ways": 6, "ways": 6, "validation__split": "null"}),
        "--split train --ways 6 --shots 1 5 --queries 1$",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_train_prints_fits_the_data(cli: Call, pasted: Call, train: Call, place: pathlib.Path, case: str) -> None:
    classes, images, changes, expected = CASES[case]
    drawings(place / "my drawings", classes, images)
    outcome = cli(*train(pathlib.Path("my run"), data="my drawings", **(OWN | changes)))
    assert outcome.code == 0, outcome
    known = "--split test" not in expected  # there are no other classes to evaluate on
    with pytest.warns(DataWarning, match="trained on") if known else contextlib.nullcontext():
        (command,) = pasted(outcome.out, ("--tasks", "3"))
    assert command.startswith("quickstudy evaluate 'my run' --data 'my drawings' --split ")
    assert re.search(expected, command)


def test_a_folder_with_splits_of_its_own_but_no_validation(cli: Call, pasted: Call, train: Call, place: pathlib.Path) -> None:
    drawings(place / "d" / "train", 4, 3)
    drawings(place / "d" / "other", 3, 3)
    for folder in sorted((place / "d" / "other").iterdir()):
        (place / "d" / "test").mkdir(exist_ok=True)
        folder.rename(place / "d" / "test" / f"{folder.name} too")
    (place / "d" / "other").rmdir()
    refused = cli(*train(pathlib.Path("r"), data="d", **OWN))
    assert refused.code == 2
    assert "--validation.split" in refused.err
    outcome = cli(*train(pathlib.Path("r"), data="d", **OWN, validation__split="null"))
    (command,) = pasted(outcome.out, ("--tasks", "3"))
    assert "--split test --ways 3 --shots 1 --queries 2" in command


def test_the_polarity_of_own_images_is_kept(cli: Call, pasted: Call, train: Call, place: pathlib.Path) -> None:
    drawings(place / "mine", 12, 8)
    trained = cli(*train(pathlib.Path("r"), data="mine", **(OWN | {"queries": 3})))
    (hint,) = pasted(trained.out, ("--tasks", "2"))
    said, inverted = (cli(*shlex.split(hint)[1:], "--tasks", "20", "--json", *ink) for ink in ((), ("--ink", "light")))
    declared = cli(*shlex.split(hint)[1:], "--tasks", "20", "--json", "--ink", "dark", "--size", 16)
    assert said.out == declared.out
    assert inverted.out != said.out


def test_what_train_prints_for_tasks_without_data(cli: Call, pasted: Call, place: pathlib.Path) -> None:
    options = ("--learner", DESCENT, "--steps", "2", "--validation.tasks", "2", "--out", "my curves")
    outcome = cli("train", "--tasks", "sinusoid", *options)
    assert pasted(outcome.out, ("--tasks", "3")) == ["quickstudy evaluate 'my curves'"]


def test_where_the_known_data_is_stays_in_the_hint(cli: Call, pasted: Call, place: pathlib.Path) -> None:
    options = ("--net.channels", "4", "--ways", "2", "--queries", "1", "--steps", "1", "--data_dir", "my data")
    outcome = cli("train", "--data", "digits", *options, "--validation.tasks", "2", "--out", "r")
    (command,) = pasted(outcome.out, ("--tasks", "3"))
    assert "--data digits --data_dir 'my data' --split test" in command


def test_what_adapt_prints(cli: Call, pasted: Call, place: pathlib.Path) -> None:
    drawings(place / "my drawings", 2, 2)
    outcome = cli("adapt", "omniglot", "my drawings", "-o", "my task.qs", "--ink", "dark")
    assert outcome.code == 0, outcome
    (command,) = pasted(outcome.out)
    assert command.startswith("quickstudy predict 'my task.qs' 'my drawings/class 0/image 0.png'")


@pytest.mark.filterwarnings("ignore::quickstudy.errors.UnlikeTrainingWarning")  # drawings are no patterns
def test_what_export_prints(cli: Call, pasted: Call, finished: pathlib.Path, place: pathlib.Path) -> None:
    outcome = cli("export", finished, "-o", "my learner.qs")
    assert pasted(outcome.out) == ["quickstudy info 'my learner.qs'"]
    (then,) = re.findall(r"^then: (quickstudy .*?)    \(", outcome.out, re.MULTILINE)
    drawings(place / "MY-CLASSES", 2, 2, size=16)
    assert cli(*shlex.split(then)[1:]).code == 0


def test_what_export_of_a_learner_of_values_prints(cli: Call, place: pathlib.Path) -> None:
    options = ("--learner", DESCENT, "--steps", "1", "--validation.tasks", "2", "--out", "curves")
    assert cli("train", "--tasks", "sinusoid", *options).code == 0
    outcome = cli("export", "curves", "-o", "curves.qs")
    assert "then: in Python, quickstudy.runtime.Learner.load('curves.qs').adapt(x, y)" in outcome.out
    assert "this learner predicts values" in outcome.out
    assert "ways" not in cli("export", "curves", "--target", "c", "-o", "firmware").out


def test_a_run_that_is_there_already_is_answered_with_how_to_go_on(
    cli: Call, refused: Call, train: Call, place: pathlib.Path
) -> None:
    drawings(place / "mine", 12, 8)
    words = train(pathlib.Path("my run"), data="mine", **OWN)
    assert cli(*words).code == 0
    message = refused(*words)
    assert message.endswith("go on with: quickstudy train --resume 'my run'\n")
    assert cli("train", "--resume", "my run").code == 0
    (place / "my run" / "learner.safetensors").unlink()
    for verb in ("info", "evaluate", "export"):
        message = refused(verb, "my run", *(("-o", "x.qs") if verb == "export" else ()))
        assert "holds a run that has saved no learner yet" in message
        assert message.endswith("Go on with: quickstudy train --resume 'my run'\n")


def test_resume_alone_goes_on_in_the_usual_folder(cli: Call, refused: Call, train: Call, place: pathlib.Path) -> None:
    assert "runs/latest holds no run to resume" in refused("train", "--resume")
    drawings(place / "mine", 12, 8)
    words = [word for word in train(pathlib.Path("r"), data="mine", **OWN) if word not in ("--out", "r")]
    assert cli(*words).code == 0
    assert cli("train", "--resume").code == 0


def test_a_full_disk_is_answered_with_how_to_go_on(
    cli: Call, refused: Call, train: Call, place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings(place / "mine", 12, 8)

    def full(*_: object) -> None:
        raise StorageError("could not write r/learner.safetensors: No space left on device; nothing was written.")

    with monkeypatch.context() as patch:
        patch.setattr(Best, "keep", full)
        message = refused(*train(pathlib.Path("r"), data="mine", **OWN), code=1)
    assert message.endswith("Then go on with: quickstudy train --resume r\n")
    assert cli("train", "--resume", "r").code == 0


def test_what_export_to_c_prints(cli: Call, pasted: Call, place: pathlib.Path) -> None:
    outcome = cli("export", "omniglot", "--target", "c", "--ways", "2", "--examples", "2", "-o", "my firmware")
    assert pasted(outcome.out)[0].startswith("cc -O2 -o 'my firmware/example' ")
    assert (place / "my firmware" / "example").is_file()


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        (100, "--shots 1 5"),
        (20, "--shots 1 5"),
        (19, "--shots 1 5 --queries 14"),
        (6, "--shots 1 5 --queries 1"),
        (5, "--shots 1 --queries 4"),
        (2, "--shots 1 --queries 1"),
    ],
)
def test_shots_and_queries_fit_the_smallest_class(least: int, expected: str) -> None:
    assert " ".join(map(str, _tasks._examples(least))) == expected
