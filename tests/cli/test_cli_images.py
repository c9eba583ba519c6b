"""quickstudy adapt and predict on real image files: any size, colour or grey, alpha, dark on light or light on dark as declared."""

from __future__ import annotations

import json
import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
from builders import DESCENT, PROCESS, PROTOTYPES, Prototypes

from quickstudy import (
    FewShotClassifier,
    FewShotRegressor,
    ImageSpec,
    SavedLearner,
    UnlikeTrainingWarning,
    discovery,
    save_learner,
    storage,
)
from quickstudy.cli import _plain_warning
from quickstudy.data import DataWarning
from quickstudy.nets.identity import Identity

Call = Callable[..., Any]


@pytest.fixture
def learner(tmp_path: pathlib.Path) -> pathlib.Path:
    """Nearest class mean on 16x16 pixels of drawings, dark on light."""
    save_learner(tmp_path / "pixels.safetensors", SavedLearner(Prototypes(Identity(256)), ImageSpec(16, 16, 1, "dark")))
    return tmp_path / "pixels.safetensors"


@pytest.fixture
def task(cli: Call, learner: pathlib.Path, picture: Call, tmp_path: pathlib.Path) -> pathlib.Path:
    """Upright against level strokes, from unequal numbers of files of every kind."""
    picture("support/upright/1.png", upright=True)
    picture("support/upright/2.jpg", upright=True, size=(64, 30), mode="RGB")
    picture("support/upright/3.png", upright=True, mode="RGBA")
    picture("support/level/1.png", upright=False, size=(9, 50))
    (tmp_path / "support" / "level" / "notes.txt").write_text("not an image")
    (tmp_path / "support" / ".hidden").mkdir()
    with pytest.warns(DataWarning, match=r"1 file was not looked at, .*: \.txt \(1\)"):
        outcome = cli("adapt", learner, tmp_path / "support", "-o", tmp_path / "mine.qs")
    assert outcome.code == 0, outcome
    assert f"learned: {tmp_path / 'mine.qs'}" in outcome.out
    assert f"quickstudy predict {tmp_path / 'mine.qs'} {tmp_path / 'support' / 'level' / '1.png'}" in outcome.out
    return tmp_path / "mine.qs"


