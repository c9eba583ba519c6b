"""PMLB: 146 small tables of classification from medicine, finance and biology (Penn Machine Learning Benchmarks, Olson et al. 2017).

A table is a group, and tasks are drawn from one table. All of its columns are numbers (categories are coded as such). Of more columns
than the spec's width, 32, the first are taken; of more than 2,000 rows as many, evenly. Classes have 20 rows or more. Splits are whole
tables, and tables that are nearly the same, such as `crx`, `buggyCrx` and `credit_a`, go into one split. Licence: MIT.

The files are not downloaded: `pmlb/index.csv` and `pmlb/classification/<table>.tsv.gz`, with the classes in the column `target`.
"""

from __future__ import annotations

import gzip
import io
import pathlib
import re
import warnings
from collections.abc import Iterator

import numpy as np

from quickstudy.data import splits
from quickstudy.data.dataset import Dataset
from quickstudy.data.pool import OPTIONS, Table, local, pooled
from quickstudy.data.readers._cells import table_of
from quickstudy.errors import DataError, InputWarning
from quickstudy.inputs.table import TableSpec

SPEC = TableSpec(width=32, scaling="task")
SPLITS = splits.SPLITS
SIZES = {"rows": 2000, "least": 20}
"""Most rows of a table; fewest rows of a class."""
SOURCE = "https://github.com/EpistasisLab/pmlb, with an index.csv that has the columns name and task"
FAMILIES = """
allbp: allhyper allhypo allrep ann_thyroid dis hypothyroid
breast: breast_w
car: car_evaluation
cars: cars1
chess: kr_vs_kp
cleveland: cleve cleveland_nominal heart_c heart_h heart_statlog hungarian
cmc: contraceptive
colic: horse_colic
crx: australian buggyCrx credit_a
dna: molecular_biology_promoters splice
flare: solar_flare_1 solar_flare_2
german: credit_g
glass: glass2 prnn_fglass
house_votes_84: vote
led7: led24
monk1: monk2 monk3
mushroom: agaricus_lepiota
pima: diabetes
spect: spectf
wdbc: breast_cancer_wisconsin
wine_quality_red: wine_quality_white
"""
"""Table, and others that are nearly the same, or of the same thing, by their names and descriptions."""


def read(split: str, spec: TableSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the classes of one split. There is nothing that `strict` could leave out: a damaged file is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # that columns beyond the width are left out is said above
        found = pooled(_tables(spec, data_dir), spec, "pmlb/all", SIZES["least"])
    if split == "all":
        return found
    families = [family(group) for group in found.groups]
    of_class = splits.assigned(found.classes, families, OPTIONS)
    chosen = [place for place, one in enumerate(of_class) if one == split]
    return found.select(chosen, f"pmlb/{split}")


def family(table: str) -> str:
    """Return what tables that are nearly the same have in common.

    >>> family("credit_a"), family("GAMETES_Epistasis_2_Way_20atts_0.1H_EDM_1_1"), family("iris")
    ('crx', 'GAMETES', 'iris')
    """
    lines = (line.partition(": ") for line in FAMILIES.strip().split("\n"))
    first = {twin: name for name, _, twins in lines for twin in twins.split()}
    return first.get(table, re.split(r"_Epistasis_|_Heterogeneity_", table)[0])


def _tables(spec: TableSpec, data_dir: str | pathlib.Path | None) -> Iterator[Table]:
    """Yield each table of classification."""
    index = table_of(local("pmlb", "index.csv", data_dir, SOURCE))
    lacking = {"name", "task"} - index.keys()
    if lacking:
        raise DataError(f"index.csv of pmlb has no column {min(lacking)!r}; get it again from {SOURCE}.")
    for name, task in zip(index["name"], index["task"], strict=True):
        if task == "classification":
            head, rows = _read(local("pmlb", f"classification/{name}.tsv.gz", data_dir, SOURCE))
            target = head.index("target")
            columns = [place for place in range(len(head)) if place != target][: spec.features]
            yield name, rows[:, columns], [f"{label:g}" for label in rows[:, target]]


def _read(path: pathlib.Path) -> tuple[list[str], np.ndarray]:
    """Return the names of a table's columns, and the numbers of its rows, or of as many as are taken, `[row, column]`.

    Raises:
        DataError: the file is damaged, or holds something else than numbers.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            head = stream.readline().rstrip("\n").split("\t")
            lines = stream.read().splitlines()
        kept = [lines[place] for place in np.unique(np.linspace(0, len(lines) - 1, min(len(lines), SIZES["rows"])).astype(int))]
        content = re.sub(r"(?m)(?<![^\t\n])NA(?![^\t\n])", "nan", "\n".join(kept))
        rows = np.loadtxt(io.StringIO(content), delimiter="\t", ndmin=2)
        if "target" not in head or rows.shape[1:] != (len(head),):
            raise ValueError(f"{rows.shape[-1]} cells in a row, but the columns {', '.join(head[:8])}")
        return head, rows
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read as a table of numbers ({error}); copy it again.") from error
