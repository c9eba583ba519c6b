"""Saved learners: what comes back, and files that are damaged, foreign, newer, or on a net of the user's own."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from builders import DESCENT, PROTOTYPES, Prototypes
from torch import nn

from quickstudy import discovery, storage
from quickstudy.errors import ConfigError, FileFormatError, ModelError, NotFoundError
from quickstudy.inputs.image import ImageSpec
from quickstudy.learner import Learner, State
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.runtime import bundle, pretrained
from quickstudy.task import Examples
from quickstudy.training.evaluate import evaluate
from quickstudy.training.fit import fit
from quickstudy.training.folder import RunFolder
from quickstudy.training.saving import SavedLearner, load_learner, save_learner, to_arrays

Make = Callable[..., Any]
SPEC = ImageSpec(16, 16, 1, "dark")


@pytest.fixture
def learner_file(tmp_path: pathlib.Path) -> pathlib.Path:
    torch.manual_seed(0)
    learner = Prototypes(Conv4(image_size=16, channels=2))
    save_learner(tmp_path / "learner.safetensors", SavedLearner(learner, SPEC, {"note": "naïve ± ☃"}))
    return tmp_path / "learner.safetensors"


def weights(saved: SavedLearner) -> str:
    """Hash of a learner's tensors."""
    return storage.fingerprint(to_arrays(saved.learner.state_dict()))


@pytest.mark.parametrize("name", discovery.names("learners"))
def test_every_learner_comes_back(name: str, make_learner: Make, rows: Make, tmp_path: pathlib.Path) -> None:
    learner = make_learner(name, norm="batch")
    task = rows().batch(range(1))[0]
    save_learner(tmp_path / "x", SavedLearner(learner, SPEC, {"steps": 3}))
    saved = load_learner(tmp_path / "x")
    assert type(saved.learner) is type(learner)
    assert (saved.spec, saved.info) == (SPEC, {"steps": 3})
    state = learner.adapt(task.support)
    for key, value in saved.learner.adapt(task.support).items():
        assert torch.equal(value, state[key])
    assert weights(saved) == weights(SavedLearner(learner))
    assert torch.equal(saved.learner.predict(state, task.query.x), learner.predict(state, task.query.x))


def test_hyperparameters_may_be_changed_by_name(make_learner: Make, tmp_path: pathlib.Path) -> None:
    save_learner(tmp_path / "x", SavedLearner(make_learner(DESCENT)))
    changed = load_learner(tmp_path / "x", inner_steps=7).learner
    assert changed.inner_steps == 7
    with pytest.raises(ConfigError, match=rf"unknown hyperparameter of {DESCENT} 'inner_step'. Did you mean: inner_steps"):
        load_learner(tmp_path / "x", inner_step=7)


@dataclasses.dataclass(eq=False, repr=False)
class Older(Learner):
    """A learner as it was when a file was written."""

    net: nn.Module
    scale: float = 2.0

    def adapt(self, support: Examples, state: State | None = None) -> State:
        return {"centre": self.scale * self.net(support.x).mean(0)}

    def predict(self, state: State, x: Any) -> torch.Tensor:
        return self.net(x) @ state["centre"].unsqueeze(-1)


@dataclasses.dataclass(eq=False, repr=False)
class Newer(Older):
    """The same learner with one hyperparameter more."""

    shift: float = 0.5


def test_a_file_older_than_a_hyperparameter(tmp_path: pathlib.Path) -> None:
    save_learner(tmp_path / "x", SavedLearner(Older(MLP(4, (3,)), scale=7.0)))
    found = load_learner(tmp_path / "x", learner=Newer).learner
    assert (found.scale, found.shift) == (7.0, 0.5)
    changed = load_learner(tmp_path / "x", learner=Newer, shift=0.25).learner
    assert (changed.scale, changed.shift) == (7.0, 0.25)
    with pytest.raises(ConfigError, match=r"unknown hyperparameter of .*Older 'shif'. Did you mean: shift"):
        load_learner(tmp_path / "x", learner=Newer, shif=0.25)


PRECISION = {name: bundle.read(pretrained.find(name)).manifest.precision for name in pretrained.names()}
EXACT = [name for name, precision in PRECISION.items() if precision == "float32"]
"""Shipped learners whose weights torch can go on with."""


@pytest.mark.parametrize("name", sorted(set(PRECISION) - set(EXACT)))
def test_a_shipped_learner_in_8_bits_is_for_the_runtime_alone(name: str) -> None:
    with pytest.raises(FileFormatError, match=f"{name} is an int8 bundle, for quickstudy.runtime"):
        load_learner(name)