KINDS = {
    "grey PNG": {"name": "x.png"},
    "larger": {"name": "x.png", "size": (300, 200)},
    "smaller": {"name": "x.png", "size": (10, 10)},
    "grey JPEG": {"name": "x.jpg"},
    "colour JPEG": {"name": "x.jpeg", "mode": "RGB"},
    "colour PNG": {"name": "x.PNG", "mode": "RGB"},
    "alpha": {"name": "x.png", "mode": "RGBA"},
    "palette": {"name": "x.png", "mode": "P"},
    "one bit": {"name": "x.png", "mode": "1"},
    "16 bit": {"name": "x.png", "mode": "I;16"},
    "CMYK JPEG": {"name": "x.jpg", "mode": "CMYK"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("upright", [True, False])
def test_predicts_files_of_every_kind(cli: Call, task: pathlib.Path, picture: Call, kind: str, upright: bool) -> None:
    image = picture(upright=upright, **KINDS[kind])
    outcome = cli("predict", task, image, "--json")
    assert outcome.code == 0
    [found] = json.loads(outcome.out)["predictions"]
    right = "upright" if upright else "level"
    assert (found["example"], found["class"]) == (str(image), right)
    assert found["probabilities"][right] > 0.99
    assert sum(found["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(("name", "unsure"), [(PROCESS, True), (DESCENT, False)])
def test_values_are_predicted_with_their_spread_if_there_is_one(
    cli: Call, refused: Call, picture: Call, tmp_path: pathlib.Path, name: str, unsure: bool
) -> None:
    learner = discovery.load("learners", name)(Identity(256))
    saved = SavedLearner(learner, ImageSpec(16, 16, 1, "dark"), target="values")
    files = [str(picture(f"{number}.png", upright=number > 1)) for number in range(4)]
    regressor = FewShotRegressor(saved).fit(files, [[0.1, 1.0], [0.2, 2.0], [0.9, 3.0], [1.0, 4.0]])
    regressor.save(tmp_path / "mine.qs")
    outcome = cli("predict", tmp_path / "mine.qs", *files[:2], "--json")
    assert outcome.code == 0, outcome
    rows = json.loads(outcome.out)["predictions"]
    np.testing.assert_allclose([row["values"] for row in rows], regressor.predict(files[:2]), rtol=1e-6)
    assert {name for row in rows for name in row} == {"example", "values", *(["spread"] if unsure else [])}
    table = cli("predict", tmp_path / "mine.qs", *files[:2]).out
    assert ("standard deviation" in table) is unsure
    if unsure:
        np.testing.assert_allclose([row["spread"] for row in rows], regressor.predict(files[:2], return_std=True)[1], rtol=1e-6)
        assert f"{rows[1]['spread'][0]:.4g}, {rows[1]['spread'][1]:.4g}" in table
    assert "leave out --unknown" in refused("predict", tmp_path / "mine.qs", files[0], "--unknown")


def test_ink_is_as_declared(cli: Call, task: pathlib.Path, picture: Call) -> None:
    dark, light = picture("dark.png", upright=True), picture("light.png", upright=True, light=True)

    def probabilities(*words: object) -> list[dict[str, float]]:
        return [row["probabilities"] for row in json.loads(cli("predict", task, *words, "--json").out)["predictions"]]

    assert probabilities(light, "--ink", "light") == probabilities(dark)
    assert probabilities(dark, "--ink", "dark") == probabilities(dark)
    assert probabilities(light)[0] != probabilities(dark)[0]  # undeclared, it is what the learner was trained on


def test_support_images_of_the_other_ink(
    cli: Call, learner: pathlib.Path, task: pathlib.Path, picture: Call, tmp_path: pathlib.Path
) -> None:
    for name, upright in (("upright", True), ("level", False)):
        picture(f"light/{name}/1.png", upright=upright, light=True)
    assert cli("adapt", learner, tmp_path / "light", "--out", tmp_path / "light.qs", "--ink", "light").code == 0
    dark, light = picture("x.png", upright=True), picture("y.png", upright=True, light=True)
    for image, ink in ((dark, ["--ink", "dark"]), (light, [])):  # the task remembers the ink that it was adapted to
        outcome = cli("predict", tmp_path / "light.qs", image, "--json", *ink)
        assert json.loads(outcome.out)["predictions"][0]["class"] == "upright"


def test_a_warning_of_negatives_says_which_option_to_give(cli: Call, picture: Call, tmp_path: pathlib.Path) -> None:
    for name, upright in (("upright", True), ("level", False)):
        picture(f"support/{name}/1.png", upright=upright, light=True)
    with pytest.warns(UnlikeTrainingWarning, match="^the brightness .* look like negatives") as said:
        assert cli("adapt", "omniglot", tmp_path / "support", "-o", tmp_path / "mine.qs").code == 0
    assert _plain_warning(said[0].message, UnlikeTrainingWarning).endswith("say so with --ink light.\n")
    assert cli("adapt", "omniglot", tmp_path / "support", "-o", tmp_path / "mine.qs", "--ink", "light").code == 0


def test_a_table_of_several_images(cli: Call, task: pathlib.Path, picture: Call) -> None:
    images = [picture("a.png", upright=True), picture("b.png", upright=False)]
    outcome = cli("predict", task, *images)
    assert outcome.code == 0
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["example", "class", "probability", "runner-up"] in lines
    assert any(words[:2] == [str(images[0]), "upright"] and words[2:4] == ["100.0", "%"] for words in lines)
    assert any(words[:2] == [str(images[1]), "level"] and "upright" in words[4] for words in lines)


def test_a_path_that_looks_like_markup_is_printed_as_it_is(cli: Call, task: pathlib.Path, picture: Call) -> None:
    image = picture("[bold]x.png", upright=True)
    assert str(image) in cli("predict", task, image).out


def test_adapt_goes_on_from_a_task(cli: Call, task: pathlib.Path, picture: Call, tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "more" / "dots").mkdir(parents=True)
    PIL.Image.fromarray((rng.random((16, 16)) * 255).astype(np.uint8)).save(tmp_path / "more" / "dots" / "1.png")
    picture("more/level/1.png", upright=False)
    before = task.read_bytes()
    outcome = cli("adapt", task, tmp_path / "more", "-o", tmp_path / "three.qs", "--json")
    assert json.loads(outcome.out) == {
        "skill": str(tmp_path / "three.qs"),
        "examples": {"dots": 1, "level": 1},
        "classes": ["level", "upright", "dots"],
        "kept": False,
    }
    found = cli("predict", tmp_path / "three.qs", tmp_path / "more" / "dots" / "1.png", "--json")
    assert json.loads(found.out)["predictions"][0]["class"] == "dots"
    assert task.read_bytes() == before
    state = FewShotClassifier.load(tmp_path / "three.qs").skill_.state
    assert state["counts"].tolist() == [2, 3, 1]


def test_the_command_line_and_python_agree(cli: Call, learner: pathlib.Path, task: pathlib.Path, picture: Call) -> None:
    support = sorted((task.parent / "support").glob("*/*.[pj]*g"))
    classifier = FewShotClassifier(learner).fit(support, [file.parent.name for file in support])
    image = picture("x.png", upright=True, size=(33, 21))
    found = json.loads(cli("predict", task, image, "--json").out)["predictions"][0]["probabilities"]
    assert list(found) == classifier.classes_.tolist()
    np.testing.assert_allclose(list(found.values()), classifier.predict_proba([image])[0], rtol=1e-6)


def test_a_saved_learner_is_safetensors_and_json(learner: pathlib.Path, task: pathlib.Path) -> None:
    content = learner.read_bytes()
    with zipfile.ZipFile(task) as archive:  # a skill is a zip that holds the learner as it was saved
        assert archive.read("learner.safetensors") == content
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    facts = json.loads(header.pop("__metadata__")["quickstudy"])
    assert facts["kind"] == "learner"
    assert facts["meta"]["learner"]["name"] == PROTOTYPES
    assert facts["meta"]["input"] == {"kind": "image", "height": 16, "width": 16, "channels": 1, "ink": "dark"}
    ends = [entry["data_offsets"][1] for entry in header.values()]
    assert 8 + length + max(ends, default=0) == len(content)  # tensors, and nothing else
    assert storage.load(learner, "learner").meta == facts["meta"]
