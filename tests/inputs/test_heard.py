"""Waves from log-mel pictures: what a person hears has the picture that the learner saw."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from quickstudy.inputs import _heard
from quickstudy.inputs.sound import SoundSpec


def vowel(pitch: float, rate: int) -> np.ndarray:
    """Return a voice that goes up: harmonics, with noise, which fade in and out."""
    time = np.arange(rate) / rate
    tones = sum(np.sin(2 * np.pi * number * pitch * (1 + 0.2 * time) * time) / number for number in range(1, 9))
    return (tones + 0.05 * np.random.default_rng(0).normal(size=rate)) * np.sin(np.pi * time) ** 2


@pytest.mark.parametrize(("rate", "mels"), [(8000, 40), (16000, 64)])
def test_a_sound_and_what_is_heard_of_it_look_alike(rate: int, mels: int) -> None:
    spec = SoundSpec(rate, 1.0, mels, trim=False)
    seen = spec.read((vowel(150.0, rate), rate))["sound"]
    shown = spec.shown({"sound": seen})
    samples, found = soundfile.read(io.BytesIO(shown.sound))
    assert (found, samples.shape) == (rate, (rate,))
    again = spec.read((samples, rate))["sound"]
    other = spec.read((vowel(260.0, rate), rate))["sound"]

    def alike(first: np.ndarray, second: np.ndarray) -> float:
        return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])

    assert alike(seen, again) > 0.9
    assert alike(seen, again) > alike(seen, other)


def test_silence_stays_silent() -> None:
    assert not _heard.wave_of(np.zeros((40, 40), np.uint8), 8000, 400, 200).any()


def test_samples_beyond_what_a_file_holds_are_cut() -> None:
    samples, _ = soundfile.read(io.BytesIO(_heard.wav(np.array([0.25, 2.0, -2.0]), 8000)))
    assert samples == pytest.approx([0.25, 1.0, -1.0], abs=1e-4)
