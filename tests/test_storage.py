"""Files are written whole or not at all, and a file that is not right is refused by name, never half read."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import stat
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from builders import DESCENT, make_learner

from quickstudy import storage
from quickstudy.errors import ConfigError, FileFormatError, NotFoundError, QuickstudyError, StorageError
from quickstudy.training.saving import SavedLearner, load_learner, save_learner

ARRAYS = {"a": np.arange(4, dtype=np.float32).reshape(2, 2), "empty": np.zeros((0, 2))}
META = {"text": "ä", "number": 0.1, "list": [1, None, True]}


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "file.safetensors"
    storage.save(path, "learner", ARRAYS, META)
    return path


@pytest.fixture
def learner_file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "learner.safetensors"
    save_learner(path, SavedLearner(make_learner(DESCENT)))
    return path


def rewritten(path: pathlib.Path, **changes: Any) -> None:
    """Return the same arrays under a header with some values changed."""
    with safetensors.safe_open(path, framework="numpy") as opened:
        header = json.loads(opened.metadata()["quickstudy"]) | changes
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    path.write_bytes(safetensors.numpy.save(arrays, metadata={"quickstudy": json.dumps(header)}))


def test_what_is_saved_is_loaded(file: pathlib.Path) -> None:
    content = storage.load(file, "learner")
    assert content.meta == META
    assert content.arrays.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert content.arrays[name].dtype == value.dtype
        assert content.arrays[name].shape == value.shape
        assert (content.arrays[name] == value).all()


def test_saving_twice_gives_the_same_bytes(file: pathlib.Path) -> None:
    before = file.read_bytes()
    storage.save(file, "learner", dict(reversed(ARRAYS.items())), META)
    assert file.read_bytes() == before


def test_strided_arrays_are_saved_as_they_read(tmp_path: pathlib.Path) -> None:
    value = np.arange(12.0).reshape(3, 4).T[::2]
    storage.save(tmp_path / "file", "task", {"a": value}, {})
    assert (storage.load(tmp_path / "file", "task").arrays["a"] == value).all()


def test_a_single_number_keeps_its_shape(tmp_path: pathlib.Path) -> None:
    storage.save(tmp_path / "file", "task", {"a": np.array(3.0)}, {})
    assert storage.load(tmp_path / "file", "task").arrays["a"].shape == ()


def test_fingerprint_is_of_names_types_shapes_and_values() -> None:
    base = {"a": np.zeros(4, np.float32)}
    others = [
        {"b": base["a"]},
        {"a": np.zeros((2, 2), np.float32)},
        {"a": np.zeros(4, np.int32)},
        {"a": np.ones(4, np.float32)},
        {},
    ]
    assert len({storage.fingerprint(arrays) for arrays in [base, *others]}) == 6
    assert storage.fingerprint({"x": np.eye(2), "a": base["a"]}) == storage.fingerprint({"a": base["a"], "x": np.eye(2)})


# ---------------------------------------------------------------------------------------------------- damage


def test_no_flipped_byte_changes_what_is_read(file: pathlib.Path) -> None:
    """A damaged file is refused, unless the damage changes nothing that is read."""
    whole, refused = file.read_bytes(), 0
    for position in range(len(whole)):
        for flip in (0x01, 0x20):
            damaged = bytearray(whole)
            damaged[position] ^= flip
            file.write_bytes(bytes(damaged))
            try:
                content = storage.load(file, "learner")
            except FileFormatError:
                refused += 1
                continue
            where = bytes(damaged[max(0, position - 8) : position + 8])
            assert content.meta == META, where
            assert storage.fingerprint(content.arrays) == storage.fingerprint(ARRAYS), where
    assert refused > 0.9 * 2 * len(whole)


def test_every_truncation_is_found(file: pathlib.Path) -> None:
    whole = file.read_bytes()
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=file.name):
            storage.load(file, "learner")
    file.write_bytes(whole + b"\0")
    with pytest.raises(FileFormatError, match=file.name):
        storage.load(file, "learner")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x80\x02}q\x00.", b"\xff" * 64, b"\0" * 64, b"{}"])
def test_other_files_are_refused(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(FileFormatError, match="is damaged or no safetensors file"):
        storage.load(tmp_path / "file", "learner")


def test_missing_file_and_folder_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no file .*nothing; expected a saved learner"):
        storage.load(tmp_path / "nothing", "learner")
    with pytest.raises(NotFoundError, match="is not a file; expected a saved learner"):
        storage.load(tmp_path, "learner")


def test_a_file_that_may_not_be_read_is_named(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "stat", denied)  # chmod stops nobody who runs the tests as root
    with pytest.raises(FileFormatError, match=f"{file} may not be read .*expected a saved learner"):
        storage.load(file, "learner")


def test_foreign_safetensors_are_refused(tmp_path: pathlib.Path) -> None:
    for metadata in (None, {"format": "pt"}):
        (tmp_path / "file").write_bytes(safetensors.numpy.save(ARRAYS, metadata=metadata))
        with pytest.raises(FileFormatError, match="quickstudy did not write it"):
            storage.load(tmp_path / "file", "learner")


def test_newer_format_and_other_kind_are_named(file: pathlib.Path) -> None:
    with pytest.raises(FileFormatError, match="is a saved learner; expected a saved task"):
        storage.load(file, "task")
    rewritten(file, format=storage.FORMAT + 1)
    with pytest.raises(
        FileFormatError, match=rf"has format {storage.FORMAT + 1}, this quickstudy reads up to {storage.FORMAT}"
    ):
        storage.load(file, "learner")


@pytest.mark.parametrize("changes", [{"hash": "0" * 16}, {"hash": None}, {"format": "one"}, {"format": None}, {"kind": 3}])
def test_damaged_header_is_refused(file: pathlib.Path, changes: dict[str, Any]) -> None:
    rewritten(file, **changes)
    with pytest.raises(FileFormatError, match=file.name):
        storage.load(file, "learner")


# ---------------------------------------------------------------------------------------------------- full disks


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file(file: pathlib.Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StorageError, match=r"No space left on device; what was there before is unchanged"):
            storage.save(file, "learner", {"a": np.ones(3)}, {})
        assert file.read_bytes() == before
        assert [entry.name for entry in file.parent.iterdir()] == [file.name]
        new = file.parent / "new"
        with pytest.raises(StorageError, match="nothing was written"):
            storage.save(new, "learner", {"a": np.ones(3)}, {})
        assert not new.exists()
    storage.save(file, "learner", {"a": np.ones(3)}, {})
    assert (storage.load(file, "learner").arrays["a"] == 1).all()


def test_folder_that_cannot_be_made_is_a_storage_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="could not write"):
        storage.save(tmp_path / "file" / "deeper", "learner", ARRAYS, {})


def test_an_interrupt_leaves_the_old_file(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.save(file, "learner", {"a": np.ones(3)}, {})
    assert file.read_bytes() == before
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


# ---------------------------------------------------------------------------------------------------- what the path names


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    before = os.umask(0o022)
    yield lambda value: (os.umask(value), None)[1]
    os.umask(before)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o000])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: pathlib.Path, umask: Callable[[int], None], mask: int) -> None:
    umask(mask)
    storage.write_atomically(tmp_path / "new", b"content")
    assert mode(tmp_path / "new") == 0o666 & ~mask


@pytest.mark.parametrize("kept", [0o600, 0o644, 0o640, 0o666, 0o755])
def test_an_existing_file_keeps_its_mode(tmp_path: pathlib.Path, umask: Callable[[int], None], kept: int) -> None:
    umask(0o077)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(kept)
    storage.write_atomically(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", kept)


def test_a_private_file_is_private_while_it_is_written(
    tmp_path: pathlib.Path, umask: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    umask(0o000)
    path = tmp_path / "private"
    path.write_bytes(b"old")
    path.chmod(0o600)
    seen: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(stat.S_IMODE(os.fstat(handle).st_mode)))
    storage.write_atomically(path, b"new")
    assert seen == [0o600]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path: pathlib.Path, there: bool) -> None:
    real, link = tmp_path / "store" / "real", tmp_path / "link"
    real.parent.mkdir()
    if there:
        real.write_bytes(b"old")
    link.symlink_to("store/real")
    storage.write_atomically(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert [entry.name for entry in real.parent.iterdir()] == ["real"]


def test_a_link_to_itself_is_a_storage_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(StorageError, match="what was there before is unchanged"):
        storage.write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()


def test_a_pipe_is_written_into(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    storage.write_atomically(tmp_path / "pipe", b"content")
    reader.join(timeout=30)
    assert read == [b"content"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_device_is_written_into(tmp_path: pathlib.Path) -> None:
    (tmp_path / "null").symlink_to(os.devnull)
    storage.write_atomically(tmp_path / "null", b"content")
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)
    storage.write_atomically("/dev/fd/1", b"")  # links of the system that lead to no path


def test_a_folder_is_not_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        storage.write_atomically(tmp_path / "folder", b"content")
    assert (tmp_path / "folder").is_dir()


def test_a_long_name_is_written(tmp_path: pathlib.Path) -> None:
    name = "n" * 255
    storage.write_atomically(tmp_path / name, b"content")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_name_that_is_no_text_is_written_and_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9")
    storage.save(path, "learner", ARRAYS, META | {"name": path.name})
    assert storage.load(path, "learner").meta["name"] == path.name
    with pytest.raises(StorageError, match=r"could not write .*caf"):
        storage.save(path / "deeper", "learner", ARRAYS, META)


# ---------------------------------------------------------------------------------------------------- learners and tasks


def changed_meta(path: pathlib.Path, change: Any) -> None:
    """Return the same file with its meta changed and everything else, hashes included, as `save` writes it."""
    content = storage.load(path, "learner")
    meta = json.loads(json.dumps(content.meta))
    change(meta)
    storage.save(path, "learner", content.arrays, meta)


def no_args(meta: dict[str, Any]) -> None:
    del meta["learner"]["args"]


def no_modules(meta: dict[str, Any]) -> None:
    del meta["learner"]["modules"]


def other_net(meta: dict[str, Any]) -> None:
    meta["learner"]["modules"]["net"]["args"]["hidden"] = [4]


def unknown_learner(meta: dict[str, Any]) -> None:
    meta["learner"]["name"] = f"{DESCENT[:-1]}m"


def unknown_argument(meta: dict[str, Any]) -> None:
    meta["learner"]["args"]["inner_rate"] = 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_args, "damaged header"),
        (no_modules, "damaged header"),
        (other_net, f"the weights do not fit {DESCENT}"),
        (unknown_learner, DESCENT),
        (unknown_argument, "inner_rate"),
    ],
)
def test_learner_that_cannot_be_built_is_refused(learner_file: pathlib.Path, change: Any, message: str) -> None:
    changed_meta(learner_file, change)
    with pytest.raises(QuickstudyError, match=message):
        load_learner(learner_file)


def test_hyperparameters_may_be_changed_by_name(learner_file: pathlib.Path) -> None:
    assert load_learner(learner_file, inner_steps=7).learner.inner_steps == 7
    with pytest.raises(ConfigError, match=rf"unknown hyperparameter of {DESCENT} 'inner_step'.*inner_steps"):
        load_learner(learner_file, inner_step=7)
