"""BANKING77: 13,083 questions of a bank's customers, of 77 intents (Casanueva et al., NLP for ConvAI 2020).

Splits `train`, `val` and `test` are classes, shared out by the hash of their names; `all` has all 77. The texts of the authors' own train
and test files are put together. Licence: CC BY 4.0.
"""

from __future__ import annotations

import pathlib

import numpy as np

from quickstudy.data import splits
from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.data.download import Remote, obtain
from quickstudy.data.readers.table import columns_of
from quickstudy.inputs.text import TextSpec

SPEC = TextSpec(256)
SPLITS = splits.SPLITS
URL = "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/master/banking_data"
DIGESTS = {
    "train.csv": "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
    "test.csv": "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
}


def read(split: str, spec: TextSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the texts of one split."""
    texts: list[str] = []
    labels: list[str] = []
    for file, digest in DIGESTS.items():
        path = obtain(Remote("banking77", file, f"{URL}/{file}", digest), data_dir)
        found, names = columns_of(path, "text", "category", strict=strict)
        texts, labels = [*texts, *found], [*labels, *names]
    data = from_arrays(np.array(texts, dtype=object), labels, spec=spec, name="banking77/all")
    return splits.chosen(data, split, splits.SplitOptions())
