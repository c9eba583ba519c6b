"""Sounds: numbers are librosa's, everything that users have for one is read alike, and what is none is refused by name."""

from __future__ import annotations

import io
import pathlib
import sys
import warnings
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch

from quickstudy.errors import ConfigError, DataError, InputWarning, NotFoundError, TooLargeError
from quickstudy.inputs import _sound_files, _waves
from quickstudy.inputs.sound import SoundSpec

SPEC = SoundSpec()


def tone(hertz: float = 440, rate: int = 8000, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def file(wave: np.ndarray, rate: int = 8000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """Return the content of a file, from samples `[sample]` or `[sample, channel]`."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def picture(thing: Any, spec: SoundSpec = SPEC) -> np.ndarray:
    return spec.read(thing)["sound"][0].astype(float)


# ---------------------------------------------------------------------------------------------------- anchors


@pytest.mark.parametrize(
    ("rate", "mels", "window", "hop"),
    [(8000, 40, 400, 200), (16000, 64, 400, 160), (22050, 80, 551, 221), (44100, 128, 2048, 512)],
)
def test_log_mel_pictures_are_those_of_librosa(rate: int, mels: int, window: int, hop: int) -> None:
    wave = np.random.default_rng(0).normal(size=rate // 2) * np.linspace(0, 1, rate // 2) ** 4
    size = _waves.transform_size(window)
    options = {"n_fft": size, "hop_length": hop, "win_length": window, "n_mels": mels}
    expected = librosa.feature.melspectrogram(y=wave, sr=rate, **options)[:, : len(wave) // hop]
    found = _waves.mel_power(wave, rate, mels, window, hop)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.max() * 1e-6)
    np.testing.assert_allclose(_waves.decibels(found), librosa.power_to_db(expected, ref=np.max), atol=1e-4)
    np.testing.assert_allclose(
        _waves.mel_filters(rate, size, mels), librosa.filters.mel(sr=rate, n_fft=size, n_mels=mels), atol=1e-6
    )


def test_a_stored_sound_is_librosas_picture_to_a_byte() -> None:
    wave = np.random.default_rng(1).normal(size=8000)
    wave -= wave.mean()
    wave /= np.abs(wave).max()
    power = librosa.feature.melspectrogram(y=wave, sr=8000, n_fft=512, hop_length=200, win_length=400, n_mels=40)[:, :40]
    expected = (1 + librosa.power_to_db(power, ref=np.max) / 80) * 255
    assert np.abs(picture(wave * 0.01) - expected).max() <= 0.51


@pytest.mark.parametrize(("before", "after"), [(44100, 8000), (22050, 8000), (48000, 16000), (8000, 16000), (192000, 8000)])
def test_a_tone_is_the_same_tone_at_another_rate(before: int, after: int) -> None:
    found = _waves.resampled(tone(1000, before, 1), before, after)
    assert len(found) == after
    middle = slice(after // 20, -after // 20)
    np.testing.assert_allclose(found[middle], tone(1000, after, 1)[middle], atol=1e-5)
    if after < before:  # what the lower rate cannot hold does not come back as another tone
        assert np.abs(_waves.resampled(tone(0.53 * after, before, 1), before, after)[middle]).max() < 1e-4


# ---------------------------------------------------------------------------------------------------- what users have


def test_all_that_users_have_for_sounds_is_one_thing(tmp_path: pathlib.Path) -> None:
    wave = tone()
    path = tmp_path / "tone.wav"
    path.write_bytes(file(wave, subtype="FLOAT"))
    same: dict[str, Any] = {
        "path": path,
        "name": str(path),
        "bytes": path.read_bytes(),
        "bytearray": bytearray(path.read_bytes()),
        "memoryview": memoryview(path.read_bytes()),
        "open file": io.BytesIO(path.read_bytes()),
        "16 bits": file(wave),
        "FLAC": file(wave, kind="FLAC"),
        "samples": wave,
        "float32": wave.astype(np.float32),
        "whole numbers": np.rint(wave * 2**31).astype(np.int32),
        "far softer": wave / 1000,
        "with silence around": np.pad(wave, 2000),
        "off zero": wave + 0.1,
        "tensor": torch.from_numpy(wave),
        "channels first": torch.from_numpy(np.stack([wave, wave])),
        "list": wave.tolist(),
        "pair": (wave, 8000),
        "pair as torchaudio has it": (torch.from_numpy(wave)[None], 8000),
        "pair as soundfile has it": soundfile.read(path),
        "dictionary of Hugging Face": {"array": wave, "sampling_rate": 8000, "path": None},
        "8 channels": file(np.stack([wave] * 8, 1)),
    }
    expected = picture(wave)
    for name, thing in same.items():
        found = picture(thing)
        loud = np.maximum(found, expected) > 128  # 40 decibels: the softest bytes hold what 16 bits round away
        assert np.abs(found - expected)[loud].max() <= 1, name
    for name, things in {
        "array": np.stack([wave, wave]),
        "list": [wave, wave],
        "names": np.array([str(path)] * 2)[:, None],
    }.items():
        assert SPEC.read_all(things)["sound"].shape == (2, 1, 40, 40), name


@pytest.mark.parametrize(("kind", "rate"), [("MP3", 44100), ("OGG", 22050), ("WAV", 192000), ("AIFF", 11025)])
def test_formats_and_rates_give_the_same_tone(kind: str, rate: int) -> None:
    found, expected = picture(file(tone(800, rate), rate, kind)), picture(tone(800))
    assert found.sum(1).argmax() == expected.sum(1).argmax()
    assert np.abs(found.max(0) - expected.max(0))[12:28].max() <= 2


def test_short_sounds_lie_in_the_middle_and_long_ones_lose_their_ends() -> None:
    heard = np.flatnonzero(picture(tone(seconds=0.3)).any(0))
    assert abs((heard[0] + heard[-1]) / 2 - 20) <= 1
    assert 12 <= len(heard) <= 16
    long = np.concatenate([tone(300), tone(1000, seconds=1), tone(300)])
    with pytest.warns(
        InputWarning, match=r"1 of 2 sounds are longer than 1 s \(the longest has 2\.0\); their ends are left out"
    ):
        found = SPEC.read_all([tone(), long])["sound"]
    np.testing.assert_array_equal(found[1, 0, :, 2:-2].argmax(0), picture(tone(1000)).sum(1).argmax())
    assert SPEC.lacking({"sound": found}) == "1 of 2 sounds fill all of 1 s, and what may lie beyond its ends is left out"
    assert SPEC.lacking({"sound": found[:1]}) is None


def test_silence_stays_where_trimming_is_off() -> None:
    wave = np.concatenate([tone(seconds=0.2), np.zeros(6400)])
    kept = picture(wave, SPEC.changed(trim=False))
    assert kept[:, :7].any()
    assert not kept[:, 10:].any()
    assert picture(wave)[:, 20].any()


# ---------------------------------------------------------------------------------------------------- what is none

ODD = tone()
ODD[7] = np.nan


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (np.zeros(8000), "sound 0 is silent from beginning to end"),
        (np.ones(8000), "sound 0 is silent"),  # a constant is no sound
        (np.ones(1), "sound 0 has 1 samples, 0.12 ms; expected at least 10 ms"),
        (np.zeros(0), "sound 0 has 0 samples"),
        (file(np.ones(1)), "sound 0 has 1 samples"),
        (ODD, "sound 0 holds 1 samples that are NaN or infinite"),
        (file(np.where(np.isnan(ODD), np.inf, ODD), subtype="FLOAT"), "holds 1 samples that are NaN or infinite"),
        (b"", "sound 0 is an empty file"),
        (b"no sound at all" * 99, "sound 0 cannot be read as a sound"),
        (file(tone())[:30], "sound 0 cannot be read as a sound"),
        (file(tone())[:44], "sound 0 holds no samples"),
        (file(tone(), kind="FLAC")[:60], "sound 0 "),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "sound 0 is a picture; expected a sound"),
        (None, "sound 0 is None; expected a path"),
        ({"path": "a.wav"}, "sound 0 is a dictionary"),
        (tone().astype(complex), "sound 0 is complex128"),
        (np.zeros((2, 3, 4)), "sound 0 is float64 of shape [2, 3, 4]"),
        (np.zeros((999, 999)), "more than 256 channels; give a list of sounds"),
        ((tone(), 0), "sound 0 has the rate 0; expected 2000 to 384000"),
        ((tone(), 44100.5), "sound 0 has the rate 44100.5; expected a whole number"),
        ((tone(), float("nan")), "sound 0 has the rate nan"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(thing: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        SPEC.read_all([thing])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("things", "words"),
    [
        ("a.wav", "one sound was given (a.wav); expected a list of sounds"),
        ((tone(), 8000), "one sound was given, with its rate"),
        ({"array": tone(), "sampling_rate": 8000}, "one sound was given"),
        ([], "no example was given"),
        (
            np.zeros((2, 1, 40, 39), np.uint8),
            "bytes of shape [2, 1, 40, 39] are no stored sounds; expected ['example', 1, 40, 40]",
        ),
        (np.array([["a", "b"]]), "the sounds have shape [1, 2]"),
    ],
)
def test_what_is_no_list_of_sounds_is_refused(things: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        SPEC.read_all(things)
    assert words in str(caught.value)


def test_files_that_are_not_there_or_lie_about_their_kind_are_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file of a sound '.*none\.wav'"):
        SPEC.read(tmp_path / "none.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "page.wav").write_text("<html>not found</html>" * 50)
    for name, words in {"empty.wav": "is an empty file", "page.wav": "cannot be read as a sound"}.items():
        with pytest.raises(DataError, match=rf"sound '.*{name}' {words}"):
            SPEC.read(tmp_path / name)
    with pytest.raises(DataError, match="cannot be"):
        SPEC.read(tmp_path)
    (tmp_path / "flac.wav").write_bytes(file(tone(), kind="FLAC"))  # a wrong ending alone does no harm
    assert picture(tmp_path / "flac.wav").any()


def test_a_sound_of_three_hours_is_refused_by_its_head(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, count = tmp_path / "long.wav", 3 * 3600 * 8000
    head = file(np.zeros(1))[:44]
    with path.open("wb") as stream:  # a file with a hole: it takes no room
        stream.write(head[:4] + (count * 2 + 36).to_bytes(4, "little") + head[8:40] + (count * 2).to_bytes(4, "little"))
        stream.truncate(44 + 2 * count)
    monkeypatch.setattr(np, "concatenate", None)  # nothing is put together
    with pytest.raises(TooLargeError, match=r"lasts 10,800 s or more; expected at most 120 s\. Cut it"):
        SPEC.read(path)
    with pytest.raises(TooLargeError, match="lasts 200 s; expected at most 120 s"):
        SPEC.read((np.ones(200 * 8000, np.float32), 8000))


def test_bytes_changed_at_random_are_read_or_refused_in_words() -> None:
    random, refused = np.random.default_rng(0), 0
    for kind in ("WAV", "FLAC", "OGG", "MP3"):
        whole = file(tone(), kind=kind)
        for _ in range(60):
            content = bytearray(whole)
            for place in random.integers(0, min(len(content), 200), 4):
                content[place] = random.integers(0, 256)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", InputWarning)
                    assert SPEC.read(bytes(content))["sound"].shape == (1, 40, 40)
            except (DataError, TooLargeError):
                refused += 1
    assert 20 < refused < 220


def test_without_soundfile_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    content = file(tone())
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ConfigError, match=r"which is missing .*pip install 'quickstudy\[sound\]'"):
        SPEC.read(content)
    assert picture(tone()).any()  # samples need no program for files
    assert _sound_files.READ["seconds"] == 120


# ---------------------------------------------------------------------------------------------------- specs


def test_fields_are_wishes_and_impossible_ones_are_named() -> None:
    assert SoundSpec.own(rate=16000, seconds=2) == SoundSpec(16000, 2.0)
    assert SoundSpec.own(trim=False) == SPEC.changed(trim=False)
    assert SoundSpec(16000, 0.5, 64, hop=10).layout()["sound"].shape == (1, 64, 50)
    assert SPEC.resized(SoundSpec(16000, hop=10)) == SoundSpec(16000, hop=10)
    assert SPEC.how(rate=8000, seconds=1) == {}
    for wrong, words in {
        "rate 16000 was given, but this learner takes sounds of 1 s at 8 kHz": lambda: SPEC.how(rate=16000),
        "seconds is 0": lambda: SoundSpec(seconds=0),
        "seconds is 0.01, less than a hop": lambda: SoundSpec(seconds=0.01),
        "mels is 512, but a window of 50 ms at a rate of 8000 tells only 257": lambda: SoundSpec(mels=512),
        "ink was given, but sounds have no such option": lambda: SPEC.read_all([tone()], ink="dark"),
    }.items():
        with pytest.raises(DataError, match=wrong):
            words()
    assert SoundSpec.takes(np.array([tone(), tone(seconds=1)], dtype=object))
    assert not SoundSpec.takes(np.array(["a", "b"], dtype=object))
    assert not SoundSpec.takes(np.zeros((3, 8000)))  # rows of numbers, unless somebody says more


def test_sounds_unlike_those_of_training_are_told() -> None:
    random = np.random.default_rng(0)
    training = SPEC.read_all([tone(hertz) + 0.01 * random.normal(size=4000) for hertz in range(300, 1000, 50)])
    about = SPEC.statistics(training)
    assert SPEC.unlike(about, SPEC.read_all([tone(625) + 0.01 * random.normal(size=4000)])) is None
    assert "the middle of the pitch is 1.00" in str(SPEC.unlike(about, SPEC.read_all([tone(3800)])))
    assert "the share of the time in which something is heard is 0.1" in str(
        SPEC.unlike(about, SPEC.read_all([tone(seconds=0.1)]))
    )


def test_a_picture_that_claims_another_size_is_refused_unseen() -> None:
    """Such a file may claim to hold more than the memory, or more than a number can say."""
    whole = SPEC.shown(SPEC.read(tone())).content
    np.testing.assert_array_equal(SPEC.read(whole)["sound"], SPEC.read(tone())["sound"])
    for size in (b"\0\0\xea\x60" * 2, b"\xff" * 8):
        with pytest.raises(DataError, match="expected a sound, or a picture of one of 40 bands and 40 frames"):
            SPEC.read(whole[:16] + size + whole[24:])


def test_a_tuple_of_two_sounds_with_their_rates_is_two_sounds() -> None:
    pairs = ((tone(), 8000), (tone(seconds=0.2), 8000))
    np.testing.assert_array_equal(SPEC.read_all(pairs)["sound"], SPEC.read_all([*pairs])["sound"])
