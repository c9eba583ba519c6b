"""A small data set, one finished run on it, and a way to call the command line in this process."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator

import numpy as np
import PIL.Image
import pytest

SIDE, CLASSES, IMAGES = 16, 16, 8


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int | str | None
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def _cli_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUICKSTUDY_CACHE", str(tmp_path_factory.mktemp("cli-cache")))
        patch.setenv("OMP_NUM_THREADS", "1")  # for child processes
        patch.delenv("QUICKSTUDY_DATA", raising=False)
        yield


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `quickstudy ARGUMENTS` in this process."""
    from quickstudy.cli import main

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code: int | str | None = main([str(word) for word in arguments])
        except SystemExit as stop:  # --help and --print_config
            code = stop.code or 0
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def refused(cli: Call) -> Callable[..., str]:
    """Call a command that must fail in words, without a traceback, and return the words."""

    def call(*arguments: object, code: int = 2) -> str:
        outcome = cli(*arguments)
        assert outcome.code == code, outcome
        assert "Traceback" not in outcome.err
        for noise in ("typing.", "<class '", "NestedArg", "NoneType", "Union", "Parser key", "subtypes"):
            assert noise not in outcome.err
        return outcome.err

    return call


COMMAND = re.compile(r"(?:^next: |^ +|Go on with: )(quickstudy .*|cc .*)$", re.MULTILINE)


@pytest.fixture
def pasted(cli: Call) -> Callable[..., list[str]]:
    """Run every command in what was printed, as a shell splits it, and return the commands."""

    def run(text: str, shorter: tuple[str, ...] = ()) -> list[str]:
        commands = COMMAND.findall(text)
        for command in commands:
            words = shlex.split(command)
            if words[0] == "cc":
                assert subprocess.run(words, check=False).returncode == 0, command
                continue
            outcome = cli(*words[1:], *(shorter if words[1] == "evaluate" else ()))
            assert outcome.code == 0, (command, outcome)
        return commands

    return run


@pytest.fixture(scope="session")
def npz(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """16 classes of 8 noisy patterns of 16x16 pixels: 10 classes for training, 3 for validation, 3 to test."""
    rng = np.random.default_rng(0)
    patterns = rng.random((CLASSES, SIDE, SIDE)) < 0.4
    noise = rng.random((CLASSES, IMAGES, SIDE, SIDE)) < 0.08
    images = ((patterns[:, None] ^ noise) * 255).astype(np.uint8).reshape(-1, SIDE, SIDE)
    path = tmp_path_factory.mktemp("data") / "set.npz"
    np.savez(path, images=images, labels=np.repeat(np.arange(CLASSES), IMAGES))
    return path


def settings(**changes: object) -> list[str]:
    """Options of a training that takes a second, with changes."""
    options: dict[str, object] = {
        "ways": 2,
        "shots": 1,
        "queries": 3,
        "net.channels": 4,
        "tasks_per_step": 2,
        "steps": 3,
        "validation.every": 7,
        "validation.tasks": 5,
        "engine.mapping": "loop",
        "engine.capture": False,  # else speed decides, and two runs may differ
        "threads": 1,
    }
    return [f"--{name}={value}" for name, value in (options | changes).items()]


@pytest.fixture
def train(npz: pathlib.Path) -> Callable[..., list[str]]:
    """Return the words of `quickstudy train` on the small data set, with changes of options (`net__norm=` is `--net.norm`)."""

    def words(out: pathlib.Path, **changes: object) -> list[str]:
        changes = {name.replace("__", "."): value for name, value in changes.items()}
        return ["train", "--data", str(npz), "--out", str(out), *settings(**changes)]

    return words


@pytest.fixture(scope="session")
def finished(npz: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the folder of an unbroken run of 150 steps."""
    from quickstudy.cli import main

    out = tmp_path_factory.mktemp("runs") / "unbroken"
    assert main(["train", "--data", str(npz), "--out", str(out), *settings(steps=150)]) == 0
    return out


@pytest.fixture
def support(npz: pathlib.Path, tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Write a folder with one image of each class, drawn as those that the finished run was trained on."""

    def write(*classes: str, root: pathlib.Path = tmp_path / "support") -> pathlib.Path:
        with np.load(npz) as file:
            images = file["images"][::IMAGES]
        for name, pixels in zip(classes, images, strict=False):
            (root / name).mkdir(parents=True)
            PIL.Image.fromarray(pixels).save(root / name / "1.png")
        return root

    return write


@pytest.fixture
def own_images() -> Callable[..., pathlib.Path]:
    """Write a folder with classes of grey images of different sizes."""

    def write(root: pathlib.Path, classes: int = 10, images: int = 6) -> pathlib.Path:
        rng = np.random.default_rng(1)
        for number in range(classes):
            (root / f"class{number}").mkdir(parents=True)
            for image in range(images):
                pixels = (rng.random((14 + image, 20 - image)) * 255).astype(np.uint8)
                PIL.Image.fromarray(pixels).save(root / f"class{number}" / f"{image}.png")
        return root

    return write


@pytest.fixture
def picture(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Write an image of one thick dark stroke on white, upright or level, and say where."""

    def write(name: str, upright: bool, size: tuple[int, int] = (40, 40), mode: str = "L", light: bool = False) -> pathlib.Path:
        width, height = size
        pixels = np.full((height, width), 255, dtype=np.uint8)
        if upright:
            pixels[:, 2 * width // 5 : 3 * width // 5] = 0
        else:
            pixels[2 * height // 5 : 3 * height // 5] = 0
        image = PIL.Image.fromarray(255 - pixels if light else pixels)
        if mode == "RGBA":  # the stroke is opaque black, the ground transparent
            image = PIL.Image.merge("RGBA", [PIL.Image.new("L", size)] * 3 + [PIL.Image.fromarray(255 - pixels)])
        elif mode == "I;16":
            image = PIL.Image.fromarray(pixels.astype(np.uint16) * 257)
        elif mode != "L":
            image = image.convert(mode)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        return path

    return write


def environment() -> dict[str, str]:
    """Of child processes."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}
