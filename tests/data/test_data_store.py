"""The image cache: built once, mapped afterwards, never half there, never believed when damaged."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest

from quickstudy.data import Dataset, load, store
from quickstudy.data.readers.folder import FolderTree
from quickstudy.errors import StorageError
from quickstudy.inputs.image import ImageSpec

MakeFolder = Callable[..., pathlib.Path]


def files(cache: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Return the one cache's pixels and notes."""
    (pixels,), (notes,) = cache.glob("images/*.npy"), cache.glob("images/*.json")
    return pixels, notes


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths that are read from now on."""
    seen: list[str] = []
    read = FolderTree.read
    monkeypatch.setattr(FolderTree, "read", lambda self, path: seen.append(path) or read(self, path))
    return seen


def small(root: pathlib.Path) -> Dataset:
    return load(root, "all", size=4)


def test_second_load_reads_no_image_and_gives_the_same(
    make_folder: MakeFolder, cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, seen = make_folder("cat", "dog"), count_reads(monkeypatch)
    first = small(root)
    assert len(seen) == 6
    second = small(root)
    assert len(seen) == 6
    assert isinstance(second.examples["image"], np.memmap)
    assert np.array_equal(first.examples["image"], second.examples["image"])
    assert first.fingerprint == second.fingerprint
    assert len(list(cache.glob("images/*.npy"))) == 1


def test_changed_images_and_another_spec_are_decoded_anew(make_folder: MakeFolder, cache: pathlib.Path) -> None:
    root = make_folder("cat", "dog")
    before = small(root)
    PIL.Image.new("L", (9, 9), 250).save(root / "cat" / "0.png")
    after = small(root)
    assert before.examples["image"][0].max() == 0
    assert after.examples["image"][0].min() == 250
    assert before.fingerprint != after.fingerprint
    assert load(root, "all", size=6).examples["image"].shape[1:] == (6, 6, 3)
    assert len(list(cache.glob("images/*.npy"))) == 3


def test_fingerprint_knows_class_names_and_not_the_place(make_folder: MakeFolder) -> None:
    here, there, renamed = (
        make_folder("cat", "dog"),
        make_folder("cat", "dog", name="there"),
        make_folder("cat", "elk", name="r"),
    )
    assert small(here).fingerprint == small(there).fingerprint
    assert small(here).fingerprint != small(renamed).fingerprint


def flip_byte(pixels: pathlib.Path, notes: pathlib.Path) -> None:
    content = bytearray(pixels.read_bytes())
    content[-1] ^= 0xFF
    pixels.write_bytes(content)


def cut_short(pixels: pathlib.Path, notes: pathlib.Path) -> None:
    pixels.write_bytes(pixels.read_bytes()[:-10])


def empty_notes(pixels: pathlib.Path, notes: pathlib.Path) -> None:
    notes.write_text("")


def list_for_notes(pixels: pathlib.Path, notes: pathlib.Path) -> None:
    notes.write_text("[1, 2]")


def lose_notes(pixels: pathlib.Path, notes: pathlib.Path) -> None:
    notes.unlink()


def lose_pixels(pixels: pathlib.Path, notes: pathlib.Path) -> None:
    pixels.unlink()


def wrong_shape(pixels: pathlib.Path, notes: pathlib.Path) -> None:
    np.save(pixels, np.zeros((2, 4, 4, 3), dtype=np.uint8))
    about = json.loads(notes.read_text())
    notes.write_text(json.dumps(about | {"arrays": {"image": {"bytes": pixels.stat().st_size, "crc32": store._crc(pixels)}}}))


@pytest.mark.parametrize("damage", [flip_byte, cut_short, empty_notes, list_for_notes, lose_notes, lose_pixels, wrong_shape])
def test_damaged_cache_is_built_again(
    damage: Callable[[pathlib.Path, pathlib.Path], None],
    make_folder: MakeFolder,
    cache: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = make_folder("cat", "dog")
    expected = np.array(small(root).examples["image"])
    damage(*files(cache))
    seen = count_reads(monkeypatch)
    assert np.array_equal(small(root).examples["image"], expected)
    assert len(seen) == 6
    small(root)
    assert len(seen) == 6


def test_interrupted_build_leaves_nothing_behind(
    make_folder: MakeFolder, cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder("cat", "dog")

    def interrupt(self: FolderTree, path: str) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FolderTree, "read", interrupt)
        with pytest.raises(KeyboardInterrupt):
            small(root)
    assert [path.suffix for path in cache.rglob("*") if path.is_file()] == [".lock"]
    assert small(root).counts.tolist() == [3, 3]


def test_processes_that_build_one_cache_at_once_agree(make_folder: MakeFolder, cache: pathlib.Path) -> None:
    root = make_folder("cat", "dog", "elk", images=40)
    read = f"d = load({str(root)!r}, 'all', size=4)"
    script = f"from quickstudy.data import load; {read}; print(d.fingerprint, int(d.examples['image'].sum()))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)
    ]
    answers = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    data = small(root)
    assert answers == {f"{data.fingerprint} {int(data.examples['image'].sum())}\n"}
    assert sorted(path.suffix for path in cache.rglob("*") if path.is_file()) == [".json", ".lock", ".npy"]


def test_threads_and_one_thread_decode_the_same(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = FolderTree(make_folder("cat", "dog", images=30))
    job = store.Job(tree, tuple(tree.listing.files), ImageSpec(4, 4, 1))
    monkeypatch.setitem(store.TUNED, "chunk", 7)
    results = []
    for threads_from in (0, 10**9):
        monkeypatch.setitem(store.TUNED, "threads_from", threads_from)
        monkeypatch.setattr(os, "cpu_count", lambda: 4)
        assert store._workers(job) == (4 if threads_from == 0 else 1)
        file = tree.root.parent / f"{threads_from}.npy"
        left_out, _ = store._write_arrays({"image": file}, job, strict=True)
        assert left_out == []
        results.append(np.load(file))
    assert np.array_equal(*results)
    assert results[0].shape == (60, 4, 4, 1)
    assert len(np.unique(results[0])) > 30


def test_cache_that_cannot_be_written_is_a_storage_error(
    make_folder: MakeFolder, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="QUICKSTUDY_CACHE"):
        small(make_folder("cat", "dog"))


def test_pixels_of_a_mapped_dataset_can_be_written_without_harm(make_folder: MakeFolder) -> None:
    root = make_folder("cat", "dog")
    small(root)
    mapped = small(root)
    mapped.examples["image"][:] = 99
    assert small(root).examples["image"].max() < 99
