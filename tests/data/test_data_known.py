"""The known sets, read from the real files where a shared folder has them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pathlib
import shutil
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from quickstudy.data import DataWarning, known, load
from quickstudy.data.download import content_digest
from quickstudy.data.known import banking77, cifar10, cifar_fs, clinc150, mnist, omniglot
from quickstudy.errors import DataError


def write_archive(file: pathlib.Path, members: dict[str, bytes]) -> None:
    """Write a gzipped tar archive with these files."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))


def write_cifar_archive(file: pathlib.Path, images: int = 2) -> np.ndarray:
    """CIFAR-100's binary form, with few random images: all classes in train.bin, then in test.bin; returns the pixels."""
    names = sorted(name for line in cifar_fs.SUPERCLASSES.split("\n") for name in line.partition(":")[2].split())
    pixels = np.random.default_rng(0).integers(0, 256, (2, images, 100, 3, 32, 32), dtype=np.uint8)
    fine = np.broadcast_to(np.arange(100, dtype=np.uint8), (2, images, 100))
    records = np.concatenate([np.zeros_like(fine)[..., None], fine[..., None], pixels.reshape(2, images, 100, -1)], axis=-1)
    members = {
        "fine_label_names.txt": "\n".join(names).encode(),
        "train.bin": records[0].tobytes(),
        "test.bin": records[1].tobytes(),
    }
    write_archive(file, {f"cifar-100-binary/{name}": content for name, content in members.items()})
    return pixels


def test_every_file_in_the_folder_is_a_known_set() -> None:
    assert {"cifar_fs", "digits", "mnist", "omniglot"} <= set(known.names())
    for name in known.names():
        chosen = known.get(name)
        assert "test" in chosen.SPLITS, name
        assert callable(chosen.read), name
        assert chosen.SPEC.layout(), name


def test_omniglot_has_the_classes_of_the_papers(real_data: pathlib.Path) -> None:
    found = {split: load("omniglot", split, data_dir=real_data) for split in omniglot.SPLITS}
    sizes = {split: len(data.classes) for split, data in found.items()}
    assert sizes == {
        "train": 4112,
        "val": 688,
        "trainval": 4800,
        "test": 1692,
        "background": 964,
        "evaluation": 659,
        "background_turned": 3856,
    }
    assert all((data.counts == 20).all() for data in found.values())
    assert not set(found["trainval"].classes) & set(found["test"].classes)
    assert not set(found["train"].classes) & set(found["val"].classes)
    assert set(found["train"].classes) | set(found["val"].classes) == set(found["trainval"].classes)
    for split in omniglot.VINYALS:
        lines = (real_data / "omniglot" / "splits_vinyals" / f"{split}.txt").read_text().split()
        assert set(found[split].classes) == set(lines)
    assert found["background"].groups[0] == "Alphabet_of_the_Magi"
    assert len(set(found["background"].groups)) == 30


def test_omniglot_is_stored_as_drawn_dark_on_light(real_data: pathlib.Path) -> None:
    data = load("omniglot", "evaluation", data_dir=real_data)
    assert data.examples["image"].shape == (13180, 28, 28, 1)
    assert data.spec.ink == "dark"
    assert np.median(data.examples["image"]) == 255
    assert data.examples["image"].min() < 64
    with zipfile.ZipFile(real_data / "omniglot" / "images_evaluation.zip") as archive:
        first = sorted(archive.namelist())[0]
    assert first.removeprefix("images_evaluation/").rpartition("/")[0] == data.classes[0]


def test_omniglot_rotations_turn_the_drawings(real_data: pathlib.Path) -> None:
    data = load("omniglot", "val", data_dir=real_data)
    upright, turned = data.classes.index("Hebrew/character05/rot000"), data.classes.index("Hebrew/character05/rot090")
    drawing, quarter = data.examples["image"][data.starts[upright], ..., 0], data.examples["image"][data.starts[turned], ..., 0]
    assert (np.rot90(drawing) == quarter).all()
    assert (drawing != quarter).any()


def test_omniglot_straight_in_the_data_folder(real_data: pathlib.Path) -> None:
    straight, nested = (load("omniglot", "val", data_dir=place) for place in (real_data / "omniglot", real_data))
    assert straight.fingerprint == nested.fingerprint


def test_pinned_digests_are_those_of_the_real_files(real_data: pathlib.Path) -> None:
    for file, digest in omniglot.DIGESTS.items():
        assert content_digest(real_data / "omniglot" / file, pathlib.Path(file).suffix) == digest, file
    for file, digest in mnist.DIGESTS.items():
        assert content_digest(real_data / "mnist" / file, ".gz") == digest, file


