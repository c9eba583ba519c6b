"""Pools of tables: each is a group of classes scaled on its own, tasks stay inside one table, and whole tables are shared out."""

from __future__ import annotations

import gzip
import pathlib

import numpy as np
import pytest
import torch

from quickstudy.data import DataWarning, known, load
from quickstudy.data.known import microarray, pmlb
from quickstudy.data.loading import kind_of
from quickstudy.errors import DataError, InputWarning, TaskError
from quickstudy.inputs.table import TableSpec
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.pooled import PooledTasks

RANDOM = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a folder of five tables, whose columns have other names, numbers and units."""
    place = tmp_path / "tables"
    place.mkdir()
    for number in range(5):
        names = [f"c{number}{column}" for column in range(1 + number % 3)]
        lines = [",".join([*names, "shade", "label"])]
        for row in range(20):
            values = 10**number * (RANDOM.normal(size=len(names)) + 5 * (row % 2))
            lines.append(",".join([*(f"{value:.6g}" for value in values), "dark" if row % 3 else "light", "ab"[row % 2]]))
        (place / f"t{number}.csv").write_text("\n".join(lines))
    return place


def test_a_folder_of_tables_is_a_pool_and_so_is_a_pattern(folder: pathlib.Path) -> None:
    data = load(folder, "all")
    assert data.spec == TableSpec(width=32, scaling="task")
    assert data.classes[:3] == ("t0/a", "t0/b", "t1/a")
    assert data.groups == tuple(f"t{number}" for number in range(5) for _ in "ab")
    assert kind_of(folder) == kind_of(folder / "t*.csv") == "table"
    assert load(folder / "t*.csv", "all").fingerprint == data.fingerprint
    parts = [set(load(folder, split).groups) for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 5
    assert load(folder, "all", width=6).examples["table"].shape == (100, 1, 6)
    means = [data.select([way, way + 1]).examples["table"].mean((0, 1))[:2] for way in range(0, 10, 2)]
    np.testing.assert_allclose(np.array(means)[:, 0], 0, atol=1e-5)


def test_tasks_of_a_pool_are_of_one_table_and_know_no_units(folder: pathlib.Path) -> None:
    data = load(folder, "all")
    tasks = ClassTasks(data, ways=2, shots=3, queries=5)
    assert tasks.describe()["within_groups"] is True
    drawn = tasks._draw_classes(np.arange(50))
    assert (drawn // 2 == drawn[:, :1] // 2).all()
    batch = tasks.batch(range(50))
    assert isinstance(batch.support.x, torch.Tensor)
    torch.testing.assert_close(batch.support.x.mean(1), torch.zeros(50, 1, 32), atol=1e-5, rtol=0)
    spread = batch.support.x.std(1, correction=0)[..., 0]
    torch.testing.assert_close(spread, torch.ones_like(spread), atol=1e-3, rtol=0)
    torch.testing.assert_close(tasks[7].query.x, batch[7].query.x)
    with pytest.raises(TaskError, match="batches have no support set; train with scaling='training'"):
        PooledTasks(data)


def test_a_table_is_read_as_a_pool_wants_it(folder: pathlib.Path) -> None:
    spec = load(folder, "all", width=6).spec
    one = load(folder / "t2.csv", "all", spec=spec)
    assert one.spec == spec
    assert set(one.groups) == {"t2.csv"}
    assert len(ClassTasks(one, ways=2, shots=2, queries=2)[0].query.y.rows) == 4
    with pytest.warns(InputWarning, match="1 of 4 columns are left out, as the learner takes 5 numbers per row"):
        load(folder, "all", width=5)


def test_what_is_no_pool_is_refused_in_words(folder: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"text is given, but .* is a collection of tables"):
        load(folder, "all", text="shade")
    with pytest.raises(DataError, match=r"t0.csv' has no column 'species'"):
        load(folder, "all", label="species")
    with pytest.raises(DataError, match="is a collection of tables, but this learner takes rows of the columns 'c00', 'shade'"):
        load(folder, "all", spec=load(folder / "t0.csv", "all").spec)
    for number in (2, 3, 4):
        (folder / f"t{number}.csv").unlink()
    with pytest.warns(DataWarning, match="has 2 tables with two classes or more, too few to share out"):
        load(folder, "all")


def test_microarray_takes_the_genes_that_differ_most(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microarray, "STUDIES", ("a", "b", "c"))
    with pytest.raises(DataError, match=r"microarray is not downloaded by quickstudy: put .*a.npz' there, from https"):
        load("microarray", "all", data_dir=tmp_path)
    (tmp_path / "microarray").mkdir()
    for study in "abc":
        x = RANDOM.normal(size=(12, 150)).astype(np.float32) * np.arange(150)
        np.savez(tmp_path / "microarray" / f"{study}.npz", x=x, y=np.array(["ill", "well"] * 6))
    data = load("microarray", "all", data_dir=tmp_path)
    assert data.classes == ("a/ill", "a/well", "b/ill", "b/well", "c/ill", "c/well")
    column = x[:, np.argsort(-x.std(0))[0]]
    found = data.select([4, 5]).examples["table"][:, 0, 0]
    expected = (column - column.mean()) / column.std()
    np.testing.assert_allclose(found, np.concatenate([expected[::2], expected[1::2]]), rtol=1e-4, atol=1e-5)
    assert load("microarray", "all", data_dir=tmp_path, width=7).examples["table"].shape == (36, 1, 7)
    assert [len(load("microarray", split, data_dir=tmp_path).classes) for split in ("train", "val", "test")] == [2, 2, 2]


def test_pmlb_keeps_versions_of_a_table_in_one_split(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "pmlb" / "classification"
    place.mkdir(parents=True)
    names = ["crx", "credit_a", "iris", "vote", "house_votes_84", "few"]
    (tmp_path / "pmlb" / "index.csv").write_text(
        "\n".join(["name,task", *(f"{name},classification" for name in names), "x,regression"])
    )
    for name in names:
        rows = [f"{RANDOM.normal():.3f}\t{row % 2}\t{'NA' if row == 3 else row}" for row in range(41 if name == "few" else 60)]
        (place / f"{name}.tsv.gz").write_bytes(gzip.compress("\n".join(["x\ttarget\ty", *rows]).encode()))
    data = load("pmlb", "all", data_dir=tmp_path)
    assert data.groups == tuple(name for name in names for _ in "01")
    assert data.examples["table"].shape == (341, 1, 32)
    split_of = {group: split for split in ("train", "val", "test") for group in load("pmlb", split, data_dir=tmp_path).groups}
    assert split_of["crx"] == split_of["credit_a"]
    assert split_of["vote"] == split_of["house_votes_84"]
    (place / "iris.tsv.gz").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"iris.tsv.gz' cannot be read as a table of numbers"):
        load("pmlb", "all", data_dir=tmp_path)


def test_pools_of_real_tables_have_no_table_in_two_splits(real_data: pathlib.Path) -> None:
    for name in ("microarray", "pmlb"):
        found = {split: load(name, split, data_dir=real_data) for split in known.get(name).SPLITS}
        groups = {split: {pmlb.family(group) for group in data.groups} for split, data in found.items()}
        assert sum(len(groups[split]) for split in ("train", "val", "test")) == len(groups["all"])
        assert len(groups["all"]) > (7 if name == "microarray" else 80)


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: pathlib.Path) -> None:
    for name, word in (("data[1].csv", "right"), ("data1.csv", "wrong")):
        rows = [f"{row},{word}{row % 2}" for row in range(6)]
        (tmp_path / name).write_text("\n".join(["age,label", *rows]))
    assert load(tmp_path / "data[1].csv", "all").classes == ("right0", "right1")


@pytest.mark.parametrize(
    ("wish", "words"),
    [({"scaling": "training"}, "scaling"), ({"size": (28, 28)}, "size is given"), ({"sound": "path"}, "sound is given")],
)
def test_what_a_pool_cannot_grant_is_said(folder: pathlib.Path, wish: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(folder, "all", **wish)


def test_a_table_that_cannot_be_read_is_named(folder: pathlib.Path) -> None:
    rows = [f"{'2024-01-01' if row % 2 else '01.02.2024'},{'ab'[row % 2]}" for row in range(6)]
    (folder / "t9.csv").write_text("\n".join(["day,label", *rows]))
    with pytest.raises(DataError, match=r"^t9: 'day' holds dates in two forms"):
        load(folder, "all")
