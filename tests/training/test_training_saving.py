"""Saved learners and tasks: what comes back, and files that are damaged, foreign, newer, or on a net of the user's own."""

from __future__ import annotations

import json
import pathlib
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from quickstudy import discovery, storage
from quickstudy.errors import ConfigError, FileFormatError, NotFoundError
from quickstudy.inputs.image import ImageSpec
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.conv4 import Conv4
from quickstudy.runtime import bundle, pretrained
from quickstudy.training.saving import SavedLearner, SavedTask, load_learner, load_task, save_learner, save_task, to_arrays

Make = Callable[..., Any]
SPEC = ImageSpec(16, 16, 1, "dark")


@pytest.fixture
def learner_file(tmp_path: pathlib.Path) -> pathlib.Path:
    torch.manual_seed(0)
    learner = ProtoNet(Conv4(image_size=16, channels=2))
    save_learner(tmp_path / "learner.safetensors", SavedLearner(learner, SPEC, {"note": "naïve ± ☃"}))
    return tmp_path / "learner.safetensors"


@pytest.fixture
def task_file(learner_file: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    saved = load_learner(learner_file)
    save_task(tmp_path / "my.task", SavedTask(saved, {"sums": torch.ones(2, 2), "counts": torch.ones(2)}, ("a", 7)))
    return tmp_path / "my.task"


def load(file: pathlib.Path) -> SavedLearner | SavedTask:
    return load_task(file) if file.suffix == ".task" else load_learner(file)


def save(file: pathlib.Path, found: SavedLearner | SavedTask) -> None:
    if isinstance(found, SavedTask):
        save_task(file, found)
    else:
        save_learner(file, found)


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
    save_task(tmp_path / "t", SavedTask(saved, state, ("a", 2, True)))
    again = load_task(tmp_path / "t")
    assert again.labels == ("a", 2, True)
    assert weights(again.saved) == weights(saved)
    assert torch.equal(again.saved.learner.predict(again.state, task.query.x), learner.predict(state, task.query.x))


def test_hyperparameters_may_be_changed_by_name(make_learner: Make, tmp_path: pathlib.Path) -> None:
    save_learner(tmp_path / "x", SavedLearner(make_learner("maml")))
    changed = load_learner(tmp_path / "x", inner_steps=7).learner
    assert changed.inner_steps == 7
    with pytest.raises(ConfigError, match=r"unknown hyperparameter of maml 'inner_step'. Did you mean: inner_steps"):
        load_learner(tmp_path / "x", inner_step=7)


def test_a_net_of_ones_own_must_be_given(tmp_path: pathlib.Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 3))
    save_learner(tmp_path / "x", SavedLearner(ProtoNet(net)))
    with pytest.raises(ConfigError, match=r"net of your own, torch.nn.modules.container.Sequential; pass an instance as net="):
        load_learner(tmp_path / "x")
    saved = load_learner(tmp_path / "x", net=torch.nn.Sequential(torch.nn.Linear(4, 3)))
    assert torch.equal(next(saved.learner.parameters()), net[0].weight)
    with pytest.raises(FileFormatError, match="do not fit protonet"):
        load_learner(tmp_path / "x", net=torch.nn.Linear(9, 9))


@pytest.mark.parametrize("kind", ["learner", "task"])
def test_one_wrong_bit_anywhere_is_noticed_or_changes_nothing(
    learner_file: pathlib.Path, task_file: pathlib.Path, tmp_path: pathlib.Path, kind: str
) -> None:
    file = learner_file if kind == "learner" else task_file
    good, refused = file.read_bytes(), 0
    rng = np.random.default_rng(0)
    places = {0, 7, 8, 9, len(good) - 1, *rng.integers(0, len(good), 150).tolist()}
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(bad)
        try:
            found = load(file)
        except FileFormatError as error:
            assert file.name in str(error)
            refused += 1
            continue
        save(tmp_path / "again", found)
        assert (tmp_path / "again").read_bytes() == good
    assert refused > 0.9 * len(places)


@pytest.mark.parametrize("length", [0, 4, 8, 60, 700, -1])
def test_files_cut_short(learner_file: pathlib.Path, length: int) -> None:
    learner_file.write_bytes(learner_file.read_bytes()[:length])
    with pytest.raises(FileFormatError, match="damaged or no safetensors"):
        load_learner(learner_file)


def test_foreign_files(learner_file: pathlib.Path, task_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "torch.pt")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    for file in (tmp_path / "torch.pt", tmp_path / "text"):
        with pytest.raises(FileFormatError, match=r"no safetensors file|no part of a bundle"):
            load_learner(file)
    with pytest.raises(FileFormatError, match="is a saved task; expected a saved learner"):
        load_learner(task_file)
    with pytest.raises(FileFormatError, match="is a saved learner; expected a saved task"):
        load_task(learner_file)
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
        (lambda facts: facts.update(format=2), "has format 2, this quickstudy reads up to 1: update"),
        (lambda facts: facts.update(format="x"), "update"),
        (lambda facts: facts.update(kind="dream"), "is a saved dream"),
        (lambda facts: facts.pop("meta"), "damaged header"),
        (lambda facts: facts["meta"].pop("learner"), "damaged header"),
        (lambda facts: facts.update(meta=None), "damaged header"),
        (lambda facts: facts["meta"]["learner"]["args"].update(future=1), "future"),
        (lambda facts: facts["meta"]["net"]["args"].update(future=1), "future"),
        (lambda facts: facts["meta"]["net"]["args"].update(channels=3), "do not fit protonet"),
        (lambda facts: facts["meta"]["input"].update(depth=3), "depth"),
    ],
)
def test_headers_of_other_versions(learner_file: pathlib.Path, change: Callable[[dict[str, Any]], None], words: str) -> None:
    rewritten(learner_file, change)
    with pytest.raises(FileFormatError, match=words):
        load_learner(learner_file)


def test_an_unknown_learner_in_a_file(learner_file: pathlib.Path) -> None:
    rewritten(learner_file, lambda facts: facts["meta"]["learner"].update(name="protonett"))
    with pytest.raises(ConfigError, match=r"unknown learner 'protonett'. Did you mean: protonet"):
        load_learner(learner_file)


def test_labels_that_json_cannot_hold(learner_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileFormatError, match=r"label \('a', 1\) is a tuple"):
        save_task(tmp_path / "x.task", SavedTask(load_learner(learner_file), {}, (("a", 1),)))
    assert not (tmp_path / "x.task").exists()


@pytest.mark.parametrize("name", pretrained.names())
def test_shipped_learners_are_sound(name: str) -> None:
    saved = load_learner(name)
    assert saved.spec is not None
    assert saved.info["validation"]["accuracy"] > 0
    assert bundle.read(pretrained.find(name)).manifest.licence


def test_an_unknown_shipped_learner() -> None:
    with pytest.raises(ConfigError, match=r"unknown learner file, run folder or shipped learner 'omniglott'"):
        load_learner("omniglott")
