"""Data sets that espeak-ng speaks: words in many voices, and strings of digits in many languages."""

from __future__ import annotations

import pathlib
import struct

import numpy as np
import pytest

from quickstudy.data import digit_strings, espeak, load, voices
from quickstudy.data.known import fsdd, languages
from quickstudy.data.known import voices as known_voices
from quickstudy.errors import DataError
from quickstudy.inputs.sound import SoundSpec
from quickstudy.tasks.strings import Strings, StringTasks


def test_voices_speak_each_word_alike_wherever_it_is_asked_for(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "WORDS", ("banana", "robot", "sister", "window"))
    monkeypatch.setattr(espeak, "program", lambda: str(program(tmp_path)))
    two, one = (voices.load_voices(words, SoundSpec(), copies=2) for words in (("robot", "banana"), ("banana",)))
    np.testing.assert_array_equal(two.select([0]).examples["sound"], one.examples["sound"])
    assert not (one.examples["sound"][0] == one.examples["sound"][1]).all()
    other = voices.load_voices(["banana"], SoundSpec(), copies=2, seed=1)
    assert other.fingerprint != one.fingerprint
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(tmp_path / "cache"))
    first = load("voices", "all")
    assert first.counts.tolist() == [20] * 4
    monkeypatch.setattr(voices, "load_voices", None)  # from the cache
    again = load("voices", "all")
    np.testing.assert_array_equal(again.examples["sound"], first.examples["sound"])
    assert [len(load("voices", split).classes) for split in ("train", "val", "test")] == [2, 1, 1]
    assert known_voices.SPEC == fsdd.SPEC


def test_voices_without_the_program_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        DataError, match=r"spoken by the program espeak-ng, which is not there\. Install it: apt install espeak-ng"
    ):
        load("voices", "all")
    with pytest.raises(DataError, match="copies is 0 and seed is 0"):
        voices.load_voices(["a"], SoundSpec(), copies=0)
    monkeypatch.setattr(espeak, "program", lambda: "/bin/false")
    with pytest.raises(DataError, match="espeak-ng spoke nothing"):
        espeak.speak("/bin/false", "word", espeak.Voice("en-us", 150, 50, "."))


def test_words_are_no_digits_and_differ() -> None:
    assert len(set(voices.WORDS)) == len(voices.WORDS) == 345
    alike = {
        "zero",
        "one",
        "won",
        "two",
        "to",
        "too",
        "three",
        "four",
        "for",
        "fore",
        "five",
        "six",
        "seven",
        "eight",
        "ate",
        "nine",
        "oh",
    }
    assert not alike & set(voices.WORDS)


def test_strings_of_digits_say_what_is_heard(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "program", lambda: str(program(tmp_path)))
    heard: list[str] = []

    def speak(_: str, text: str, voice: espeak.Voice) -> tuple[np.ndarray, int]:
        heard.append(text)
        return np.sin(2 * np.pi * voice.pitch * 10 * np.arange(4000 * len(text.split())) / 8000), 8000  # half a second for each

    monkeypatch.setattr(espeak, "speak", speak)
    spec = SoundSpec(seconds=1.6)
    both = digit_strings.load_digit_strings(["fi+m1", "ta+f2"], spec, count=20)
    texts = [name.partition("/") for name, count in zip(both.classes, both.counts, strict=True) for _ in range(count)]
    assert [voice for voice, _, _ in texts] == ["fi+m1"] * 20 + ["ta+f2"] * 20
    assert set(both.groups) == {"fi+m1", "ta+f2"}
    assert {len(said) for _, _, said in texts} == {1, 2, 3}  # of up to five, three have time
    assert {len(text.split()) for text in heard} == {1, 2, 3, 4, 5}
    alone = digit_strings.load_digit_strings(["ta+f2"], spec, count=20)
    np.testing.assert_array_equal(alone.examples["sound"], both.examples["sound"][20:])  # whatever else is spoken
    with pytest.raises(DataError, match=r"fi\+m1 needs more than 0\.3 seconds for \d; let sounds be longer \(--seconds\)"):
        digit_strings.load_digit_strings(["fi+m1"], SoundSpec(seconds=0.3))
    with pytest.raises(DataError, match="2 voices have 1 different names"):
        digit_strings.load_digit_strings(["fi+m1", "fi+m1"], spec)
    with pytest.raises(DataError, match="count is 0 and seed is -1"):
        digit_strings.load_digit_strings(["fi+m1"], spec, count=0, seed=-1)


RELATED = ({"cy", "ga", "gd"}, {"et", "fi", "hu", "smj"}, {"kn", "ml", "ta", "te"}, {"haw", "id", "mi", "ms"})
"""Languages of one family each: Celtic, Uralic, Dravidian and Austronesian."""


def test_languages_are_shared_out_by_families(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [language for some in languages.LANGUAGES.values() for language in some]
    assert len(every) == len(set(every)) == 82
    assert len(languages.LANGUAGES["test"]) == 16
    assert all(any(family <= set(some) for some in languages.LANGUAGES.values()) for family in RELATED)
    monkeypatch.setattr(espeak, "program", lambda: str(program(tmp_path)))
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(languages, "LANGUAGES", {"train": ["fi", "ta"], "val": ["id"], "test": ["cy"]})
    found = load("languages", "train")
    assert set(found.groups) == {f"{language}+{timbre}" for language in ("fi", "ta") for timbre in languages.timbres(language)}
    assert found.counts.sum() == 2 * 3 * 60
    assert len(set(load("languages", "all").groups)) == 12
    task = StringTasks(found, shots=10, queries=40, strings=Strings(shuffled=True))[0]
    assert task.support.y.places.shape[-1] == 12  # ten digits, the space and the blank


def program(folder: pathlib.Path) -> pathlib.Path:
    """Write a program that speaks as espeak-ng does to its standard output: a tone that depends on speed and pitch."""
    path = folder / "espeak-ng"
    for number in range(10):
        wave = (9000 * np.sin(2 * np.pi * (300 + 100 * number) * np.arange(8000) / 22050)).astype("<i2").tobytes()
        unknown = (2**31).to_bytes(4, "little")  # a length that is not known yet
        head = b"RIFF" + unknown + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 22050, 44100, 2, 16) + b"data" + unknown
        (folder / f"{number}.wav").write_bytes(head + wave)
    path.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo "eSpeak NG text-to-speech: 1.51.1" && exit\n'
        'cat "${0%/*}/$((($4 + $6) % 10)).wav"\n'
    )
    path.chmod(0o755)
    return path
