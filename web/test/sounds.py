"""Sounds, the pictures that Python makes of them, and what the shipped learner of sounds answers; `fixtures.py` calls it."""

import base64
import json
import pathlib
import shutil
import warnings

import numpy as np

from quickstudy.errors import DataError, InputWarning, TooLargeError, UnlikeTrainingWarning
from quickstudy.inputs import _waves
from quickstudy.inputs.sound import SoundSpec, _checked
from quickstudy.runtime import Learner, pretrained

SPECS = [
    SoundSpec(),
    SoundSpec(trim=False),
    SoundSpec(16000, 0.5, 64, window=25.0, hop=10.0),
    SoundSpec(11025, 1.3, 20),
]
SHAPES = [
    (8000, 1, 0.7),
    (16000, 2, 0.4),
    (44100, 2, 1.6),
    (48000, 1, 0.9),
    (22050, 3, 0.3),
    (11025, 1, 0.011),
    (12345, 1, 1.1),
]
"""Rate, channels and seconds of each sound."""
RATES = {"rising": 8000, "falling": 16000, "hum": 44100}


def tone(rate: int, seconds: float, kind: str, seed: int) -> np.ndarray:
    """Return a tone with overtones and a little noise, between silences, float32 `[sample]`."""
    rng = np.random.default_rng(seed)
    count = max(1, round(rate * seconds))
    time = np.arange(count) / rate
    share = time / max(seconds, 1e-9)
    pitch = {"rising": 200 + 600 * share, "falling": 900 - 600 * share, "hum": 150 + 0 * share}[kind] * rng.uniform(0.9, 1.1)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wave = (np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.2 * np.sin(5 * phase)) * np.hanning(count + 2)[1:-1]
    quiet = 1e-4 * rng.standard_normal(round(rate * 0.15))
    return np.concatenate([quiet, wave + 0.003 * rng.standard_normal(count), quiet[::-1]]).astype(np.float32)


def plain(channels: np.ndarray, rate: float) -> dict[str, object]:
    """Return a sound as the tests read it: the bytes of each channel."""
    return {"channels": [base64.b64encode(channel.tobytes()).decode() for channel in np.atleast_2d(channels)], "rate": rate}


def sounds(folder: pathlib.Path) -> None:
    """Write how sounds are stored, which are refused, what is said of them, and what `sounds` answers."""
    found = [stored(spec, *shape, seed) for spec in SPECS for seed, shape in enumerate(SHAPES)]
    (folder / "sounds.unit.json").write_text(json.dumps({"stored": found, "refused": refused(), "unlike": unlike()}))
    shutil.copy(pretrained.find("sounds"), folder / "sounds.qs")
    labels = [kind for kind in RATES for _ in range(2)]
    support = [(tone(rate, 0.5, kind, seed), rate) for kind, rate in RATES.items() for seed in (1, 2)]
    more = [(tone(48000, 0.4, "hum", 7), 48000), (np.random.default_rng(8).standard_normal(3000).astype(np.float32), 8000)]
    query = [(tone(rate, 0.6, kind, 5), rate) for kind, rate in RATES.items()] + [(tone(22050, 1.5, "rising", 6), 22050)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        skill = Learner.load("sounds").adapt(support, labels)
        expected = {"logits": skill.logits(query).tolist(), "probabilities": skill.predict_proba(query).tolist()}
        expected |= {"predicted": skill.predict(query), "unknown": skill.unknown(query).tolist()}
        skill.add(more, ["hum", "noise"])
        expected |= {"logitsAfterMore": skill.logits(query).tolist(), "classes": skill.labels}
    for name, kind in (("lost", InputWarning), ("unlike", UnlikeTrainingWarning)):
        expected[name] = next((str(warning.message) for warning in said if warning.category is kind), None)
    expected |= {"support": [plain(*sound) for sound in support], "labels": labels, "query": [plain(*sound) for sound in query]}
    expected |= {"more": [plain(*sound) for sound in more], "moreLabels": ["hum", "noise"]}
    (folder / "sounds.json").write_text(json.dumps(expected))


def stored(spec: SoundSpec, rate: int, channels: int, seconds: float, seed: int) -> dict[str, object]:
    """Return a sound with its picture, in decibels and in bytes, and the warning of what was lost."""
    waves = np.stack([tone(rate, seconds, list(RATES)[(seed + channel) % 3], seed + channel) for channel in range(channels)])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        picture = spec.read_all([(waves if channels > 1 else waves[0], rate)])["sound"][0]
    wave = _checked(waves.mean(0, dtype=np.float64), rate, "a sound")
    wave = _waves.trimmed(wave, rate) if spec.trim else wave
    window, hop = (round(time * spec.rate / 1000) for time in (spec.window, spec.hop))
    length = spec.frames * hop
    kept = _waves.centred(wave, -(-length * rate // spec.rate)) if len(wave) * spec.rate > length * rate else wave
    there = _waves.centred(_waves.resampled(kept, rate, spec.rate), length)
    return {
        **plain(waves, rate),
        "name": f"{rate} Hz, {channels} channels, {seconds} s, as {spec}, trimmed: {spec.trim}",
        "input": spec.model_dump(mode="json"),
        "layout": {name: part.model_dump(mode="json") for name, part in spec.layout().items()},
        "samples": len(wave),
        "levels": _waves.decibels(_waves.mel_power(there, spec.rate, spec.mels, window, hop)).ravel().tolist(),
        "stored": picture.ravel().tolist(),
        "said": str(said[0].message) if said else None,
    }


def refused() -> list[dict[str, object]]:
    """Return sounds that are refused, with the words."""
    hum = tone(8000, 0.3, "hum", 1)
    broken = np.where(np.arange(len(hum)) % 1000 == 7, np.nan, hum).astype(np.float32)
    given = [(np.zeros(8000, np.float32), 8000), (np.full(8000, 0.5, np.float32), 8000), (hum[:1], 8000), (hum[:0], 8000)]
    given += [(hum[:79], 8000), (np.resize(hum, 2000 * 121), 2000), (broken, 8000), (hum, 1999), (hum, 400_000), (hum, 8000.5)]
    found = []
    for samples, rate in given:
        try:
            SoundSpec().read_all([(hum, 8000), (samples, rate)])
        except (DataError, TooLargeError) as error:
            found.append({**plain(samples, rate), "said": str(error)})
    return found


def unlike() -> list[dict[str, object]]:
    """Return sets of sounds with their statistics, and what is said of them if a learner was trained on the first."""
    spec = SoundSpec()
    waves = [[(tone(8000, 0.5, kind, seed), 8000) for seed in range(3)] for kind in RATES]
    waves += [[(tone(8000, 0.05, "rising", 1), 8000)], [(np.random.default_rng(1).standard_normal(8000), 8000)]]
    pictures = [spec.read_all(given)["sound"] for given in waves]
    trained = spec.statistics({"sound": pictures[0]})
    return [
        {
            "stored": found.ravel().tolist(),
            "shape": found.shape,
            "statistics": spec.statistics({"sound": found}),
            "trained": trained,
            "said": spec.unlike(trained, {"sound": found}),
        }
        for found in pictures
    ]