def test_cifar_fs_has_the_published_splits_and_superclasses(real_data: pathlib.Path) -> None:
    seen: set[str] = set()
    for split, size in (("train", 64), ("val", 16), ("test", 20)):
        data = load("cifar-fs", split, data_dir=real_data)
        published = json.loads((real_data / "cifar100" / "splits" / f"cifar-fs-{split}.json").read_text())
        assert sorted(zip(data.groups, data.classes, strict=True)) == sorted(map(tuple, published))
        assert len(data.classes) == size
        assert (data.counts == 200).all()
        assert data.examples["image"].shape == (200 * size, 32, 32, 3)
        assert not seen & set(data.classes)
        seen |= set(data.classes)
    assert len(seen) == 100


def test_own_cifar_100_as_a_folder(tmp_path: pathlib.Path, make_folder: Callable[..., pathlib.Path]) -> None:
    names = [name for line in cifar_fs.SUPERCLASSES.split("\n") for name in line.partition(":")[2].split()]
    make_folder(*[f"{part}/{name}" for part in ("train", "test") for name in names], images=1, name="cifar100")
    data = load("cifar_fs", "val", data_dir=tmp_path)
    assert (data.counts == 2).all()
    assert len(data.classes) == 16
    for image in (tmp_path / "cifar100").glob("*/otter/*"):
        image.unlink()
    with pytest.warns(DataWarning, match="test/otter"), pytest.raises(DataError, match=r"lacks 1 of .* classes \(otter\)"):
        load("cifar_fs", "val", data_dir=tmp_path)


