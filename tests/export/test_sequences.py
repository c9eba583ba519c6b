"""A learner of sequences without torch equals the one with it, is saved and goes on, and refuses what it cannot learn in words."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import torch
from builders import Descent
from exports import exported

from quickstudy.errors import ConfigError, DataError, FileFormatError, ModelError
from quickstudy.export.c.firmware import FirmwareSettings, write_firmware
from quickstudy.inputs.sound import SoundSpec
from quickstudy.nets.frames import Frames
from quickstudy.runtime import Learner, Skill
from quickstudy.runtime import manifest as manifests
from quickstudy.runtime.learner import begun
from quickstudy.runtime.skill_file import engine_of
from quickstudy.training.saving import SavedLearner, load_learner, save_learner

SPEC = SoundSpec(seconds=0.35, mels=4)
TEXTS = ["ab", "bb", "a b", "b"]


def saved() -> SavedLearner:
    torch.manual_seed(0)
    net = Frames(4, SPEC.frames, 6, norm="none")
    return SavedLearner(Descent(net, head_ways=4, inner_lr=0.5), SPEC, target="sequences", symbols=(" ", "a", "b"))


@pytest.fixture(scope="module")
def shipped() -> Learner:
    return exported("sequences", saved())


def sounds(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (4, 1, 4, SPEC.frames), np.uint8)


def test_it_equals_torch(shipped: Learner) -> None:
    of_torch = begun(engine_of(saved()), None, False, {"inner_steps": 9}).add(sounds(), TEXTS)
    without = shipped.adapt(sounds(), TEXTS, inner_steps=9)
    np.testing.assert_allclose(without.logits(sounds(1)), of_torch.logits(sounds(1)), rtol=1e-5, atol=1e-5)
    assert without.predict(sounds()) == of_torch.predict(sounds())
    assert without.predict(sounds(), beam=5) == of_torch.predict(sounds(), beam=5)
    assert shipped.manifest.programs["predict"].outputs == {"prediction": ("query", 7, 4)}
    assert shipped.manifest.programs["adapt"].inputs["support.y"] == ("example", "place", 4)
    assert shipped.bundle.graphs["adapt.onnx"].count(b"Loop") == 1


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_a_skill_is_saved_and_learns_more(shipped: Learner, engine: str, tmp_path: pathlib.Path) -> None:
    source: Any = saved() if engine == "torch" else shipped
    begun(engine_of(source), None, False, {}).add(sounds(), TEXTS).save(tmp_path / "task.qs")
    skill = Skill.load(tmp_path / "task.qs")
    assert skill.labels == [" ", "a", "b"]
    assert skill.examples is not None
    assert skill.examples.y == TEXTS
    both = np.concatenate([sounds(), sounds(2)[:1]])
    expected = begun(engine_of(source), None, False, {}).add(both, [*TEXTS, "bab"]).logits(sounds(1))
    np.testing.assert_allclose(skill.add(sounds(2)[:1], ["bab"]).logits(sounds(1)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_what_cannot_be_learned_is_said(shipped: Learner, engine: str) -> None:
    skill = begun(engine_of(saved() if engine == "torch" else shipped), None, False, {})
    for texts, words in (
        (["ab", "c", "a", "b"], "the transcripts have 'c', which is not in the learner's alphabet ' ab'; spell it"),
        (["ab", "aaaaa", "a", "b"], "transcript 1, 'aaaaa', has 5 symbols and needs 9 frames .* but the learner has 7"),
        (["ab", "", "a", "b"], "transcript 1 is empty"),
    ):
        with pytest.raises(DataError, match=words):
            skill.add(sounds(), texts)
    skill.add(sounds(), TEXTS)
    with pytest.raises(ConfigError, match="learned sequences, and unlearns no symbol"):
        skill.forget("a")
    with pytest.raises(ConfigError, match="predicts sequences, which have no probabilities"):
        skill.predict_proba(sounds())


def test_it_is_saved_with_its_alphabet(tmp_path: pathlib.Path) -> None:
    save_learner(tmp_path / "learner.safetensors", saved())
    assert load_learner(tmp_path / "learner.safetensors").symbols == (" ", "a", "b")


def test_a_head_that_starts_at_zero_takes_the_alphabet_of_its_task() -> None:
    learner = SavedLearner(Descent(Frames(4, SPEC.frames, 6)), SPEC, target="sequences")
    skill = begun(engine_of(learner), None, False, {}).add(sounds(), ["xy", "y", "x", "yy"])
    assert skill.labels == [" ", "x", "y"]
    assert skill.add(sounds(1)[:1], ["z"]).labels == [" ", "x", "y", "z"]
    assert skill.logits(sounds()).shape == (4, 7, 5)


def test_c_refuses_it(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        ModelError, match="the learner answers with sequences, which C does not decode; export without --target c"
    ):
        write_firmware(tmp_path, saved(), FirmwareSettings(ways=4))


def test_a_bundle_whose_answers_have_another_shape_is_refused(shipped: Learner) -> None:
    text = shipped.manifest.model_dump_json().replace('"kind":"sequences"', '"kind":"values"')
    with pytest.raises(FileFormatError, match=r"support.y is \('example', 'place', 4\); expected \('example', 4\)"):
        manifests.parse(text.encode(), "x.qs")
