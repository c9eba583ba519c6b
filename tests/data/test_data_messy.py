"""Folders and zips as people have them: what can be read is read, what is left out is named and counted, and nothing ends a training."""

from __future__ import annotations

import io
import os
import pathlib
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable

import PIL.Image
import pytest

from quickstudy.data import Dataset, DataWarning, load, places, store
from quickstudy.data.litter import LITTER, is_litter
from quickstudy.data.readers.folder import FolderTree, examples_in
from quickstudy.data.splits import split_of
from quickstudy.errors import ConfigError, DataError, NotFoundError, StorageError
from quickstudy.inputs.image import ImageSpec
from quickstudy.tasks.classes import ClassTasks

MakeFolder = Callable[..., pathlib.Path]


def put(path: pathlib.Path, kind: str = "PNG", value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (9, 9), (value, value, value)).save(path, format=kind)


def said(read: Callable[[], object]) -> list[str]:
    """Return the warnings about data that a call gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read()
    return [str(warning.message) for warning in caught if issubclass(warning.category, DataWarning)]


def small(root: pathlib.Path, **options: object) -> Dataset:
    return load(root, "all", size=4, **options)


# ---------------------------------------------------------------------------------------------------- kinds of files


def test_every_file_that_pillow_reads_is_read_in_training_and_in_adapting(tmp_path: pathlib.Path) -> None:
    kinds = {
        "png": "PNG",
        "jfif": "JPEG",
        "JPG": "JPEG",
        "avif": "AVIF",
        "jp2": "JPEG2000",
        "webp": "WEBP",
        "tga": "TGA",
        "ico": "ICO",
    }
    for ending, kind in kinds.items():
        put(tmp_path / f"d/only_{ending}/1.{ending}", kind)
    expected = {f"only_{ending}" for ending in kinds}
    assert set(small(tmp_path / "d").classes) == expected
    assert set(examples_in(tmp_path / "d", ImageSpec)[1]) == expected


def test_files_that_are_not_looked_at_are_counted_and_classes_that_vanish_are_named(tmp_path: pathlib.Path) -> None:
    put(tmp_path / "d/cat/1.png")
    for name in ("phone/1.HEIC", "phone/2.heic", "cat/notes.txt", "cat/README"):
        (tmp_path / "d" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "d" / name).write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "d/empty/inner").mkdir(parents=True)
    for read in (lambda: small(tmp_path / "d"), lambda: examples_in(tmp_path / "d", ImageSpec)):
        others, vanished = said(read)
        assert "4 files were not looked at" in others
        assert all(part in others for part in (".heic (2)", ".txt (1)", "no ending (1)"))
        assert vanished.endswith("2 folders hold no images, and no class: empty, phone.")
    assert small_counts(tmp_path / "d") == {"cat": 1}


def small_counts(root: pathlib.Path) -> dict[str, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        found = small(root)
    return dict(zip(found.classes, found.counts.tolist(), strict=True))


def test_a_folder_of_empty_entries_in_a_zip_is_named(tmp_path: pathlib.Path) -> None:
    put(tmp_path / "1.png")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.write(tmp_path / "1.png", "cat/1.png")
        archive.writestr("empty/", "")
        archive.writestr("dog/1.heic", b"x")
    assert [words.rpartition(": ")[2] for words in said(lambda: small(tmp_path / "d.zip"))] == [".heic (1).", "dog, empty."]


# ---------------------------------------------------------------------------------------------------- litter


@pytest.mark.parametrize(
    "name", [*sorted(LITTER), ".DS_Store", ".thumbnails", "$RECYCLE.BIN", "@eaDir", "Thumbs.db", "__MACOSX"]
)
def test_litter_is_no_class_and_no_warning_wherever_a_folder_is_read(tmp_path: pathlib.Path, name: str) -> None:
    for place in ("cat/1.png", "dog/1.png", f"{name}/1.png", f"cat/{name}/1.jpg/thumb.png"):
        put(tmp_path / "d" / place)
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for file in (tmp_path / "d").rglob("*.png"):
            archive.write(file, file.relative_to(tmp_path / "d").as_posix())
    assert small(tmp_path / "d").classes == small(tmp_path / "d.zip").classes == ("cat", "dog")
    assert examples_in(tmp_path / "d", ImageSpec)[1] == ["cat", "dog"]
    assert is_litter(f"cat/{name}/x.png")


@pytest.mark.parametrize("name", ["lost", "eaDir", "recycle", "macosx", "cat.DS_Store"])
def test_names_like_litter_are_classes(tmp_path: pathlib.Path, name: str) -> None:
    put(tmp_path / "d" / name / "1.png")
    assert small(tmp_path / "d").classes == (name,)


def test_a_dead_link_and_a_folder_with_the_name_of_an_image(tmp_path: pathlib.Path) -> None:
    put(tmp_path / "d/a/1.png")
    (tmp_path / "d/a/2.png").symlink_to("nowhere.png")
    (tmp_path / "d/a/3.png").mkdir()
    for read in (lambda: small(tmp_path / "d"), lambda: examples_in(tmp_path / "d", ImageSpec)):
        dead, empty = said(read)
        assert dead.endswith("left out what cannot be read: 'a/2.png' (a link that leads nowhere).")
        assert empty.endswith("1 folder holds no images, and no class: a/3.png.")
    assert small_counts(tmp_path / "d") == {"a": 1}


# ---------------------------------------------------------------------------------------------------- links


def test_a_class_is_called_by_its_folder_and_not_by_a_link_to_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        put(tmp_path / "d" / name / "1.png")
    for link, target in (("Newest", "a"), ("zlast", "b"), ("a-link", "c")):
        (tmp_path / "d" / link).symlink_to(target, target_is_directory=True)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: object) -> None:
            self.entries = sorted(scandir(path), key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *stopped: object) -> None: ...

    assert small(tmp_path / "d").classes == ("a", "b", "c")
    monkeypatch.setattr(os, "scandir", Backwards)
    assert small(tmp_path / "d").classes == ("a", "b", "c")


# ---------------------------------------------------------------------------------------------------- permissions


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[pathlib.Path], None]:
    """Make the system refuse to list, look at or read one path and what lies below, also for root."""
    refused: list[str] = []

    def guarded(function: Callable[..., object]) -> Callable[..., object]:
        def call(path: object, *rest: object, **more: object) -> object:
            text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
            if any(text == one or text.startswith(f"{one}/") for one in refused):
                raise PermissionError(13, "Permission denied", text)
            return function(path, *rest, **more)

        return call

    monkeypatch.setattr(os, "scandir", guarded(os.scandir))
    monkeypatch.setattr(os, "stat", guarded(os.stat))
    monkeypatch.setattr(io, "open", guarded(io.open))
    return lambda path: refused.append(str(path))


def test_a_folder_that_may_not_be_listed_is_named(make_folder: MakeFolder, refuse: Callable[[pathlib.Path], None]) -> None:
    root = make_folder("cat", "dog", "elk")
    refuse(root / "dog")
    for read in (lambda: small(root), lambda: examples_in(root, ImageSpec)):
        (words,) = said(read)
        assert words.endswith("left out what cannot be read: 'dog' (Permission denied).")
    assert small_counts(root) == {"cat": 3, "elk": 3}
    with pytest.raises(DataError, match=r"cannot read 'dog' \(Permission denied\).*strict=False"):
        small(root, strict=True)


def test_a_file_that_may_not_be_read_is_named_and_counted(
    make_folder: MakeFolder, refuse: Callable[[pathlib.Path], None]
) -> None:
    root = make_folder("cat", "dog")
    refuse(root / "dog" / "1.png")
    (words,) = said(lambda: small(root))
    assert "left out 1 of 6 images that cannot be read: dog/1.png" in words


@pytest.mark.parametrize("name", ["d", "d.zip", "d.npz", "d-images-idx3-ubyte"])
def test_a_path_that_may_not_be_looked_at_or_read_is_a_data_error(
    tmp_path: pathlib.Path, refuse: Callable[[pathlib.Path], None], name: str
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / name).write_bytes(b"anything")
    refuse(tmp_path / "secret")
    with pytest.raises(DataError, match=r"cannot be looked at \(Permission denied\)"):
        load(tmp_path / "secret" / name, "all")


@pytest.mark.parametrize("name", ["d.zip", "d.npz", "d-images-idx3-ubyte"])
def test_a_file_of_data_that_may_not_be_read_is_a_data_error(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_bytes(b"anything")
    (tmp_path / name.replace("images", "labels").replace("idx3", "idx1")).write_bytes(b"anything")
    opened = io.open

    def refused(file: object, *rest: object, **more: object) -> object:
        if str(file).startswith(str(tmp_path / "d")):
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(io, "open", refused)
    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(DataError, match=r"may not be read \(Permission denied\)"):
        load(tmp_path / name, "all")


# ---------------------------------------------------------------------------------------------------- names


def test_names_that_are_no_utf8_are_read(tmp_path: pathlib.Path) -> None:
    for number, name in enumerate((b"caf\xe9", b"cat", b"dog", b"elk")):
        os.makedirs(os.path.join(os.fsencode(tmp_path), b"d", name))
        for file in (b"1.png", b"\xff\xfe.png", b"3.png"):
            with open(os.path.join(os.fsencode(tmp_path), b"d", name, file), "wb") as stream:
                PIL.Image.new("L", (5, 5), number).save(stream, "PNG")
    data = small(tmp_path / "d")
    assert data.counts.tolist() == [3, 3, 3, 3]
    assert small(tmp_path / "d").fingerprint == data.fingerprint
    parts = [load(tmp_path / "d", split, size=4).classes for split in ("train", "val", "test")]
    assert sorted(sum(parts, ())) == sorted(data.classes)
    ClassTasks(data, 2, 1, 2).describe()
    assert [
        name.encode() for name in dict.fromkeys(examples_in(tmp_path / "d", ImageSpec)[1])
    ]  # every class has a name that can be written


def test_a_damaged_file_whose_name_is_no_utf8_is_named(tmp_path: pathlib.Path) -> None:
    put(tmp_path / "d/cat/1.png")
    with open(os.path.join(os.fsencode(tmp_path), b"d/cat/\xe9.png"), "wb") as stream:
        stream.write(b"broken")
    (words,) = said(lambda: small(tmp_path / "d"))
    assert words.encode().endswith(b"left out 1 of 2 images that cannot be read: cat/\\udce9.png.")


# ---------------------------------------------------------------------------------------------------- zips


def windows_zip(file: pathlib.Path, pattern: str, system: int) -> pathlib.Path:
    buffer = io.BytesIO()
    PIL.Image.new("L", (9, 9)).save(buffer, "PNG")
    with zipfile.ZipFile(file, "w") as archive:
        for name in "abc":
            info = zipfile.ZipInfo("x")
            info.filename, info.create_system = pattern.format(name), system
            archive.writestr(info, buffer.getvalue())
    return file


@pytest.mark.parametrize("system", [0, 3, 11])
def test_zips_with_backslashes_from_windows_are_read(tmp_path: pathlib.Path, system: int) -> None:
    assert small(windows_zip(tmp_path / "w.zip", "data\\{}\\1.png", system)).classes == ("a", "b", "c")


def test_a_class_with_a_colon_is_read_and_a_drive_is_refused(tmp_path: pathlib.Path) -> None:
    assert small(windows_zip(tmp_path / "c.zip", "ratio: {}/1.png", 3)).classes == ("ratio: a", "ratio: b", "ratio: c")
    with pytest.raises(DataError, match="points outside the zip"):
        small(windows_zip(tmp_path / "d.zip", "C:\\{}\\1.png", 0))


def test_a_backslash_among_slashes_is_called_what_it_is(tmp_path: pathlib.Path) -> None:
    file = windows_zip(tmp_path / "m.zip", "{}\\x/1.png", 3)
    with pytest.raises(DataError, match=r"uses \\, which is no separator"):
        small(file)


# ---------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("training", "testing"),
        ("training_set", "test_set"),
        ("train-images", "eval-images"),
        ("trainset", "valset"),
        ("train2017", "val2017"),
        ("Training Data", "Validation Data"),
        ("meta-train", "meta-test"),
        ("base", "novel"),
        ("dev", "train"),
    ],
)
def test_splits_are_recognised_in_any_spelling(make_folder: MakeFolder, names: tuple[str, str]) -> None:
    root = make_folder(f"{names[0]}/a", f"{names[0]}/b", f"{names[1]}/c", f"{names[1]}/d")
    first, second = (split_of(name) for name in names)
    assert first
    assert second
    assert first != second
    assert load(root, first, size=4).classes == ("a", "b")
    assert load(root, second, size=4).classes == ("c", "d")


@pytest.mark.parametrize("name", ["contest", "trains", "developer", "values", "baseball", "novels", "latest", "cat"])
def test_words_that_only_hold_the_name_of_a_split_are_none(name: str) -> None:
    assert split_of(name) is None


def test_splits_of_examples_in_any_spelling_are_put_together(make_folder: MakeFolder) -> None:
    root = make_folder("Train/cat", "Train/dog", "Test/cat", "Test/dog")
    (words,) = said(lambda: small(root))
    assert "Test, Train share classes (cat, dog)" in words
    assert small_counts(root) == {"cat": 6, "dog": 6}


def test_a_folder_beside_the_splits_is_warned_of(make_folder: MakeFolder) -> None:
    root = make_folder("train/a", "test/b", "extra/c")
    (words,) = said(lambda: small(root))
    assert "test, train look like splits, but extra beside them does not" in words


def test_unlabelled_test_images_of_a_competition_are_no_class(make_folder: MakeFolder) -> None:
    root = make_folder("train/a", "train/b", "test")
    (words,) = said(lambda: small(root))
    assert words.endswith("left out 3 files in test, because they lie in no class folder there.")
    assert small_counts(root) == {"a": 3, "b": 3}


def test_folders_that_all_hold_classes_of_the_same_names_are_warned_of(make_folder: MakeFolder) -> None:
    (words,) = said(lambda: small(make_folder("fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog")))
    assert "fold1, fold2 all hold classes of the same names (cat, dog)" in words
    assert said(lambda: small(make_folder("Greek/a", "Greek/b", "Latin/a", name="other"))) == []


# ---------------------------------------------------------------------------------------------------- caches


def test_parts_that_a_killed_process_left_are_removed_and_those_of_a_living_one_stay(
    make_folder: MakeFolder, cache: pathlib.Path
) -> None:
    root, other = make_folder("cat"), make_folder("dog", name="other")
    tree = FolderTree(root)
    key = store.Job(tree, tuple(tree.listing.files), ImageSpec(4, 4, 3)).key()
    folder = cache / "images"
    folder.mkdir(parents=True)
    own, dead, living = (folder / f".{name}.image.abc.npy.part" for name in (key, "dead", "living"))
    for part in (own, dead, living):
        part.write_bytes(b"half")
    for name in ("dead", "living"):
        (folder / f"{name}.lock").touch()
    lock = f"h = open({str(folder / 'living.lock')!r}, 'a'); fcntl.flock(h, fcntl.LOCK_EX)"
    hold = f"import fcntl, time; {lock}; print(1, flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        small(root)
        assert not own.exists()
        assert not dead.exists()
        assert living.exists()
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
    small(other)
    assert not living.exists()


def test_a_user_without_a_home_is_told_of_the_cache_variable(monkeypatch: pytest.MonkeyPatch, make_folder: MakeFolder) -> None:
    root = make_folder("cat")
    monkeypatch.delenv("QUICKSTUDY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless(path: str) -> str:
        return path  # as os.path.expanduser does if HOME is not set and the user has no entry

    monkeypatch.setattr(os.path, "expanduser", homeless)
    with pytest.raises(StorageError, match="QUICKSTUDY_CACHE"):
        small(root)
    with pytest.raises(DataError, match="home folder"):
        places.expanded("~/photos")


def test_where_a_relative_path_was_looked_for_is_said(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"unknown data set 'photos'.*no file or folder 'photos' in '{tmp_path}' either"):
        load("photos")
    with pytest.raises(NotFoundError, match=f"no file or folder 'my/photos' in '{tmp_path}'"):
        load("my/photos")
