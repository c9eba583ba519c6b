"""One image cache for all tests of this folder, and where the real data is."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import PIL.Image
import pytest

SHARED = pathlib.Path(__file__).parents[2].parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUICKSTUDY_CACHE", str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "image-cache"))
        patch.delenv("QUICKSTUDY_DATA", raising=False)
        yield


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Return a cache of the test's own."""
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def real_data() -> pathlib.Path:
    """Return the folder of the real data sets. If there is a shared folder they must be in it; elsewhere the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip("no shared folder with real data on this machine")
    assert (SHARED / "data").is_dir(), f"{SHARED} has no folder data"
    return SHARED / "data"


@pytest.fixture
def make_folder(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Write a folder of small grey PNGs, `image` of class number c having the value 20 * c + image (mod 256)."""

    def make(*classes: str, images: int = 3, name: str = "images") -> pathlib.Path:
        root = tmp_path / name
        for number, chosen in enumerate(classes):
            (root / chosen).mkdir(parents=True)
            for image in range(images):
                pixels = np.full((6, 5 + image), (20 * number + image) % 256, dtype=np.uint8)
                PIL.Image.fromarray(pixels).save(root / chosen / f"{image}.png")
        return root

    return make
