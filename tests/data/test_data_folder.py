"""Folders and zips of images: one logic, two kinds of tree."""

from __future__ import annotations

import pathlib
import shutil
import warnings
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from quickstudy.data import DataWarning, SplitOptions, load
from quickstudy.errors import DataError

MakeFolder = Callable[..., pathlib.Path]
GREY = {"channels": 1}


def zipped(root: pathlib.Path, base: pathlib.Path | None = None) -> pathlib.Path:
    file = root.with_suffix(".zip")
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(root.rglob("*.*")):
            archive.write(path, path.relative_to(base or root).as_posix())
    return file


def break_images(root: pathlib.Path, count: int) -> list[str]:
    """Overwrite the first images of a folder with something else; returns their paths."""
    broken = sorted(root.rglob("*.png"))[:count]
    for path in broken:
        path.write_bytes(b"\x89PNG broken")
    return [path.relative_to(root).as_posix() for path in broken]


def test_folder_of_classes_with_images_of_different_sizes(make_folder: MakeFolder) -> None:
    data = load(make_folder("cat", "ant", "dog"), "all", size=4, **GREY)
    assert data.classes == ("ant", "cat", "dog")
    assert data.groups == data.classes
    assert data.counts.tolist() == [3, 3, 3]
    assert data.examples["image"].shape == (9, 4, 4, 1)
    assert data.examples["image"][:, 0, 0, 0].tolist() == [20, 21, 22, 0, 1, 2, 40, 41, 42]


def test_parents_are_groups_and_default_is_84_pixels_in_colour(make_folder: MakeFolder) -> None:
    data = load(make_folder("Greek/alpha", "Greek/beta", "Latin/a", "plain"), "all")
    assert data.classes == ("Greek/alpha", "Greek/beta", "Latin/a", "plain")
    assert data.groups == ("Greek", "Greek", "Latin", "plain")
    assert data.examples["image"].shape[1:] == (84, 84, 3)


def test_zip_gives_the_same_data_as_its_folder(make_folder: MakeFolder) -> None:
    root = make_folder("Greek/alpha", "Greek/beta", "Latin/a")
    folder, archive = load(root, "all", size=5), load(zipped(root), "all", size=5)
    assert archive.classes == folder.classes
    assert (archive.examples["image"] == folder.examples["image"]).all()
    assert archive.fingerprint == folder.fingerprint
    assert folder.examples["image"].max() > 0


def test_one_folder_around_everything_in_a_zip_is_looked_through(make_folder: MakeFolder) -> None:
    root = make_folder("cat", "dog", "ant")
    assert load(zipped(root, base=root.parent), "all", size=4).classes == ("ant", "cat", "dog")


def test_hidden_files_litter_and_other_files_are_not_images(make_folder: MakeFolder) -> None:
    root = make_folder("cat", "dog")
    for litter in (".thumbnails/x.png", "__MACOSX/cat/0.png", "cat/._0.png", "cat/Thumbs.db"):
        (root / litter).parent.mkdir(parents=True, exist_ok=True)
        (root / litter).write_bytes(b"litter")
    for source in (root, zipped(root)):
        data = load(source, "all", size=4, strict=True)
        assert data.classes == ("cat", "dog")
        assert data.counts.tolist() == [3, 3]


def test_linked_class_folders_are_followed_and_cycles_end(make_folder: MakeFolder) -> None:
    root, other = make_folder("cat"), make_folder("dog", name="other")
    (root / "dog").symlink_to(other / "dog", target_is_directory=True)
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    assert load(root, "all", size=4).classes == ("cat", "dog")


def test_unreadable_images_are_named_counted_and_left_out(make_folder: MakeFolder) -> None:
    root = make_folder("cat", "dog", images=8)
    broken = break_images(root, 7)
    for source in (root, zipped(root)):
        with pytest.warns(DataWarning, match=r"left out 7 of 16 images.*and 2 more") as caught:
            data = load(source, "all", size=4, **GREY)
        assert all(name in str(caught[0].message) for name in broken[:5])
        assert broken[5] not in str(caught[0].message)
        assert data.counts.tolist() == [1, 8]
        assert data.examples["image"][:, 0, 0, 0].tolist() == [7, *range(20, 28)]


def test_unreadable_images_are_reported_again_from_the_cache(make_folder: MakeFolder) -> None:
    root = make_folder("cat", "dog", images=4)
    (name,) = break_images(root, 1)
    for _ in range(2):
        with pytest.warns(DataWarning, match=f"left out 1 of 8 images.*{name}"):
            assert load(root, "all", size=4).counts.tolist() == [3, 4]
    with pytest.raises(DataError, match=f"{name}.*1 of 8"):
        load(root, "all", size=4, strict=True)


def test_strict_stops_at_the_first_unreadable_image_and_names_it(make_folder: MakeFolder, cache: pathlib.Path) -> None:
    root = make_folder("cat", "dog")
    (name,) = break_images(root, 1)
    with pytest.raises(DataError, match=f"{name}.*strict=False"):
        load(root, "all", size=4, strict=True)
    assert not list(cache.rglob("*.npy*"))


