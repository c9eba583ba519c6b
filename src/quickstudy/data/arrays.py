"""Datasets of examples that already are arrays in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quickstudy.data.dataset import Dataset, content_fingerprint, derived
from quickstudy.data.tree import group_of
from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec, kind_of_array
from quickstudy.targets.labels import LabelTarget


def from_arrays(
    examples: np.ndarray,
    labels: np.ndarray | Sequence[str] | Sequence[int],
    *,
    classes: Sequence[str] | None = None,
    spec: InputSpec | None = None,
    how: Mapping[str, Any] | None = None,
    name: str = "arrays",
) -> Dataset:
    """Return a dataset of examples in memory.

    Args:
        examples: `[example, ...]`. Images are uint8 in 0..255, or float in 0..1, `[image, height, width]` or
            `[image, height, width, channel]`; rows of numbers are `[row, feature]`.
        labels: whole numbers or names, `[example]` or `[example, 1]`.
        classes: names of the classes, for labels that are indices into them; classes without an example are left out.
        spec: how the examples are stored; None: as they are.
        how: options of the spec's `read`, such as the polarity of images.
        name: shown in results.

    Raises:
        DataError: counts that differ, labels without a class, values out of range, NaN.

    >>> data = from_arrays(np.zeros((4, 8, 8), dtype=np.uint8), ["b", "a", "b", "a"])
    >>> data.classes, data.counts.tolist(), data.examples["image"].shape
    (('a', 'b'), [2, 2], (4, 8, 8, 1))
    """
    examples = np.asarray(examples)
    spec = spec or kind_of_array(examples).own(examples)
    indexed = _class_indices(np.asarray(labels), classes)
    if len(examples) != len(indexed[1]):
        raise DataError(
            f"{name}: {len(examples)} {spec.nouns}, but {len(indexed[1])} labels; expected one label for every one of them."
        )
    return _sorted(spec.read_all(examples, **(how or {})), indexed, spec, name)


def from_stored(stored: Mapping[str, np.ndarray], labels: Sequence[str], spec: InputSpec, name: str) -> Dataset:
    """Return a dataset of examples as a spec stores them, `[example, *axes]` by name, with the label of each."""
    return _sorted(stored, _class_indices(np.asarray(labels), None), spec, name)


def _sorted(stored: Mapping[str, np.ndarray], indexed: tuple[list[str], np.ndarray], spec: InputSpec, name: str) -> Dataset:
    """Return a dataset of stored examples, sorted by class, of which the names and the class of each example are given."""
    found, indices = indexed
    order = np.argsort(indices, kind="stable")
    stored = {key: array[order] for key, array in stored.items()}
    counts = np.bincount(indices, minlength=len(found))
    groups = tuple(group_of(label) for label in found)
    return Dataset(stored, counts, tuple(found), groups, spec, name, content_fingerprint(stored, counts, found, spec))


def from_label_sets(
    examples: np.ndarray,
    label_sets: Any,
    *,
    spec: InputSpec | None = None,
    how: Mapping[str, Any] | None = None,
    name: str = "arrays",
) -> Dataset:
    """Return a dataset of examples in memory, each with any subset of some labels.

    Args:
        examples: as `from_arrays` takes them.
        label_sets: of each example, a text such as `red;round` or a list of labels; or ones and zeros `[example, label]`.
        spec: how the examples are stored; None: as they are.
        how: options of the spec's `read`.
        name: shown in results.

    Raises:
        DataError: counts that differ, or no labels at all.

    >>> from_label_sets(np.zeros((3, 2), np.float32), ["red;round", "", "round"])
    <Dataset arrays: 3 rows of 2 labels>
    """
    examples, target = np.asarray(examples), LabelTarget()
    spec = spec or kind_of_array(examples).own(examples)
    answers = target.read(label_sets)
    labels = target.joined((), answers)
    names = tuple(map(str, labels))
    if len(set(names)) < len(names):
        twin = next(one for one in names if names.count(one) > 1)
        raise DataError(
            f"{name}: {twin!r} is a label as a text and as something else; give all labels as one type.", subject=twin
        )
    if len(examples) != len(answers) or not labels:
        raise DataError(
            f"{name}: {len(examples)} {spec.nouns}, but {len(answers)} label sets of {len(labels)} labels; expected a label set for every "
            "one of them, and some labels."
        )
    stored = spec.read_all(examples, **(how or {}))
    sets, counts = target.rows(answers, labels) > 0, np.array([len(examples)])
    fingerprint = derived(content_fingerprint(stored, counts, names, spec), "label sets", np.packbits(sets).tobytes())
    return Dataset(stored, counts, (name,), (name,), spec, name, fingerprint, label_sets=sets, label_names=names)


def _class_indices(labels: np.ndarray, classes: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Return the names of the classes that have examples, and the index of each example's class, `[example]`."""
    if labels.ndim == 2 and labels.shape[1] == 1:  # a column, as Keras and MedMNIST keep labels
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuUS":
        advice = " Take argmax(-1) of one-hot labels." if labels.ndim == 2 and labels.dtype.kind in "iufb" else ""
        raise DataError(
            f"labels are {labels.dtype} of shape {labels.shape}; expected whole numbers or names, one for each example.{advice}"
        )
    values, indices = np.unique(labels, return_inverse=True)
    if classes is None:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()], indices
    if labels.dtype.kind not in "iu" or values.min() < 0 or values.max() >= len(classes):
        raise DataError(
            f"labels lie in {values[0]!r}..{values[-1]!r}; expected indices into the {len(classes)} classes, from 0 on."
        )
    names = [str(classes[value]) for value in values]
    if len(set(names)) != len(names):
        raise DataError(
            f"classes name {len(names)} classes, but only {len(set(names))} names differ; expected different names."
        )
    return names, indices
