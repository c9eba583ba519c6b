"""Microarray: activity of genes in eight studies of 60 to 217 patients, each with two to five diagnoses (R's datamicroarray, Ramey 2016).

A study is a group, and tasks are drawn from one study: its patients' diagnoses are told apart. Of its genes, the 100 (the width of the
spec) whose activity differs most between patients, whatever their diagnosis, are columns. Splits are whole studies. The rarest diagnosis
has 8 patients. Licence: MIT.

The files are not downloaded: `microarray/<study>.npz` holds `x` `[patient, gene]` and `y`, the diagnoses.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np

from quickstudy.data import splits
from quickstudy.data.dataset import Dataset
from quickstudy.data.pool import OPTIONS, Table, local, pooled
from quickstudy.data.readers.npz import read_npz
from quickstudy.inputs.table import TableSpec

SPEC = TableSpec(width=100, scaling="task")
SPLITS = splits.SPLITS
STUDIES = ("alon", "christensen", "golub", "gravier", "khan", "pomeroy", "singh", "sorlie")
SOURCE = "https://github.com/ramhiser/datamicroarray, saved with numpy.savez as x [patient, gene] and y"


def read(split: str, spec: TableSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the diagnoses of one split. There is nothing that `strict` could leave out: a damaged file is an error."""
    return splits.chosen(pooled(_tables(spec, data_dir), spec, "microarray/all"), split, OPTIONS)


def _tables(spec: TableSpec, data_dir: str | pathlib.Path | None) -> Iterator[Table]:
    """Yield each study, with the genes that differ most, the most different first."""
    for study in STUDIES:
        x, y, _ = read_npz(local("microarray", f"{study}.npz", data_dir, SOURCE))
        genes = np.argsort(-x.astype(np.float64).std(0), kind="stable")[: spec.features]
        yield study, x[:, genes].astype(np.float64), [str(label) for label in y]