@pytest.mark.parametrize("name", EXACT)
def test_shipped_learners_take_what_their_class_takes_now(name: str) -> None:
    known = load_learner(name).learner
    changes = (
        {"distance": "euclidean"} if hasattr(known, "distance") else {"thoughts": known.thoughts}
    )  # whose weights fix its sizes
    found = load_learner(name, **changes).learner
    assert {key: getattr(found, key) for key in changes} == changes


@dataclasses.dataclass(eq=False, repr=False)
class Relating(Older):
    """A learner with two modules beside a hyperparameter."""

    relation: nn.Module = dataclasses.field(default_factory=lambda: MLP(3, (2,)))


def test_every_module_of_a_learner_comes_back(tmp_path: pathlib.Path) -> None:
    learner = Relating(MLP(4, (3,)), relation=MLP(3, (5, 2), norm="layer"))
    save_learner(tmp_path / "x", SavedLearner(learner))
    found = load_learner(tmp_path / "x", learner=Relating).learner
    assert (found.relation.hidden, found.relation.norm) == ((5, 2), "layer")
    assert found.state_dict().keys() == learner.state_dict().keys()
    assert all(torch.equal(value, learner.state_dict()[name]) for name, value in found.state_dict().items())


def test_modules_of_ones_own_are_given_by_the_name_of_their_argument(tmp_path: pathlib.Path) -> None:
    save_learner(tmp_path / "x", SavedLearner(Relating(MLP(4, (3,)), relation=nn.Linear(3, 2))))
    with pytest.raises(ConfigError, match=r"net of your own, torch.nn.modules.linear.Linear; pass an instance as relation="):
        load_learner(tmp_path / "x", learner=Relating)
    found = load_learner(tmp_path / "x", learner=Relating, relation=nn.Linear(3, 2)).learner
    assert found.relation.weight.shape == (2, 3)


def test_temperature_and_statistics_travel_with_the_learner(make_learner: Make, tmp_path: pathlib.Path) -> None:
    save_learner(
        tmp_path / "x",
        SavedLearner(make_learner(), temperature=1.75, temperature_power=-0.5, statistics={"location": np.float64(0.5)}),
    )
    found = load_learner(tmp_path / "x")
    assert (found.temperature, found.temperature_power, found.statistics) == (1.75, -0.5, {"location": 0.5})
    assert found.temperature_of(4) == 0.875


def test_numbers_of_numpy_are_saved_as_numbers(tmp_path: pathlib.Path) -> None:
    learner = Prototypes(MLP(np.int64(4), hidden=(np.int32(8),)))  # type: ignore[arg-type]
    save_learner(
        tmp_path / "x", SavedLearner(learner, info={"lr": np.float32(0.5), "ways": (np.int64(3),), "on": np.bool_(True)})
    )
    found = load_learner(tmp_path / "x")
    assert found.info == {"lr": 0.5, "ways": [3], "on": True}
    assert found.learner.net.in_features == 4


@pytest.mark.parametrize("value", [np.arange(3), {1, 2}, torch.tensor(1.0), pathlib.Path("x"), 1j])
def test_what_no_file_can_keep_is_named(make_learner: Make, tmp_path: pathlib.Path, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"info.a\[1\] is a {type(value).__name__} .*which a file cannot keep"):
        save_learner(tmp_path / "x", SavedLearner(make_learner(), info={"a": [1, value]}))
    assert not (tmp_path / "x").exists()


