"""CLINC150: 22,500 short requests to an assistant, of 150 intents in ten domains, and 1,200 that are of none (Larson et al., EMNLP 2019).

Splits `train`, `val` and `test` are six, one and three domains, shared out by the hash of their names, so that no intent of one is of a
domain of another; `all` has all ten. An intent's group is its domain. Split `out_of_scope` is a single class, of what belongs to no intent.
The texts of the authors' own train, val and test files are put together. Licence: CC BY 3.0.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np

from quickstudy.data import splits
from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.data.download import Remote, obtain
from quickstudy.inputs.text import TextSpec

SPEC = TextSpec()
OUT_OF_SCOPE = "out_of_scope"
SPLITS = (*splits.SPLITS, OUT_OF_SCOPE)
SHARED_OUT = splits.SplitOptions(fractions=(0.6, 0.1, 0.3), by="groups")
URL = "https://raw.githubusercontent.com/clinc/oos-eval/master/data"
DIGESTS = {
    "data_full.json": "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
    "domains.json": "b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
}


def read(split: str, spec: TextSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the texts of one split. There is nothing that `strict` could leave out: a damaged file is an error."""
    parts = json.loads(_file("data_full.json", data_dir).read_text(encoding="utf-8"))
    domains = json.loads(_file("domains.json", data_dir).read_text(encoding="utf-8"))
    outside = split == OUT_OF_SCOPE
    domain_of = {"oos": "out"} if outside else {intent: domain for domain, intents in domains.items() for intent in intents}
    rows = [row for name, part in parts.items() if name.startswith("oos") == outside for row in part]
    labels = [f"{domain_of[intent]}/{intent}" for _, intent in rows]
    found = from_arrays(
        np.array([text for text, _ in rows], dtype=object), labels, spec=spec, name=f"clinc150/{split if outside else 'all'}"
    )
    return found if outside else splits.chosen(found, split, SHARED_OUT)


def _file(file: str, data_dir: str | pathlib.Path | None) -> pathlib.Path:
    return obtain(Remote("clinc150", file, f"{URL}/{file}", DIGESTS[file]), data_dir)
