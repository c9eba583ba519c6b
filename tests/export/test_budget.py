"""A budget: the most accurate bundle that fits, a student where the learner does not, and a clear word where nothing does."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
import torch
from builders import JUDGED, Prototypes

from quickstudy.cli.export import run
from quickstudy.errors import ConfigError
from quickstudy.export import budget
from quickstudy.export.budget import Candidate, Limit
from quickstudy.export.pack import Packed, Packing
from quickstudy.export.source import Source
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.identity import Identity
from quickstudy.nets.mlp import MLP
from quickstudy.nets.resnet12 import ResNet12
from quickstudy.objectives.classes import one_hot
from quickstudy.runtime import bundle as bundles
from quickstudy.task import Examples
from quickstudy.training.saving import SavedLearner, save_learner
from quickstudy.training.settings import EngineSettings, TrainingSettings

pytestmark = pytest.mark.xdist_group("budget")
QUICK = TrainingSettings(steps=3, tasks_per_step=1, validation=JUDGED, engine=EngineSettings("loop", capture=False))
TIGHT = Limit(bytes=14 * 1024)
"""A budget for half the channels of the learner that was trained."""
SUPPORT = Examples(torch.rand(3, 1, 16, 16), one_hot(torch.arange(3), 3))


@pytest.fixture(scope="module")
def tried(prototypes: Source) -> list[Candidate]:
    """Return what is tried for a budget that the learner itself does not fit."""
    return budget.search(prototypes, TIGHT, QUICK, Packing(count=4))


def test_a_student_where_the_learner_does_not_fit(tried: list[Candidate]) -> None:
    assert [one.name for one in tried] == ["conv4 16 float32", "conv4 16 int8", "conv4 8 float32", "conv4 8 int8"]
    assert tried[0].bytes > tried[1].bytes > TIGHT.bytes
    chosen = budget.best(tried, TIGHT)
    assert chosen.bytes <= TIGHT.bytes
    assert chosen.packed.bundle.manifest.results["distilled"]["steps"] == 3
    assert budget.best(tried[:2], Limit(bytes=tried[1].bytes)) is tried[1]


def test_nothing_fits_and_the_smallest_is_offered(prototypes: Source) -> None:
    small = dataclasses.replace(
        prototypes, saved=dataclasses.replace(prototypes.saved, learner=Prototypes(MLP(256, hidden=(2,))))
    )
    with pytest.raises(ConfigError, match=r"smallest that is possible is mlp 1 \w+, with \d+ KB"):
        budget.search(small, Limit(bytes=1000), QUICK, Packing(count=4))


@pytest.mark.parametrize(
    ("net", "narrower"),
    [
        (ResNet12(1, (4, 8)), ["widths 3-6", "widths 2-4", "widths 1-2", "widths 1-1"]),
        (MLP(256, hidden=(40, 16)), ["hidden 30-12", "hidden 20-8", "hidden 10-4", "hidden 5-2"]),
        (Conv4(image_size=16, channels=20), ["channels 16", "channels 8"]),
        (MLP(256, hidden=(1,)), []),
        (Identity(256), []),
    ],
    ids=["resnet12", "mlp", "conv4", "as narrow as can be", "identity"],
)
def test_students_are_narrower_nets_of_the_same_kind(net: torch.nn.Module, narrower: list[str]) -> None:
    students = list(budget._students(Prototypes(net)))
    assert [words for words, _ in students] == narrower
    sizes = [sum(value.numel() for value in one.parameters()) for one in (Prototypes(net), *(one for _, one in students))]
    assert sizes == sorted(sizes, reverse=True)
    assert all(student.adapt(SUPPORT)["sums"].isfinite().all() for _, student in students)


def test_a_student_of_a_net_with_hidden_layers(prototypes: Source) -> None:
    torch.manual_seed(0)
    teacher = dataclasses.replace(prototypes.saved, learner=Prototypes(MLP(256, hidden=(64, 32))))
    source = dataclasses.replace(prototypes, saved=teacher)
    tried = budget.search(source, Limit(bytes=22 * 1024), QUICK, Packing(count=2))
    assert [one.name for one in tried[:2]] == ["mlp 64-32 float32", "mlp 64-32 int8"]
    assert tried[-1].name.startswith("mlp 48-24")
    chosen = budget.best(tried, Limit(bytes=22 * 1024))
    assert chosen.bytes <= 22 * 1024


def test_a_net_without_narrower_ones_is_offered_its_smallest_form(prototypes: Source) -> None:
    plain = dataclasses.replace(prototypes, saved=dataclasses.replace(prototypes.saved, learner=Prototypes(Identity(256))))
    with pytest.raises(
        ConfigError,
        match=r"smallest that is possible is identity.*, with \d+ KB.*no narrower ones",
    ):
        budget.search(plain, Limit(bytes=1000), QUICK, Packing(count=4))


def test_a_learner_on_rows_fits_as_it_is_or_is_refused_with_what_to_do(tmp_path: pathlib.Path, capsys) -> None:
    saved, out = tmp_path / "learner.safetensors", tmp_path / "rows.qs"
    save_learner(saved, SavedLearner(Prototypes(MLP(5, hidden=(64, 64)))))
    run([str(saved), "-o", str(out), "--budget", "64KB", "--latency", "1s"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "mlp 64-64 float32" in printed
    assert "accuracy is not measured" in printed
    assert out.stat().st_size <= 64 * 1024
    with pytest.raises(
        ConfigError, match=r"mlp 64-64 float32 takes \d+ KB.*rows of numbers.*Raise the budget.*transfer\.distil"
    ):
        run([str(saved), "-o", str(out), "--budget", "1KB"])


def test_the_length_of_a_row_that_the_net_does_not_say() -> None:
    class Own(torch.nn.Module):
        features = 4

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(5, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    source = Source(SavedLearner(Prototypes(Own())))
    (only,) = budget.search(source, Limit(), QUICK, Packing(features=5))
    assert only.packed.bundle.manifest.input.features == 5
    with pytest.raises(ConfigError, match="give features"):
        budget.search(source, Limit(), QUICK, Packing())


def test_the_most_accurate_that_fits_is_best() -> None:
    def one(name: str, size: int, accuracy: float, seconds: float = 0.0) -> Candidate:
        return Candidate(name, Packed(None), size, seconds, accuracy)  # type: ignore[arg-type]

    tried = [one("a", 400, 99.0), one("b", 100, 98.9), one("c", 50, 90.0), one("d", 60, 98.9, seconds=1.0)]
    assert budget.best(tried, Limit()).name == "a"
    assert budget.best(tried, Limit(bytes=200)).name == "d"  # of equals, the smallest
    assert budget.best(tried, Limit(bytes=200, seconds=0.5)).name == "b"


@pytest.mark.parametrize(
    ("text", "expected"), [("256KB", 262144.0), ("1.5 MB", 1572864.0), ("5ms", 0.005), ("80us", 80e-6), ("900 b", 900.0)]
)
def test_quantities(text: str, expected: float) -> None:
    assert budget.quantity(text, ("KB", "MB", "B", "ms", "us", "s")) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "12", "KB", "-3KB", "5ms", "0KB", "12 parsecs"])
def test_other_quantities_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a number and a unit"):
        budget.quantity(text, ("KB", "MB", "B"))


def test_the_command_writes_bundle_table_and_picture(prototypes: Source, tmp_path: pathlib.Path, capsys) -> None:
    torch.set_num_threads(1)
    saved, out = tmp_path / "learner.safetensors", tmp_path / "new" / "mine.qs"
    save_learner(saved, dataclasses.replace(prototypes.saved))
    run([str(saved), "-o", str(out), "--budget", "40KB", "--data", str(prototypes.name), "--licence", "MIT", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert [one["learner"] for one in facts["tried"]] == [
        "conv4 16 float32",
        "conv4 16 int8",
    ]  # which fits: no student is taught
    assert [one["chosen"] for one in facts["tried"]].count(True) == 1
    assert out.stat().st_size == facts["bytes"] <= 40 * 1024
    assert bundles.read(out).manifest.unknown is not None
    assert bundles.read(out).manifest.licence == "MIT"
    assert out.with_suffix(".svg").read_text().startswith("<?xml")


def test_int8_and_a_budget_exclude_each_other(prototypes: Source, tmp_path: pathlib.Path) -> None:
    save_learner(tmp_path / "learner.safetensors", prototypes.saved)
    with pytest.raises(ConfigError, match="leave out --int8"):
        run([str(tmp_path / "learner.safetensors"), "-o", str(tmp_path / "x.qs"), "--int8", "--budget", "40KB"])