def test_weights_that_numpy_lacks_are_refused(make_learner: Make, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ModelError, match=r"type float8_e5m2 cannot all be saved .* learner.float\(\) first"):
        save_learner(tmp_path / "x", SavedLearner(make_learner(dtype=torch.float8_e5m2)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_a_learner_comes_back_in_its_own_type(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, dtype: torch.dtype
) -> None:
    def train(resume: bool) -> SavedLearner:
        learner = make_learner(norm="batch", dtype=dtype)
        learner.net.layers[1][0].bias.requires_grad_(False)
        return fit(learner, rows(), rows(seed=1), settings(), RunFolder(tmp_path, resume=resume))

    saved, again, found = train(resume=False), train(resume=True), load_learner(tmp_path)
    for one in (again, found):
        for name, value in saved.learner.state_dict().items():
            assert one.learner.state_dict()[name].dtype == value.dtype == dtype
            assert torch.equal(one.learner.state_dict()[name], value)
    trains = [[value.requires_grad for value in each.learner.parameters()] for each in (found, saved)]
    assert trains[0] == trains[1]
    np.testing.assert_array_equal(evaluate(found, rows(), 20).scores, evaluate(saved, rows(), 20).scores)


def test_a_net_of_ones_own_must_be_given(tmp_path: pathlib.Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 3))
    save_learner(tmp_path / "x", SavedLearner(Prototypes(net)))
    with pytest.raises(ConfigError, match=r"net of your own, torch.nn.modules.container.Sequential; pass an instance as net="):
        load_learner(tmp_path / "x")
    saved = load_learner(tmp_path / "x", net=torch.nn.Sequential(torch.nn.Linear(4, 3)))
    assert torch.equal(next(saved.learner.parameters()), net[0].weight)
    with pytest.raises(FileFormatError, match=f"do not fit {PROTOTYPES}"):
        load_learner(tmp_path / "x", net=torch.nn.Linear(9, 9))


def test_one_wrong_bit_anywhere_is_noticed_or_changes_nothing(learner_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    good, refused = learner_file.read_bytes(), 0
    rng = np.random.default_rng(0)
    places = {0, 7, 8, 9, len(good) - 1, *rng.integers(0, len(good), 150).tolist()}
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(8))
        learner_file.write_bytes(bad)
        try:
            found = load_learner(learner_file)
        except FileFormatError as error:
            assert learner_file.name in str(error)
            refused += 1
            continue
        save_learner(tmp_path / "again", found)
        assert (tmp_path / "again").read_bytes() == good
    assert refused > 0.9 * len(places)


@pytest.mark.parametrize("length", [0, 4, 8, 60, 700, -1])
def test_files_cut_short(learner_file: pathlib.Path, length: int) -> None:
    learner_file.write_bytes(learner_file.read_bytes()[:length])
    with pytest.raises(FileFormatError, match="damaged or no safetensors"):
        load_learner(learner_file)


def test_foreign_files(learner_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "torch.pt")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    for file in (tmp_path / "torch.pt", tmp_path / "text"):
        with pytest.raises(FileFormatError, match=r"no safetensors file|no part of a bundle|neither a learner nor a skill"):
            load_learner(file)
    storage.save(tmp_path / "other", "checkpoint", {}, {})
    with pytest.raises(FileFormatError, match="is a saved checkpoint; expected a saved learner"):
        load_learner(tmp_path / "other")
    with pytest.raises(NotFoundError, match="there is no file"):
        load_learner(tmp_path / "missing.safetensors")
    with pytest.raises(NotFoundError, match="there is no file"):
        load_learner(tmp_path / "empty")  # a folder without a run


def rewritten(file: pathlib.Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of a file, as another version (or nobody's) would have written it."""
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    facts = json.loads(header["__metadata__"]["quickstudy"])
    change(facts)
    facts["meta_hash"] = storage._meta_hash(facts.get("meta"))
    header["__metadata__"]["quickstudy"] = json.dumps(facts)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned
    file.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda facts: facts.update(format=3), "has format 3, this quickstudy reads up to 2: update"),
        (lambda facts: facts.update(format=1), "has format 1, which quickstudy 0.1 wrote .* train again"),
        (lambda facts: facts.update(format="x"), "update"),
        (lambda facts: facts.update(kind="dream"), "is a saved dream"),
        (lambda facts: facts.pop("meta"), "damaged header"),
        (lambda facts: facts["meta"].pop("learner"), "damaged header"),
        (lambda facts: facts.update(meta=None), "damaged header"),
        (lambda facts: facts["meta"]["learner"]["args"].update(future=1), "future"),
        (lambda facts: facts["meta"]["learner"]["modules"]["net"]["args"].update(future=1), "future"),
        (lambda facts: facts["meta"]["learner"]["modules"]["net"]["args"].update(channels=3), f"do not fit {PROTOTYPES}"),
        (lambda facts: facts["meta"]["input"].update(depth=3), "depth"),
    ],
)
def test_headers_of_other_versions(learner_file: pathlib.Path, change: Callable[[dict[str, Any]], None], words: str) -> None:
    rewritten(learner_file, change)
    with pytest.raises(FileFormatError, match=words):
        load_learner(learner_file)


def test_an_unknown_learner_in_a_file(learner_file: pathlib.Path) -> None:
    rewritten(learner_file, lambda facts: facts["meta"]["learner"].update(name=f"{PROTOTYPES}t"))
    with pytest.raises(ConfigError, match=rf"unknown learner '{PROTOTYPES}t'. Did you mean: {PROTOTYPES}"):
        load_learner(learner_file)


@pytest.mark.parametrize("name", EXACT)
def test_shipped_learners_are_sound(name: str) -> None:
    saved = load_learner(name)
    assert saved.spec is not None
    validation = saved.info["validation"]
    assert (
        validation["accuracy"] > 0.5 if "accuracy" in validation else validation["mean_squared_error"] < 0.8
    )  # of values with spread 1
    assert bundle.read(pretrained.find(name)).manifest.licence


def test_an_unknown_shipped_learner() -> None:
    with pytest.raises(ConfigError, match=r"unknown learner file, run folder or shipped learner 'omniglott'"):
        load_learner("omniglott")
