"""Data sets that programs of this package make: made once, and then kept in the cache folder."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from types import ModuleType

from quickstudy import storage
from quickstudy.data.dataset import Dataset
from quickstudy.data.places import cache_root, exclusive
from quickstudy.errors import FileFormatError, NotFoundError
from quickstudy.inputs import InputSpec


def made(name: str, spec: InputSpec, makers: Sequence[ModuleType], rests_on: str, make: Callable[[], Dataset]) -> Dataset:
    """Return what `make` makes, or what it made earlier from the same code and all else that decides what is made.

    Args:
        name: of the file in the cache folder.
        spec: how examples are stored.
        makers: modules whose code decides what is made.
        rests_on: what else decides what is made, such as the release of a program and what it is asked for.
        make: makes the data set, if it is not there yet, or damaged.
    """
    code = "".join(inspect.getsource(module) for module in makers)
    made_by = hashlib.sha256((code + rests_on + spec.model_dump_json()).encode()).hexdigest()[:16]
    path = cache_root() / spec.nouns / f"{name}-{made_by}.safetensors"
    with exclusive(path.with_suffix(".lock")):
        try:
            _, arrays, facts = storage.load(path, spec.nouns)
        except (FileFormatError, NotFoundError):
            dataset = make()
            facts = {fact: getattr(dataset, fact) for fact in ("classes", "groups", "name", "fingerprint")}
            storage.save(path, spec.nouns, {**dataset.examples, "counts": dataset.counts}, facts)
            return dataset
    counts = arrays.pop("counts")
    classes, groups = (tuple(facts[fact]) for fact in ("classes", "groups"))
    return Dataset(arrays, counts, classes, groups, spec, facts["name"], facts["fingerprint"])
