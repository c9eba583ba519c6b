"""dataset_of: chosen classes of a tree of files as one dataset; what cannot be read is named and counted."""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

from quickstudy.data import store
from quickstudy.data.dataset import Dataset, DataWarning, derived, facts_of
from quickstudy.data.tree import ClassFiles, Tree, shortened
from quickstudy.errors import DataError


def dataset_of(job: store.Job, classes: list[ClassFiles], name: str, strict: bool = False) -> Dataset:
    """Return these classes of a tree as one dataset, read now or taken from the cache.

    Args:
        job: what is read, and how, as `job_of` makes it.
        classes: what to read, as `classes_of` lists it.
        name: shown in results.
        strict: True: the first unreadable file is an error; False: unreadable files are left out, with a warning.

    Raises:
        DataError: a class has no readable file, or `strict` and any file is unreadable.
    """
    found = store.decoded(job, strict=strict)
    left_out = frozenset(found.unreadable)
    if left_out:
        _report_unreadable(job, list(found.unreadable), strict)
    counts = [sum(path not in left_out for path in chosen.paths) for chosen in classes]
    empty = [chosen.name for chosen, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise DataError(
            f"{job.tree.label}: none of the {job.spec.nouns} in class {shortened(empty)} is readable; mend them or remove the folder."
        )
    said = job.spec.lacking(found.stored)
    if said is not None:
        warnings.warn(f"{job.tree.label}: {said}.", DataWarning, stacklevel=2)
    styles = () if left_out else styles_of(classes)
    return dataclasses.replace(_as_dataset(found, counts, classes, job, name), styles=styles)


def job_of(tree: Tree, classes: Sequence[ClassFiles], spec: store.InputSpec, **how: object) -> store.Job:
    """Return the job that reads the files of these classes, in their order, as `spec` says."""
    return store.Job(tree, tuple(path for chosen in classes for path in chosen.paths), spec, how)


def styles_of(classes: Sequence[ClassFiles]) -> tuple[str, ...]:
    """Return the names of the files of a class, without endings, if every class has files of these names; else nothing.

    Numbers are no styles, since they say nothing of what a file is; nor are there styles of a single class.

    >>> styles_of([ClassFiles(name, name, (f"{name}/photo.png", f"{name}/sketch.png")) for name in ("cat", "dog")])
    ('photo', 'sketch')
    """
    found = {tuple(pathlib.PurePosixPath(path).stem for path in chosen.paths) for chosen in classes}
    if len(found) != 1 or len(classes) < 2:
        return ()
    names = found.pop()
    return () if all(name.isdigit() for name in names) else names


def _report_unreadable(job: store.Job, paths: list[str], strict: bool) -> None:
    """Warn, or raise a DataError if `strict`, with the count and the first few names."""
    label, total, nouns = job.tree.label, len(job.paths), job.spec.nouns
    if strict:
        raise DataError(
            f"{label}: cannot read {shortened(paths[:1])!r} ({len(paths)} of {total} {nouns}); mend it, or read with strict=False."
        )
    warnings.warn(
        f"{label}: left out {len(paths)} of {total} {nouns} that cannot be read: {shortened(paths)}.",
        DataWarning,
        stacklevel=3,
    )


def _as_dataset(
    found: store.Decoded, counts: Sequence[int], classes: Sequence[ClassFiles], job: store.Job, name: str
) -> Dataset:
    """Return a dataset whose fingerprint depends on rows, class names and spec, not on where they came from."""
    names = tuple(chosen.name for chosen in classes)
    fingerprint = derived(found.content_hash, repr((names, list(counts), facts_of(job.spec))))
    groups = tuple(chosen.group for chosen in classes)
    return Dataset(found.stored, np.asarray(counts, dtype=np.int64), names, groups, job.spec, name, fingerprint)
