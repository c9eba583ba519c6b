"""Arrays in memory, .npz files and idx files."""

from __future__ import annotations

import gzip
import pathlib
import struct

import numpy as np
import pytest

from quickstudy.data import from_arrays, load
from quickstudy.data.readers.idx import read_idx
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec

IMAGES = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)
LABELS = np.array([2, 0, 1, 2, 0, 1])


def save_idx(folder: pathlib.Path, packed: bool = False) -> pathlib.Path:
    """Write an idx pair and return the image file."""
    suffix = ".gz" if packed else ""
    for kind, values in (("images-idx3", IMAGES), ("labels-idx1", LABELS.astype(np.uint8))):
        content = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
        (folder / f"set-{kind}-ubyte{suffix}").write_bytes(gzip.compress(content) if packed else content)
    return folder / f"set-images-idx3-ubyte{suffix}"


def test_arrays_are_sorted_by_class_and_keep_their_order_within() -> None:
    data = from_arrays(IMAGES, LABELS, classes=["u", "v", "w", "unused"])
    assert data.classes == ("u", "v", "w")
    assert data.counts.tolist() == [2, 2, 2]
    assert (data.examples["image"][..., 0] == IMAGES[[1, 4, 2, 5, 0, 3]]).all()
    assert data.spec == ImageSpec(4, 5, 1)


def test_float_arrays_and_colour_and_another_size() -> None:
    data = from_arrays(IMAGES.astype(np.float32) / 255, LABELS)
    assert (data.examples["image"][..., 0] == IMAGES[[1, 4, 2, 5, 0, 3]]).all()
    colour = np.repeat(IMAGES[..., None], 3, axis=3)
    assert from_arrays(colour, LABELS).spec == ImageSpec(4, 5, 3)
    assert from_arrays(colour, LABELS, spec=ImageSpec(8, 8, 1)).examples["image"].shape == (6, 8, 8, 1)


def test_npz_with_either_pair_of_names_and_with_class_names(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS, classes=np.array(["g/u", "g/v", "w"]))
    np.savez_compressed(tmp_path / "b.npz", X=IMAGES, y=np.array(["w", "g/u", "g/v"] * 2))
    first, second = load(tmp_path / "a.npz", "all"), load(tmp_path / "b.npz", "all")
    assert first.classes == second.classes == ("g/u", "g/v", "w")
    assert first.groups == ("g", "g", "w")
    assert np.array_equal(first.examples["image"], second.examples["image"])
    assert first.fingerprint == second.fingerprint


def test_npz_takes_size_channels_and_ink(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    data = load(tmp_path / "a.npz", "all", size=7, channels=3, ink="dark")
    assert data.spec == ImageSpec(7, 7, 3, ink="dark")
    assert data.examples["image"].shape == (6, 7, 7, 3)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_idx_pair(tmp_path: pathlib.Path, packed: bool) -> None:
    data = load(save_idx(tmp_path, packed), "all")
    assert data.classes == ("0", "1", "2")
    assert (data.examples["image"][..., 0] == IMAGES[[1, 4, 2, 5, 0, 3]]).all()


def test_class_splits_of_arrays_never_overlap_and_cover_all(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    parts = [load(tmp_path / "a.npz", split).classes for split in ("train", "val", "test")]
    assert sorted(sum(parts, ())) == ["0", "1", "2"]


def test_pickled_arrays_are_refused(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.array([{"a": 1}] * 6, dtype=object))
    with pytest.raises(DataError, match=r"a\.npz.*save plain arrays"):
        load(tmp_path / "a.npz")


def test_unusable_npz_files_are_named(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "few.npz", images=IMAGES, labels=LABELS[:4])
    with pytest.raises(DataError, match="6 images, but 4 labels"):
        load(tmp_path / "few.npz")
    np.savez(tmp_path / "keys.npz", pictures=IMAGES, labels=LABELS)
    with pytest.raises(DataError, match="no array images, molecules, rows, sounds, texts or x; it has labels, pictures"):
        load(tmp_path / "keys.npz")
    (tmp_path / "half.npz").write_bytes((tmp_path / "few.npz").read_bytes()[:300])
    with pytest.raises(DataError, match=r"half\.npz.*cut short"):
        load(tmp_path / "half.npz")
    (tmp_path / "text.npz").write_text("not an npz")
    with pytest.raises(DataError, match=r"text\.npz.*cannot be read"):
        load(tmp_path / "text.npz")
    with (tmp_path / "single.npz").open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match="single array"):
        load(tmp_path / "single.npz")


@pytest.mark.parametrize(
    ("images", "labels", "classes", "message"),
    [
        (IMAGES[0], LABELS, None, "4 rows, but 6 labels"),
        (
            LABELS,
            LABELS,
            None,
            r"an array of int64 has shape \(6,\); expected examples of one of the kinds image, molecule, rows",
        ),
        (IMAGES[:0], LABELS[:0], None, "at least one"),
        (IMAGES, LABELS.astype(float), None, "labels are float64"),
        (IMAGES, np.eye(6, dtype=int), None, "one-hot"),
        (IMAGES, LABELS, ["u", "v"], "indices into the 2 classes"),
        (IMAGES, LABELS - 1, ["u", "v", "w"], "indices into the 3 classes"),
        (IMAGES, LABELS, ["u", "u", "w"], "only 2 names differ"),
        (IMAGES * np.nan, LABELS, None, "NaN"),
    ],
)
def test_unusable_arrays_are_named(images: np.ndarray, labels: np.ndarray, classes: list[str] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_arrays(images, labels, classes=classes)


def test_unusable_idx_files_are_named(tmp_path: pathlib.Path) -> None:
    images = save_idx(tmp_path)
    labels = tmp_path / "set-labels-idx1-ubyte"
    with pytest.raises(DataError, match=r"starts with bytes 00 00 08 01; expected 00 00 08 03.*\(images\)"):
        read_idx(labels, 3)
    content = images.read_bytes()
    images.write_bytes(content[:-7])
    with pytest.raises(DataError, match=r"holds 113 values; expected 120"):
        load(images)
    images.write_bytes(content[:9])
    with pytest.raises(DataError, match="cut short in its header"):
        load(images)
    images.write_bytes(b"")
    with pytest.raises(DataError, match=r"starts with bytes \(none\)"):
        load(images)
    images.write_bytes(gzip.compress(content)[:-20])
    with pytest.raises(DataError, match="cannot be unpacked"):
        load(images)
    images.write_bytes(content)
    labels.unlink()
    with pytest.raises(DataError, match="no labels file; expected 'set-labels-idx1-ubyte'"):
        load(images)
    with pytest.raises(DataError, match="must hold the word images"):
        load(images.rename(tmp_path / "set-idx3-ubyte"))
