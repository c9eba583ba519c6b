"""To add something is to write one file: each sort is written into a copy of the project, and its name appears everywhere."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from builders import DESCENT, PROTOTYPES

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
    "inputs/tone.py": '''"""ToneSpec: a short sound, eight numbers in a text file."""

import os
import pathlib
from typing import ClassVar, Literal

import numpy as np

from quickstudy.inputs._layout import InputSpec, TensorLayout, check_several


class ToneSpec(InputSpec, frozen=True):
    """Eight samples of a wave."""

    nouns: ClassVar[str] = "tones"
    kind: Literal["tone"] = "tone"

    @classmethod
    def suffixes(cls):
        return frozenset({".tone"})

    @classmethod
    def takes(cls, array):
        return False

    @classmethod
    def own(cls, array=None, **wishes):
        return cls()

    def how(self, **wishes):
        return {}

    def layout(self):
        return {"wave": TensorLayout(axes=(8,), order=(0,), dtype="float32")}

    def read(self, thing, **how):
        text = thing if isinstance(thing, bytes) else pathlib.Path(thing).read_bytes()
        return {"wave": np.array(text.split(), dtype=np.float32)}

    def read_all(self, things, **how):
        check_several(things)
        return {"wave": np.stack([self.read(thing)["wave"] for thing in things])}

    def statistics(self, stored):
        return {}

    def unlike(self, statistics, stored, **how):
        return None
''',
    "targets/ranks.py": '''"""Ranks: first, second, third, as whole numbers from 1."""

import numpy as np


class RankTarget:
    """Answers that are ranks. Rows are the numbers, `[example, 1]`."""

    name = "ranks"
    axes = ()

    def read(self, y):
        return np.asarray(y, dtype=np.float64)[:, None]

    def joined(self, known, answers):
        return ()

    def rows(self, answers, labels):
        return answers

    def answers(self, rows, labels):
        return [round(float(row[0])) for row in rows]

    def given(self, rows, labels):
        return self.answers(rows, labels)

    def together(self, earlier, rows):
        return np.concatenate([earlier, rows])

    def check_savable(self, labels):
        """Accept everything."""

    def check_several(self, labels):
        """Accept everything."""
''',
    "objectives/ranks.py": '''"""Ranks: answers of which the order counts, judged by how many places they are off."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from quickstudy.functional.losses import squared_error, weighted_mean
