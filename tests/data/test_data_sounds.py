"""Data sets of sounds: folders, zips and tables of paths; spoken words and recorded digits; what cannot be read is counted."""

from __future__ import annotations

import json
import pathlib
import zipfile

import numpy as np
import pytest
import soundfile

from quickstudy.data import DataWarning, load
from quickstudy.data.download import content_digest
from quickstudy.data.known import fsdd
from quickstudy.data.loading import kind_of
from quickstudy.data.readers import _tree
from quickstudy.errors import DataError
from quickstudy.inputs.sound import SoundSpec

HERTZ = {"low": 300, "middle": 700, "high": 1500}


def write(folder: pathlib.Path, copies: int = 3, ending: str = "wav") -> pathlib.Path:
    """Write a folder of tones, one folder in it for each class; every file has a rate of its own."""
    for name, hertz in HERTZ.items():
        (folder / name).mkdir(parents=True)
        for copy in range(copies):
            rate = 8000 + 1000 * copy
            wave = np.sin(2 * np.pi * hertz * np.arange(rate // 2) / rate)
            soundfile.write(folder / name / f"{copy}.{ending}", np.stack([wave] * (1 + copy), 1), rate)
    return folder


@pytest.fixture
def tones(tmp_path: pathlib.Path) -> pathlib.Path:
    return write(tmp_path / "tones")


def test_folder_zip_and_table_hold_the_same_sounds(tones: pathlib.Path, tmp_path: pathlib.Path) -> None:
    files = sorted(tones.rglob("*.wav"))
    with zipfile.ZipFile(tmp_path / "tones.zip", "w") as archive:
        for file in files:
            archive.write(file, file.relative_to(tmp_path))
    lines = [(str(file.relative_to(tmp_path)), file.parent.name) for file in files]
    (tmp_path / "table.csv").write_text("\n".join(["take,word", *(",".join(line) for line in lines)]))
    (tmp_path / "table.jsonl").write_text("\n".join(json.dumps({"sound": path, "label": label}) for path, label in lines))
    (tmp_path / "whole.tsv").write_text("\n".join(["sound\tlabel", *(f"{file}\t{file.parent.name}" for file in files)]))
    found = [load(tones, "all"), load(tmp_path / "tones.zip", "all")]
    found += [load(tmp_path / "table.csv", "all", sound="take", label="word")]
    found += [load(tmp_path / name, "all") for name in ("table.jsonl", "whole.tsv")]
    assert found[0].classes == ("high", "low", "middle")
    assert found[0].spec == SoundSpec()
    assert {data.fingerprint for data in found} == {found[0].fingerprint}
    peaks = found[0].examples["sound"][:, 0].astype(int).sum(2).argmax(1).reshape(3, 3)
    assert (np.ptp(peaks, axis=1) == 0).all()  # no rate and no number of channels changes the pitch
    assert peaks[1, 0] < peaks[2, 0] < peaks[0, 0]
    for path in (tones, tmp_path / "tones.zip", tmp_path / "table.csv", tmp_path / "table.jsonl", tmp_path / "whole.tsv"):
        assert kind_of(path) == "sound", path
    assert load(tones, "all", rate=16000, seconds=0.8).examples["sound"].shape == (9, 1, 40, 32)
    with pytest.warns(DataWarning, match=r"9 of 9 sounds fill all of 0\.4 s"):
        load(tones, "all", seconds=0.4)


def test_a_table_of_texts_stays_one_and_a_column_is_not_named_twice(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text('text,label\n"a long\nline, and a.wav",x\nb.wav is lost,y\n')
    assert kind_of(path) == "text"
    assert load(path, "all").classes == ("x", "y")
    with pytest.raises(DataError, match="is named for two parts"):
        load(path, "all", sound="text", text="text")
    with pytest.raises(DataError, match=r"no column 'take'; it has text, label\. .* such as --sound text"):
        load(path, "all", sound="take")


def test_what_cannot_be_read_is_left_out_and_counted(tones: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tones / "low" / "silent.wav").write_bytes((tones / "low" / "0.wav").read_bytes()[:44] + bytes(8000))
    (tones / "low" / "empty.wav").touch()
    (tones / "high" / "page.wav").write_text("<html>")
    with pytest.warns(
        DataWarning, match=r"left out 3 of 12 sounds that cannot be read: high/page\.wav, low/empty\.wav, low/silent\.wav"
    ):
        assert load(tones, "all").counts.tolist() == [3, 3, 3]
    with pytest.raises(DataError, match=r"cannot read 'high/page\.wav' \(3 of 12 sounds\); mend it"):
        load(tones, "all", strict=True)
    table = tmp_path / "table.csv"
    table.write_text("sound,label\ntones/low/0.wav,a\ntones/low/9.wav,a\n../none.wav,b\ntones,b\ntones/high/0.wav,b\n,b\n")
    with (
        pytest.warns(DataWarning, match=r"3 of 5 files are not to be had: '\.\./none\.wav' \(No such file"),
        pytest.warns(DataWarning, match="1 of 6 rows have no sound or no label"),
    ):
        assert load(table, "all").counts.tolist() == [1, 1]
    table.write_text("sound,label\ntones/low/9.wav,a\n")
    with pytest.raises(DataError, match=r"1 of 1 files are not to be had.*mend the paths"):
        load(table, "all", strict=True)
    with pytest.warns(DataWarning, match="not to be had"), pytest.raises(DataError, match="none of its 1 files is there"):
        load(table, "all")


def test_files_that_would_fill_the_memory_are_left_out(tones: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tones / "low" / "huge.wav").open("wb") as stream:
        stream.truncate(2**40)  # a file with a hole: it takes no room
    with pytest.warns(DataWarning, match=r"left out 1 of 10 sounds that cannot be read: low/huge\.wav"):
        assert load(tones, "all").counts.tolist() == [3, 3, 3]
    assert _tree.LARGEST == 2**28


# ---------------------------------------------------------------------------------------------------- known sets


VOICES = ("speaker_digits", "train_voices", "test_voices")
"""Splits of FSDD whose classes are digits of one speaker."""


def test_fsdd_divides_its_3000_recordings_by_digit_and_by_speaker(
    real_data: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # the files of each class, without reading them
        patch.setattr(fsdd, "dataset_of", lambda job, classes, name, strict: classes)
        found = {split: fsdd.read(split, fsdd.SPEC, real_data, True) for split in fsdd.SPLITS}
    sizes = {split: {len(entry.paths) for entry in classes} for split, classes in found.items()}  # type: ignore[attr-defined]
    assert sizes == {"train": {270}, "test": {30}, "all": {300}, "speakers": {500}, **{name: {50} for name in VOICES}}
    names = {split: [entry.name for entry in classes] for split, classes in found.items()}  # type: ignore[attr-defined]
    assert names["train"] == names["test"] == names["all"] == list("0123456789")
    assert names["speakers"] == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    assert names["speaker_digits"][:2] == ["george/0", "george/1"]
    assert len(names["speaker_digits"]) == 60
    assert {name.partition("/")[0] for name in names["test_voices"]} == {"lucas", "nicolas"}
    assert sorted(names["train_voices"] + names["test_voices"]) == names["speaker_digits"]
    assert content_digest(real_data / "fsdd" / "recordings.zip", "recordings.zip") == fsdd.ARCHIVE.digest


@pytest.mark.filterwarnings("ignore::quickstudy.data.dataset.DataWarning")  # some recordings are longer than a second
def test_fsdd_is_read_from_its_zip_at_any_size(real_data: pathlib.Path) -> None:
    data = load("fsdd", "test", data_dir=real_data, rate=4000, mels=24)
    assert data.spec == SoundSpec(4000, mels=24)
    with zipfile.ZipFile(real_data / "fsdd" / "recordings.zip") as archive:
        one = data.spec.read(archive.read("recordings/7_theo_3.wav"))["sound"]
    seven = data.select([data.classes.index("7")]).examples["sound"]
    assert (seven == one).all((1, 2, 3)).sum() == 1


def test_an_npz_file_of_sounds_says_so_by_the_name_of_its_array(tmp_path: pathlib.Path) -> None:
    waves = np.stack([np.sin(2 * np.pi * hertz * np.arange(4000) / 8000) for hertz in (300, 300, 900, 900)])
    np.savez(tmp_path / "sounds.npz", sounds=waves, labels=np.array(["low", "low", "high", "high"]))
    found = load(tmp_path / "sounds.npz", "all")
    assert found.spec == SoundSpec()
    np.testing.assert_array_equal(found.examples["sound"][2:], SoundSpec().read_all(waves[:2])["sound"])
