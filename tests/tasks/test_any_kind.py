"""Class tasks over data of any kind: rows, and a kind with several parts that exists only here."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest
import torch

from quickstudy.data import Dataset, from_arrays, load
from quickstudy.errors import ConfigError, DataError
from quickstudy.inputs import InputSpec, TensorLayout
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.classes import ClassTasks


class Captioned(InputSpec, frozen=True):
    """A picture of 2x3 bytes and 4 words of its caption."""

    kind: Literal["captioned"] = "captioned"

    def layout(self) -> dict[str, TensorLayout]:
        return {
            "picture": TensorLayout(axes=(2, 3), order=(1, 0), dtype="uint8", scale=1 / 255),
            "words": TensorLayout(axes=(4,), order=(0,), dtype="int64"),
        }

    @classmethod
    def takes(cls, array: np.ndarray) -> bool:
        return False

    @classmethod
    def own(cls, array: np.ndarray | None = None, **wishes: Any) -> Captioned:
        return cls()

    def how(self, **wishes: Any) -> dict[str, Any]:
        return {}

    def read(self, thing: Any, **how: Any) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def read_all(self, things: Any, **how: Any) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        return {}

    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        return None


@pytest.fixture
def captioned() -> Dataset:
    rows = np.arange(20)
    stored = {
        "picture": np.repeat(rows.astype(np.uint8), 6).reshape(20, 2, 3),
        "words": np.repeat(rows, 4).reshape(20, 4) + 2**40,
    }
    return Dataset(stored, np.full(4, 5), tuple("abcd"), tuple("abcd"), Captioned(), "captioned", "f")


def test_a_kind_of_several_parts_comes_as_tensors_by_name(captioned: Dataset) -> None:
    view = captioned.select([3, 1, 0])
    tasks = ClassTasks(view, ways=2, shots=1, queries=2).batch(range(6))
    x = tasks.query.x
    assert isinstance(x, dict)
    assert (x["picture"].shape, x["words"].shape) == ((6, 4, 3, 2), (6, 4, 4))
    assert (x["picture"].dtype, x["words"].dtype) == (torch.float32, torch.int64)
    assert torch.equal((x["picture"][..., 0, 0] * 255).round().long(), x["words"][..., 0] - 2**40), (
        "parts of one example stay together"
    )
    assert set((x["words"] - 2**40).unique().tolist()) <= {*range(10), *range(15, 20)}
    assert ClassTasks(view, 2, 1, 2).fingerprint(6) == ClassTasks(view.compact(), 2, 1, 2).fingerprint(6)


def test_stored_parts_that_do_not_fit_the_layout_are_refused(captioned: Dataset) -> None:
    for wrong in (captioned.stored["words"][:, :3], captioned.stored["words"].astype(np.int32)):
        with pytest.raises(DataError, match=r"words is .*expected int64 \['row', 4\]"):
            Dataset({**captioned.stored, "words": wrong}, *(getattr(captioned, part) for part in PARTS))


PARTS = ("counts", "classes", "groups", "spec", "name", "fingerprint")


def test_rows_of_numbers_are_data_like_any_other(tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows, y=np.repeat(np.arange(4), 10)[:, None])
    data = load(tmp_path / "rows.npz", "all")
    assert data.spec == RowsSpec(3)
    assert data.counts.tolist() == [10] * 4
    assert np.array_equal(data.examples["rows"], rows)
    tasks = ClassTasks(data, ways=3, shots=2, queries=3)
    assert tasks.batch(range(5)).support.x.shape == (5, 6, 3)
    assert tasks.describe()["input"] == "rows of 3 numbers"
    with pytest.raises(ConfigError, match="augment is 'flip'; expected one of none, for inputs of kind rows"):
        ClassTasks(data, 3, 2, 3, draw=Draw(augment="flip"))
    with pytest.raises(DataError, match="holds rows, but grey images of 28x28, ink light are expected"):
        load(tmp_path / "rows.npz", "all", spec=ImageSpec())
    with pytest.raises(DataError, match="ink is given, but the data holds rows, which have no such option"):
        load(tmp_path / "rows.npz", "all", ink="dark")


def test_a_column_of_labels_is_labels_and_one_hot_rows_are_not() -> None:
    x, y = np.zeros((6, 4, 4), dtype=np.uint8), np.repeat(np.arange(3), 2)
    assert from_arrays(x, y[:, None]).counts.tolist() == [2, 2, 2]
    with pytest.raises(DataError, match=r"Take argmax\(-1\) of one-hot labels"):
        from_arrays(x, np.eye(3)[y])


def test_known_data_becomes_what_a_learner_takes() -> None:
    light, dark = load("digits", "test", size=12), load("digits", "test", spec=ImageSpec(12, 12, 1, "dark"))
    assert dark.spec == ImageSpec(12, 12, 1, "dark")
    assert np.array_equal(dark.examples["image"], 255 - light.examples["image"])
    of_light, of_dark = (ClassTasks(data, 2, 1, 3)[5].query.x for data in (light, dark))
    torch.testing.assert_close(of_light, of_dark)
    assert dark.fingerprint != light.fingerprint
    with pytest.raises(DataError, match="digits holds images, but rows of 3 numbers are expected"):
        load("digits", "test", spec=RowsSpec(3))