from quickstudy.objectives._measure import Measure


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Ranks of examples."""

    rows: Tensor
    name: ClassVar[str] = "ranks"
    measure: ClassVar[Measure] = Measure("places_off", higher_is_better=False)

    @property
    def outputs(self):
        return self.rows.shape[-1]

    def loss(self, prediction, weight):
        return squared_error(prediction, self.rows, weight)

    def scores(self, prediction, weight):
        return {"places_off": weighted_mean((prediction.round() - self.rows).abs().mean(-1), weight)}

    def like(self, prediction):
        return Ranks(prediction)


torch.export.register_dataclass(Ranks)
''',
    "learners/kernel.py": '''"""Kernel: a prediction is the mean of all known answers, each weighted by its nearness."""

import dataclasses
from typing import ClassVar

from torch import nn

from quickstudy.functional.distances import squared_distances
from quickstudy.learner import Learner
from quickstudy.objectives.ranks import Ranks


@dataclasses.dataclass(eq=False, repr=False)
class Kernel(Learner):
    """State: features and answers of the support set.

    Args:
        net: the backbone.
    """

    net: nn.Module

    targets: ClassVar[tuple[type, ...]] = (Ranks,)
    gradient_free_adapt: ClassVar[bool] = True

    def adapt(self, support, state=None):
        support = self.matched(support)
        return {"features": self.net(support.x), "y": support.y.rows, "weight": support.weight}

    def predict(self, state, x):
        near = state["weight"].log().clamp(min=-1e9) - squared_distances(self.net(self.matched(x)), state["features"])
        return near.softmax(-1) @ state["y"]
''',
    "tasks/ladders.py": '''"""LadderTasks: which rung a point lies on, from 1 to 3, counted from either end."""

import numpy as np
import torch

from quickstudy.inputs.rows import RowsSpec
from quickstudy.objectives.ranks import Ranks
from quickstudy.task import Examples, Task
from quickstudy.tasks._random import uniform


class LadderTasks:
    """Tasks of points on ladders.

    Args:
        points: of the support set, and of the query set.
        seed: which stream of tasks.
    """

    input = RowsSpec(1)
    target = "ranks"

    def __init__(self, points: int = 9, seed: int = 0) -> None:
        self.points, self.seed = points, seed

    def __getitem__(self, index):
        return self.batch([index])[0]

    def batch(self, indices):
        numbers = torch.from_numpy(uniform(self.seed, np.asarray(indices), 1 + 2 * self.points)).float()
        x = 3 * numbers[:, 1:].unsqueeze(-1)
        rung = x.floor() + 1
        rung = torch.where(numbers[:, :1].unsqueeze(-1) < 0.5, rung, 4 - rung)
        parts = zip(x.split(self.points, 1), rung.split(self.points, 1))
        return Task(*(Examples(part, Ranks(ranks)) for part, ranks in parts))

    def describe(self):
        return {"source": "ladders", "dataset": "ladders", "points": self.points, "seed": self.seed}

    def fingerprint(self, count):
        return f"ladders {self.seed} {count}"
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


def kind(path):
    """Say that nobody knows."""


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


def kind(path):
    """Return what such a file holds."""
    return "rows"


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
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": str(copy / "src"), "COLUMNS": "200"}
    ran = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=copy, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def commands(copy: pathlib.Path, *words: tuple[str, ...]) -> list[str]:
    """Return what several commands print that run one after the other in one process."""
    each = "for words in json.loads(sys.argv[1]):\n    code = main(words)\n    print('\\0')\n    code and sys.exit(code)"
    script = f"import json, sys\nfrom quickstudy.cli import main\n{each}"
    return run(copy, "-c", script, json.dumps(words)).split("\0")


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


TRAINED = ("--net", "mlp", "--net.hidden", "[4]", "--steps", "3", "--tasks_per_step", "2", "--validation.tasks", "2")


def test_a_new_kind_of_input_goes_all_the_way(copy: pathlib.Path) -> None:
    """From files in folders to a bundle: trained, evaluated, adapted, saved, exported, and equal in both engines."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("low", "high", "rising")):
        (copy / "tones" / name).mkdir(parents=True)
        for take in range(4):
            numbers = number * np.linspace(-1, 1, 8) + 0.1 * rng.normal(size=8)
            (copy / "tones" / name / f"{take}.tone").write_text(" ".join(map(str, numbers)))
    common = ("--data", "tones", "--split", "all", "--ways", "2", "--queries", "1")
    one = ("predict", "task.qs", "tones/high/0.tone", "--json")
    said = commands(
        copy,
        ("train", *common, "--validation.split", "null", "--learner", PROTOTYPES, *TRAINED, "--out", "sung"),
        ("evaluate", "sung", *common, "--tasks", "2", "--json"),
        ("export", "sung", "-o", "sung.qs"),
        *(("adapt", "sung", "tones", "-o", "task.qs"), one, ("adapt", "sung.qs", "tones", "-o", "task.qs"), one),
    )
    assert 0 <= json.loads(said[1])["results"][0]["accuracy"] <= 100
    assert "high" in said[4]
    assert json.loads(said[4])["predictions"] == json.loads(said[6])["predictions"]


def test_a_new_kind_of_answer_goes_all_the_way(copy: pathlib.Path) -> None:
    """From a source of tasks to a bundle: trained, evaluated by its own measure, adapted, and equal in both engines."""
    said = commands(
        copy,
        ("train", "--tasks", "ladders", "--learner", "kernel", *TRAINED, "--out", "climbed"),
        ("evaluate", "climbed", "--tasks", "2", "--json"),
        ("export", "climbed", "-o", "climbed.qs"),
    )
    assert "places off" in said[0]
    assert json.loads(said[1])["results"][0]["places_off"] >= 0
    adapt = (
        "from quickstudy.runtime import learner, skill_file\n"
        "x, y = [[0.5], [1.5], [2.5]], [3, 2, 1]\n"
        "engines = [skill_file.opened(name)[0] for name in ('climbed', 'climbed.qs')]\n"
        "print([learner.begun(engine, None, False, {}).add(x, y).predict(x) for engine in engines])"
    )
    one, other = json.loads(run(copy, "-c", adapt))
    assert one == other


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
