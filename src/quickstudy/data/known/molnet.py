"""MoleculeNet: molecules and what assays found of them, Tox21 (12 assays of toxicity) and SIDER (27 kinds of side effects of drugs).

Wu et al. 2018, "MoleculeNet: a benchmark for molecular machine learning". An assay is a group of two classes, `active` and `inactive`, and
tasks are drawn from one assay. The test assays are those of Altae-Tran, Ramsundar, Pappu and Pande 2017, "Low Data Drug Discovery with
One-Shot Learning", section 4: the last three of Tox21 and the last six of SIDER. Of the others, the last two and four are for validation.
Assays share molecules; what was not seen in training is the assay. In the splits `train_apart`, `val_apart` and `test_apart` molecules are
apart too: a fifth of them, by the hash of their fingerprints, is in `test_apart` alone, however they are spelled. Molecules without a
result are left out, and so are those that rdkit cannot read. Licence: MIT.

The files are not downloaded: `molnet/tox21.csv.gz` and `molnet/sider.csv.gz`, with a column `smiles`, and one of 0 and 1 for each assay.
"""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset, DataWarning, joined
from quickstudy.data.pool import local
from quickstudy.errors import DataError
from quickstudy.inputs.molecule import MoleculeSpec

SPEC = MoleculeSpec()
SPLITS = ("train", "val", "test", "all", "train_apart", "val_apart", "test_apart")
SOURCE = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/ (MoleculeNet, through DeepChem)"
HELD_OUT = {"tox21": (2, 3), "sider": (4, 6)}
"""Number of assays for validation and for test, by the name of their table: its last ones."""
COLUMNS = ("smiles", "mol_id")
"""Columns that are no assays."""


def read(split: str, spec: MoleculeSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the classes of the assays of one split.

    Raises:
        DataError: a file is missing or damaged; or, if `strict`, a molecule cannot be read.
        ConfigError: rdkit is not installed.
    """
    parts = [part for table in HELD_OUT for part in _assays(table, split, spec, data_dir, strict)]
    return joined(parts, f"molnet/{split}")


def split_of(table: str, assays: list[str]) -> dict[str, str]:
    """Return the split of each assay of a table.

    >>> list(split_of("tox21", [*"abcdefg"]).values())
    ['train', 'train', 'val', 'val', 'test', 'test', 'test']
    """
    validated, tested = HELD_OUT[table]
    words = ["train"] * (len(assays) - validated - tested) + ["val"] * validated + ["test"] * tested
    return dict(zip(assays, words, strict=True))


def _assays(table: str, split: str, spec: MoleculeSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Iterator[Dataset]:
    """Yield the two classes of each assay of a table that is in the split."""
    path = local("molnet", f"{table}.csv.gz", data_dir, SOURCE)
    rows = _rows(path)
    found = _fingerprints(tuple(row["smiles"] for row in rows), spec)
    kept = [place for place, bits in enumerate(found) if bits is not None]
    if len(kept) < len(found):
        said = f"{str(path)!r}: {len(found) - len(kept)} of {len(found)} molecules cannot be read as SMILES"
        if strict:
            raise DataError(f"{said}; read with strict=False to leave them out.")
        warnings.warn(f"{said}, and are left out.", DataWarning, stacklevel=5)
    stored = np.stack([bits for bits in found if bits is not None])
    splits = split_of(table, [name for name in rows[0] if name not in COLUMNS])
    of_assays, _, apart = split.partition("_")
    held_out = np.array([_is_held_out(bits) for bits in stored])
    wanted = held_out == (of_assays == "test") if apart else np.ones(len(kept), bool)
    for assay in (name for name, found in splits.items() if of_assays in (found, "all")):
        results = np.array([rows[place][assay] for place in kept])
        known = (results != "") & wanted
        if not set(results[known]) <= {"0", "1", "0.0", "1.0"}:
            raise DataError(
                f"{str(path)!r}: the assay {assay!r} holds something else than 0 and 1; get it again from {SOURCE}."
            )
        if len(set(results[known])) < 2:  # a small table may have an assay without one of both on this side
            continue
        labels = [f"{table}/{assay}/{'active' if float(result) else 'inactive'}" for result in results[known]]
        yield from_arrays(stored[known], labels, spec=spec, name=f"{table}/{assay}")


def _is_held_out(bits: np.ndarray) -> bool:
    """Say whether a molecule, by its fingerprint, is one of the fifth that is in `test_apart` alone."""
    return hashlib.sha256(bits.tobytes()).digest()[0] < 256 // 5


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    """Return the rows of a table by the names of their columns."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise DataError(f"{str(path)!r} cannot be read as a table ({error}); copy it again.") from error
    if not rows or "smiles" not in rows[0]:
        raise DataError(f"{str(path)!r} has no column 'smiles'; get it again from {SOURCE}.")
    return rows


@functools.lru_cache(maxsize=len(HELD_OUT))
def _fingerprints(smiles: tuple[str, ...], spec: MoleculeSpec) -> tuple[np.ndarray | None, ...]:
    """Return the fingerprint of each molecule, uint8 `[bits]`, or None; kept, because every split needs those of the whole table."""
    return tuple(spec.fingerprint(one) for one in smiles)
