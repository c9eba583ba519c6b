"""MoleculeNet: assays as groups of two classes, those of the paper for test, and molecules apart in the splits that say so."""

from __future__ import annotations

import gzip
import itertools
import pathlib

import numpy as np
import pytest

from quickstudy.data import load
from quickstudy.data.dataset import DataWarning
from quickstudy.data.known import molnet
from quickstudy.errors import DataError

ENDS = ("O", "N", "S", "F", "Cl", "Br")
PAIRS = [(one, "C" * length, other) for length in range(1, 5) for one, other in itertools.combinations(ENDS, 2)]
"""Ends and middle of 60 molecules."""
ASSAYS = [f"A{number}" for number in range(12)]


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a folder with small tables: molecules of which every other one is active in an assay, and some have no result."""
    (tmp_path / "molnet").mkdir()
    for table in molnet.HELD_OUT:
        lines = [",".join(["smiles", *ASSAYS])]
        for number, parts in enumerate(PAIRS, 1):
            results = [str((number + place) % 2) if (number + place) % 5 else "" for place in range(len(ASSAYS))]
            lines.append(",".join(["".join(parts), *results]))
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
    assert found["train"].counts[0] == sum(number % 2 and number % 5 > 0 for number in range(1, 61))
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
    assert not seen & new


@pytest.mark.filterwarnings("ignore::quickstudy.data.dataset.DataWarning")
def test_another_spelling_of_a_molecule_is_on_the_same_side(root: pathlib.Path) -> None:
    """The second table spells all molecules from the other end."""
    spelled = [("".join(parts), "".join(reversed(parts))) for parts in PAIRS]
    for table, spelling in zip(molnet.HELD_OUT, zip(*spelled, strict=True), strict=True):
        rows = [",".join([smiles, *[str(place % 2)] * len(ASSAYS)]) for place, smiles in enumerate(spelling)]
        with gzip.open(root / "molnet" / f"{table}.csv.gz", "wt") as stream:
            stream.write("\n".join([",".join(["smiles", *ASSAYS]), *rows]))
    seen, new = (
        {row.tobytes() for row in load("molnet", split, data_dir=root).examples["molecule"]}
        for split in ("train_apart", "test_apart")
    )
    assert seen
    assert new
    assert not seen & new


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
