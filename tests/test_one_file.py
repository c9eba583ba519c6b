"""To add something is to write one file: each sort is written into a copy of the project, and its name appears everywhere."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from builders import DESCENT

ROOT = pathlib.Path(__file__).parents[1]
COPIED = ("src", "docs", "examples", "benchmarks/README.md", "benchmarks/LOG.md", "README.md", "ROADMAP.md", "CHANGELOG.md")
FILES = {
    "learners/cosine.py": '''"""Cosine: a query belongs to the class whose mean has its direction."""

import dataclasses

import torch.nn.functional as F
from torch import nn

from quickstudy.functional.classes import class_sums
from quickstudy.learner import Learner


@dataclasses.dataclass(eq=False, repr=False)
class Cosine(Learner):
    """State: the direction of each class mean.

    Args:
        net: the backbone.
        sharpness: what cosines are multiplied by.
    """

    net: nn.Module
    sharpness: float = 10.0

    def adapt(self, support, state=None):
        return {"directions": F.normalize(class_sums(self.net(support.x), support.y.rows, support.weight))}

    def predict(self, state, x):
        return self.sharpness * F.normalize(self.net(x)) @ state["directions"].t()
''',
    "nets/average.py": '''"""Average: the mean of each channel."""

from torch import nn


class Average(nn.Module):
    """The mean over all places."""

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.in_channels = self.features = in_channels

    def forward(self, x):
        return x.flatten(2).mean(-1)
''',
    "data/known/noise.py": '''"""Noise: images of nothing."""

from quickstudy.inputs.image import ImageSpec

SPEC = ImageSpec(8, 8, 1)
SPLITS = ("train", "test")


def read(split, spec, data_dir, strict):
    """Return no images at all."""
''',
    "inputs/tone.py": '''"""ToneSpec: a pitch."""

from quickstudy.inputs._layout import InputSpec, TensorLayout


class ToneSpec(InputSpec, frozen=True):
    """One number."""

    kind: str = "tone"

    def layout(self):
        return {"tone": TensorLayout(axes=(1,), order=(0,), dtype="float32")}

    def read(self, thing):
        return {"tone": [thing]}
''',
    "targets/ranks.py": '''"""Ranks: first, second, third."""


class RankTarget:
    """Answers that are ranks."""

    name = "ranks"
''',
    "objectives/ranks.py": '''"""Ranks: the torch half."""


class Ranks:
    """Ranks of examples."""

    name = "ranks"
''',
    "tasks/lines.py": '''"""LineTasks: few-shot regression of lines."""

from quickstudy.inputs.rows import RowsSpec


class LineTasks:
    """Tasks that fit a line.

    Args:
        points: support points.
        seed: which stream of tasks.
    """

    input = RowsSpec(1)
    target = "values"

    def __init__(self, points: int = 3, seed: int = 0) -> None:
        self.points, self.seed = points, seed
''',
    "data/readers/abacus.py": '''"""Files of an abacus."""

EXPECTED = "an .abacus file"


def recognises(path):
    """Say whether a file is one."""
    return path.suffix == ".abacus"


def read(path, wanted):
    """Return nothing."""
''',
    "data/readers/lines.py": '''"""Rows of numbers in a text file, each with its class first."""

import numpy as np

from quickstudy.data.arrays import from_arrays
from quickstudy.data.readers import Found

EXPECTED = ".lines"


def recognises(path):
    """Return whether a path ends in .lines."""
    return path.suffix == ".lines"


def read(path, wanted):
    """Return the classes of a text file."""
    words = [line.split() for line in path.read_text().splitlines()]
    rows = np.array([line[1:] for line in words], dtype=np.float32)
    spec, how = wanted.of_array(rows)
    return Found(from_arrays(rows, [line[0] for line in words], spec=spec, how=how, name=path.name))
''',
    "tasks/coins.py": '''"""CoinTasks: nothing but coins."""

from quickstudy.inputs.rows import RowsSpec


class CoinTasks:
    """Tasks of coins.

    Args:
        flips: of each coin.
        seed: which coins.
    """

    input = RowsSpec(1)
    target = "values"

    def __init__(self, flips: int = 3, seed: int = 0) -> None:
        self.flips, self.seed = flips, seed
''',
    "cli/hello.py": '''"""greet whoever asks"""

from quickstudy.cli import _output, _parser


def run(arguments):
    """Print a greeting."""
    _parser.make_parser("hello", __doc__).parse(arguments)
    _output.text("hello")
''',
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a copy of the project with one more file of each sort."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("built", "__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / name, folder / name)
    for name, text in FILES.items():
        (folder / "src" / "quickstudy" / name).write_text(text)
    return folder


def run(copy: pathlib.Path, *words: str | pathlib.Path) -> str:
    """Return what Python prints when it runs in the copy, on the copy's package."""
    environment = os.environ | {"PYTHONPATH": str(copy / "src"), "COLUMNS": "200"}
    ran = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=copy, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_command_line_knows_them(copy: pathlib.Path) -> None:
    listed = run(copy, "-m", "quickstudy", "list", "--json")
    assert all(f'"{name}"' in listed for name in ("cosine", "average", "noise", "tone", "ranks", "lines", "abacus"))
    assert "hello" in run(copy, "-m", "quickstudy", "--help")
    assert run(copy, "-m", "quickstudy", "hello") == "hello\n"
    help_ = run(copy, "-m", "quickstudy", "train", "--learner", "cosine", "--net", "average", "--help")
    assert "--learner.sharpness" in help_
    assert "noise" in help_
    assert "lines" in help_
    assert "--points" in run(copy, "-m", "quickstudy", "train", "--tasks", "lines", "--learner", DESCENT, "--help")


def test_the_package_knows_them(copy: pathlib.Path) -> None:
    loaded = "from quickstudy.discovery import load; print(load('inputs', 'tone'), load('targets', 'ranks'), load('objectives', 'ranks'))"
    assert all(name in run(copy, "-c", loaded) for name in ("ToneSpec", "RankTarget", "Ranks"))
    (copy / "x.strange").write_bytes(b"")
    refused = (
        "import quickstudy as qs\ntry:\n    qs.load_data('x.strange')\nexcept qs.QuickstudyError as error:\n    print(error)"
    )
    assert "an .abacus file" in run(copy, "-c", refused)


def test_a_format_and_a_source_of_tasks_are_known(copy: pathlib.Path) -> None:
    (copy / "made.lines").write_text("heads 1 2\ntails 3 4\nheads 5 6\n")
    read = "import quickstudy as qs; d = qs.load_data('made.lines', 'all'); print(d.classes, d.counts.tolist(), d.spec)"
    assert run(copy, "-c", read) == "('heads', 'tails') [2, 1] rows of 2 numbers\n"
    help_ = run(copy, "-m", "quickstudy", "train", "--tasks", "coins", "--help")
    assert "--flips" in help_
    assert "coins" in help_


def test_the_docs_have_their_pages(copy: pathlib.Path) -> None:
    pages = run(copy, "-c", "import runpy; print(*runpy.run_path('docs/_generate.py')['all_pages']())").split()
    assert {"learners/cosine.md", "nets/average.md", "data-sets/noise.md", "commands/hello.md"} <= set(pages)


def test_the_conformance_tests_meet_them(copy: pathlib.Path) -> None:
    words = (
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--collect-only",
        f"--rootdir={ROOT}",
        str(ROOT / "tests" / "conformance"),
    )
    collected = run(copy, *words)
    assert "cosine" in collected
    assert "average" in collected
