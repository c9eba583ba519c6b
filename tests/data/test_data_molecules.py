"""MoleculeNet: assays as groups of two classes, those of the paper for test, and molecules apart in the splits that say so."""

from __future__ import annotations

import gzip
import pathlib

import numpy as np
import pytest

from quickstudy.data import load
from quickstudy.data.dataset import DataWarning
from quickstudy.data.known import molnet
from quickstudy.errors import DataError

ASSAYS = [f"A{number}" for number in range(12)]


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a folder with small tables: chains of carbon, of which those of even length are active in even assays."""
    (tmp_path / "molnet").mkdir()
    for table in molnet.HELD_OUT:
        lines = [",".join(["smiles", *ASSAYS])]
        for length in range(1, 61):
            results = [str((length + place) % 2) if (length + place) % 5 else "" for place in range(len(ASSAYS))]
            lines.append(",".join(["C" * length, *results]))
        lines.append(",".join(["C(", *["1"] * len(ASSAYS)]))
        with gzip.open(tmp_path / "molnet" / f"{table}.csv.gz", "wt") as stream:
            stream.write("\n".join(lines))
    return tmp_path


@pytest.mark.filterwarnings("ignore::quickstudy.data.dataset.DataWarning")
def test_assays_are_groups_and_the_last_ones_are_for_test(root: pathlib.Path) -> None:
    found = {split: load("molnet", split, data_dir=root) for split in molnet.SPLITS}
    groups = {split: [*dict.fromkeys(data.groups)] for split, data in found.items()}
    assert groups["test"] == ["tox21/A9", "tox21/A10", "tox21/A11", *(f"sider/A{number}" for number in range(6, 12))]
    assert groups["val"] == ["tox21/A7", "tox21/A8", "sider/A2", "sider/A3", "sider/A4", "sider/A5"]
    assert sorted(groups["train"] + groups["val"] + groups["test"]) == sorted(groups["all"])
    assert found["train"].classes[:2] == ("tox21/A0/active", "tox21/A0/inactive")
    assert found["train"].counts[0] == sum(length % 2 and length % 5 > 0 for length in range(1, 61))
    for apart in ("train", "val", "test"):
        assert groups[f"{apart}_apart"] == groups[apart]


@pytest.mark.filterwarnings("ignore::quickstudy.data.dataset.DataWarning")
def test_molecules_are_apart_where_the_split_says_so(root: pathlib.Path) -> None:
    rows = {
        split: {row.tobytes() for row in load("molnet", split, data_dir=root).examples["molecule"]} for split in molnet.SPLITS
    }
    assert rows["train"] & rows["test"]
    seen, new = rows["train_apart"] | rows["val_apart"], rows["test_apart"]
    counts = [len(part) for part in (seen, new)]
    assert np.isclose(counts[1] / sum(counts), 0.2, atol=0.15)
    long_chains = seen & new  # chains whose surroundings are the same have the same fingerprint
    assert len(long_chains) <= 1


def test_molecules_that_cannot_be_read_are_counted(root: pathlib.Path) -> None:
    with pytest.warns(DataWarning, match="1 of 61 molecules cannot be read as SMILES, and are left out"):
        load("molnet", "test", data_dir=root)
    with pytest.raises(DataError, match="1 of 61 molecules"):
        load("molnet", "test", data_dir=root, strict=True)


def test_files_that_are_missing_or_foreign_are_named(root: pathlib.Path) -> None:
    with gzip.open(root / "molnet" / "tox21.csv.gz", "wt") as stream:
        stream.write("smiles," + ",".join(ASSAYS) + "\nCC," + ",".join(["2"] * len(ASSAYS)))
    with pytest.raises(DataError, match="the assay 'A9' holds something else than 0 and 1"):
        load("molnet", "test", data_dir=root)
    (root / "molnet" / "tox21.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be read as a table"):
        load("molnet", "test", data_dir=root)
    with pytest.raises(DataError, match="molnet is not downloaded by quickstudy: put"):
        load("molnet", "test", data_dir=root / "elsewhere")
