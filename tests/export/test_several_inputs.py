"""An input of several parts, one of them whole numbers, runs without torch as it does in torch: nothing knows how many there are."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import pytest
import torch
from builders import DESCENT, PROTOTYPES
from torch import Tensor, nn

from quickstudy import discovery, inputs
from quickstudy.export.bundle import to_bundle
from quickstudy.inputs import InputSpec, TensorLayout
from quickstudy.objectives.classes import one_hot
from quickstudy.runtime import Learner, bundle
from quickstudy.task import Examples
from quickstudy.training.saving import SavedLearner

WORDS, SYMBOLS = 5, 11


class NotesSpec(InputSpec):
    """A row of three numbers beside five symbols, given as a pair."""

    kind: Literal["notes"] = "notes"

    def layout(self) -> dict[str, TensorLayout]:
        return {
            "numbers": TensorLayout(axes=(3,), order=(0,), dtype="float32"),
            "symbols": TensorLayout(axes=(WORDS,), order=(0,), dtype="int64"),
        }

    @classmethod
    def takes(cls, array: np.ndarray) -> bool:
        return False

    @classmethod
    def own(cls, array: np.ndarray | None = None, **wishes: Any) -> Self:
        return cls()

    def how(self, **wishes: Any) -> dict[str, Any]:
        return {}

    def read(self, thing: Any, **how: Any) -> dict[str, np.ndarray]:
        return {"numbers": np.asarray(thing[0], np.float32), "symbols": np.asarray(thing[1], np.int64)}

    def read_all(self, things: Any, **how: Any) -> dict[str, np.ndarray]:
        parts = [self.read(thing) for thing in things]
        return {name: np.stack([part[name] for part in parts]) for name in self.layout()}

    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        return {}

    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        return None


class Reader(nn.Module):
    """Numbers beside the mean embedding of the symbols."""

    features = 7

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(SYMBOLS, 4))

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        embedded = self.table.index_select(0, x["symbols"].flatten()).unflatten(0, x["symbols"].shape)
        return torch.cat([x["numbers"], embedded.mean(-2)], dim=-1)


@pytest.fixture(autouse=True)
def _notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find a kind of input by its name; this one has no file in the package."""
    names, load = discovery.names, discovery.load
    monkeypatch.setattr(
        discovery, "names", lambda folder, *more: [*names(folder, *more), *(["notes"] if folder == "inputs" else [])]
    )
    monkeypatch.setattr(
        discovery, "load", lambda folder, name, *more: NotesSpec if name == "notes" else load(folder, name, *more)
    )


@pytest.mark.parametrize("name", [PROTOTYPES, DESCENT])
def test_a_dict_of_numbers_and_symbols_runs_without_torch_as_in_torch(name: str, tmp_path: pathlib.Path) -> None:
    torch.manual_seed(0)
    learner, random = discovery.load("learners", name)(Reader()), np.random.default_rng(0)
    things = [(random.normal(size=3), random.integers(0, SYMBOLS, WORDS)) for _ in range(9)]
    spec = NotesSpec()
    bundle.write(tmp_path / "notes.qs", to_bundle(SavedLearner(learner, spec)))
    shipped = Learner.load(tmp_path / "notes.qs")
    assert inputs.from_dict(shipped.manifest.input.model_dump()) == spec
    adapt = shipped.manifest.programs["adapt"].inputs
    assert (adapt["support.numbers"], adapt["support.symbols"]) == (("example", 3), ("example", WORDS))
    x = {name: torch.from_numpy(part) for name, part in spec.to_network(spec.read_all(things)).items()}
    assert x["symbols"].dtype == torch.int64
    labels = torch.arange(6) % 3
    support = Examples({name: part[:6] for name, part in x.items()}, one_hot(labels, 3))
    with torch.no_grad():
        expected = learner.predict(learner.adapt(support), x)
    skill = shipped.adapt(things[:6], labels.tolist())
    np.testing.assert_allclose(skill.logits(things), expected, rtol=1e-4, atol=1e-5)
    moved = shipped.adapt(things[:6], labels.tolist(), keep=True).moved_to(shipped)
    np.testing.assert_array_equal(moved.logits(things), skill.logits(things))
    skill.save(tmp_path / "mine.qs")
    again = type(skill).load(tmp_path / "mine.qs").add(things[6:], [0, 1, 3])
    assert again.labels == [0, 1, 2, 3]
    assert again.logits(things).shape == (9, 4)