def test_cifar_100_in_its_binary_form(tmp_path: pathlib.Path) -> None:
    pixels = write_cifar_archive(tmp_path / "cifar100" / "cifar-100-binary.tar.gz")
    data = load("cifar_fs", "val", data_dir=tmp_path)
    assert (len(data.classes), data.counts.tolist()) == (16, [4] * 16)
    assert data.groups[data.classes.index("otter")] == "aquatic_mammals"
    beaver = load("cifar_fs", "all", data_dir=tmp_path).classes.index("beaver")
    assert (data.examples["image"][:4] == pixels[:, :, beaver].reshape(4, 3, 32, 32).transpose(0, 2, 3, 1)).all()
    (tmp_path / "cifar100" / "cifar-100-binary.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"cifar-100-binary\.tar\.gz.*remove it"):
        load("cifar_fs", data_dir=tmp_path)


def test_cifar_10_has_its_own_two_parts(real_data: pathlib.Path) -> None:
    train, test, whole = (load("cifar10", split, data_dir=real_data) for split in ("train", "test", "all"))
    assert test.classes == train.classes == whole.classes == cifar10.CLASSES
    assert (train.counts == 1000).all()
    assert (test.counts == 200).all()
    assert (whole.counts == 1200).all()
    assert test.examples["image"].shape == (2000, 32, 32, 3)
    with zipfile.ZipFile(real_data / "cifar10" / "cifar10.zip") as archive, archive.open("test/bird/0000.jpg") as image:
        first = np.asarray(Image.open(image))
    assert (test.examples["image"][test.starts[test.classes.index("bird")]] == first).all()


def test_cifar_10_in_its_binary_form(tmp_path: pathlib.Path) -> None:
    """Records are a class and then all red values, all green ones and all blue ones, row by row."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 3, 32, 32), dtype=np.uint8)
    records = np.concatenate(
        [np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None], (6, 10, 1)), pixels.reshape(6, 10, -1)], -1
    )
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    members = {name: part.tobytes() for name, part in zip(names, records, strict=True)}
    members["batches.meta.txt"] = "\n".join([*cifar10.CLASSES, ""]).encode()
    file = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    write_archive(file, {f"cifar-10-batches-bin/{name}": content for name, content in members.items()})
    assert (load("cifar10", "train", data_dir=tmp_path).counts == 5).all()
    test = load("cifar10", "test", data_dir=tmp_path)
    assert test.classes == cifar10.CLASSES
    assert (test.examples["image"] == pixels[5].transpose(0, 2, 3, 1)).all()
    file.write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz.*remove it"):
        load("cifar10", data_dir=tmp_path)


def test_a_cifar_10_of_one_s_own_needs_all_classes_in_both_parts(
    tmp_path: pathlib.Path, make_folder: Callable[..., pathlib.Path]
) -> None:
    make_folder(*[f"{part}/{name}" for part in ("train", "test") for name in cifar10.CLASSES], images=1, name="cifar10")
    assert (load("cifar10", "all", data_dir=tmp_path).counts == 2).all()
    shutil.rmtree(tmp_path / "cifar10" / "test" / "frog")
    assert (load("cifar10", "train", data_dir=tmp_path).counts == 1).all()
    for split, folders in (("test", 10), ("all", 20)):
        with pytest.raises(DataError, match=rf"lacks 1 of the {folders} folders of '{split}': test/frog"):
            load("cifar10", split, data_dir=tmp_path)
    (tmp_path / "cifar10" / "train").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="lacks 10 of the 10 folders of 'train'"):
        load("cifar10", "train", data_dir=tmp_path)


def test_a_zip_of_cifar_100_is_none_of_cifar_10(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "ARCHIVE", dataclasses.replace(cifar10.ARCHIVE, url="http://127.0.0.1:9/cifar.tar.gz"))
    (tmp_path / "cifar100.zip").write_bytes(b"")
    with pytest.raises(DataError, match="cannot download"):
        load("cifar10", data_dir=tmp_path)


def test_cifar_100_that_cannot_be_downloaded_says_what_to_put_where(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar_fs, "ARCHIVE", dataclasses.replace(cifar_fs.ARCHIVE, url="http://127.0.0.1:9/cifar.tar.gz"))
    with pytest.raises(DataError, match=r"cannot download http://127.*put it at .*cifar100.cifar-100-binary\.tar\.gz"):
        load("cifar_fs", data_dir=tmp_path)


def test_mnist_has_its_70000_images(real_data: pathlib.Path) -> None:
    train, test, both = (load("mnist", split, data_dir=real_data) for split in ("train", "test", "all"))
    assert train.classes == test.classes == tuple("0123456789")
    assert (len(train.examples["image"]), len(test.examples["image"]), len(both.examples["image"])) == (60000, 10000, 70000)
    assert train.counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert (both.counts == train.counts + test.counts).all()
    assert np.median(train.examples["image"]) == 0
    assert train.spec.ink == "light"


@pytest.mark.filterwarnings("ignore::quickstudy.errors.InputWarning")  # one text of CLINC150 is too long
def test_clinc150_has_its_intents_and_no_domain_in_two_splits(real_data: pathlib.Path) -> None:
    found = {split: load("clinc150", split, data_dir=real_data) for split in clinc150.SPLITS}
    assert {split: (len(data.classes), int(data.counts.sum())) for split, data in found.items()} == {
        "train": (90, 13500),
        "val": (15, 2250),
        "test": (45, 6750),
        "all": (150, 22500),
        "out_of_scope": (1, 1200),
    }
    groups = [set(found[split].groups) for split in ("train", "val", "test")]
    assert set().union(*groups) == set(found["all"].groups)
    assert sum(map(len, groups)) == 10
    assert (found["all"].counts == 150).all()


@pytest.mark.filterwarnings("ignore::quickstudy.errors.InputWarning")
def test_banking77_has_its_13083_questions(real_data: pathlib.Path) -> None:
    found = {split: load("banking77", split, data_dir=real_data) for split in banking77.SPLITS}
    assert (len(found["all"].classes), int(found["all"].counts.sum())) == (77, 13083)
    assert sum(len(found[split].classes) for split in ("train", "val", "test")) == 77
    first = found["all"].select([found["all"].classes.index("card_arrival")])
    assert b"I am still waiting on my card?" in {row.tobytes().rstrip(b"\0") for row in first.examples["text"]}


def test_digits_come_enlarged_and_light_on_dark() -> None:
    data = load("digits", "all")
    assert data.examples["image"].shape == (1797, 28, 28, 1)
    assert data.counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.examples["image"].max() == 255
    assert data.examples["image"][:, :, 0].mean() < 20
    parts = [load("digits", split).classes for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert sorted(sum(parts, ())) == list("0123456789")
    small = load("digits", "all", size=12)  # 8 pixels and a margin of 2
    assert (
        hashlib.sha256(small.examples["image"].tobytes()).hexdigest()
        != hashlib.sha256(data.examples["image"].tobytes()).hexdigest()
    )
    assert set(np.unique(small.examples["image"])) == {int(np.rint(value * 255 / 16)) for value in range(17)}


def test_data_folder_from_the_environment(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    write_cifar_archive(tmp_path / "elsewhere" / "cifar-100-binary.tar.gz")
    monkeypatch.setenv("QUICKSTUDY_DATA", str(tmp_path / "elsewhere"))
    assert len(load("cifar_fs", "test").classes) == 20