def test_class_with_no_readable_image_is_an_error(make_folder: MakeFolder) -> None:
    root = make_folder("cat", "dog")
    break_images(root / "cat", 3)
    with pytest.warns(DataWarning), pytest.raises(DataError, match="none of the images in class cat is readable"):
        load(root, "all", size=4)


def test_folder_without_any_readable_image_is_an_error(make_folder: MakeFolder) -> None:
    root = make_folder("cat", "dog")
    break_images(root, 6)
    with pytest.warns(DataWarning, match="left out 6 of 6"), pytest.raises(DataError, match="in class cat, dog"):
        load(root, "all", size=4)


def test_image_damaged_inside_a_zip_is_left_out(make_folder: MakeFolder) -> None:
    root = make_folder("cat", "dog")
    file = zipped(root)
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF
    file.write_bytes(content)
    with pytest.warns(DataWarning, match=r"left out 1 of 6 images.*cat/0\.png"):
        assert load(file, "all", size=4).counts.tolist() == [2, 3]


def test_images_beside_the_class_folders_are_reported(make_folder: MakeFolder) -> None:
    root = make_folder("cat", "dog")
    shutil.copy(root / "cat" / "0.png", root / "preview.png")
    with pytest.warns(DataWarning, match=r"in no class folder: preview\.png"):
        assert load(root, "all", size=4).classes == ("cat", "dog")


@pytest.mark.parametrize("member", ["../outside/x.png", "/absolute/x.png", "cat/../../x.png", "C:/x/y.png", "..\\x\\y.png"])
def test_zip_that_points_outside_itself_is_refused(tmp_path: pathlib.Path, member: str) -> None:
    file = tmp_path / "evil.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(member, b"anything")
    with pytest.raises(DataError, match="points outside the zip"):
        load(file, "all")


def test_unusable_folders_and_zips_are_named(tmp_path: pathlib.Path, make_folder: MakeFolder) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty.*no examples in class folders \(0 beside them, 0 files in all\)"):
        load(tmp_path / "empty")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(DataError, match="no examples in class folders"):
        load(tmp_path / "empty.zip")
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(DataError, match=r"text\.zip.*cannot be read as a zip"):
        load(tmp_path / "text.zip")
    whole = zipped(make_folder("cat", "dog"))
    (tmp_path / "half.zip").write_bytes(whole.read_bytes()[:200])
    with pytest.raises(DataError, match=r"half\.zip.*cut short"):
        load(tmp_path / "half.zip")


def test_encrypted_zip_is_refused(tmp_path: pathlib.Path, make_folder: MakeFolder) -> None:
    file = zipped(make_folder("cat"))
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory's first entry
    file.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        load(file, "all")


def test_own_train_and_test_folders_are_the_splits(make_folder: MakeFolder) -> None:
    root = make_folder("train/Greek/a", "train/Greek/b", "validation/Latin/c", "test/Latin/d")
    found = {split: load(root, split, size=4) for split in ("train", "val", "test", "all")}
    assert found["train"].classes == ("Greek/a", "Greek/b")
    assert found["val"].classes == ("Latin/c",)
    assert found["test"].classes == ("Latin/d",)
    assert sorted(found["all"].classes) == ["Greek/a", "Greek/b", "Latin/c", "Latin/d"]
    assert found["test"].groups == ("Latin",)
    assert (found["train"].examples["image"][0, 0, 0] == found["train"].examples["image"][0, 1, 1]).all()


def test_split_that_the_folder_does_not_have_is_named(make_folder: MakeFolder) -> None:
    with pytest.raises(DataError, match="no split 'val'; expected one of all, test, train"):
        load(make_folder("train/a", "test/b"), "val", size=4)


def test_train_and_test_with_the_same_classes_are_put_together_with_a_warning(make_folder: MakeFolder) -> None:
    root = make_folder("train/a", "train/b", "train/c", "test/a", "test/b", "test/c")
    with pytest.warns(DataWarning, match=r"share classes \(a, b, c\)"):
        data = load(root, "all", size=4)
    assert data.classes == ("a", "b", "c")
    assert data.counts.tolist() == [6, 6, 6]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        parts = [load(root, split, size=4).classes for split in ("train", "val", "test")]
    assert sorted(sum(parts, ())) == ["a", "b", "c"]


def test_split_by_group_keeps_groups_together(make_folder: MakeFolder) -> None:
    root = make_folder(*[f"{group}/{letter}{group}" for group in "pqrst" for letter in "ab"])
    shares = SplitOptions(by="groups")
    parts = {split: shares.select(load(root, "all", size=4), split) for split in ("train", "val", "test")}
    groups = [set(part.groups) for part in parts.values()]
    assert sum(len(found) for found in groups) == 5
    assert set.union(*groups) == set("pqrst")
    assert all(len(part.classes) == 2 * len(set(part.groups)) for part in parts.values())


def test_declared_dark_ink_is_in_the_spec_and_the_pixels_stay(make_folder: MakeFolder) -> None:
    root = make_folder("cat")
    dark = load(root, "all", size=4, channels=1, ink="dark")
    assert dark.spec.ink == "dark"
    assert np.array_equal(dark.examples["image"], load(root, "all", size=4, **GREY).examples["image"])
