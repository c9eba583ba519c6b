"""Dataset: examples with labels or values, of any kind, held once as they are stored, selected and sampled by index arithmetic."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec
from quickstudy.targets import ValueScale


class DataWarning(UserWarning):
    """Part of the data could not be used; the rest goes on."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Examples of one spec, sorted by class.

    Args:
        stored: an array `[row, *axes]` for each name of the spec's layout. It may be a memory map, and may hold rows of other
            classes too. If the layout has a single name, the array alone will do.
        counts: number of examples of each class, `[class]`. The rows of a class lie next to each other.
        classes: name of each class, such as `"Greek/character01"`.
        groups: group of each class, such as its alphabet; the class's own name if there are no groups.
        spec: what an example is, and how a stored row becomes a network's input.
        name: shown in results.
        fingerprint: hash of the content; equal data, equal fingerprint.
        first: first row of each class, `[class]`; None if the classes lie one after the other and there are no other rows.
        values: numbers to be predicted, in the unit of their owner, float64 `[row, value]` beside the stored rows; None if examples are to
            be told apart by their class. With values, a class is the group of rows that one task is made of, such as a patient.
        scale: names of the values, and the scale at which learners see them; None if there are none.
        label_sets: which labels each stored row has, bool `[row, label]`; None if examples are of one class each. With label sets, all
            rows are of one class, which has no meaning.
        label_names: names of the labels; empty if there are none.
        styles: what the examples of every class are, in their order, if that is the same for all classes, such as four hands that drew
            each of them; empty if it is not, or if nobody knows.
    """

    stored: Mapping[str, np.ndarray]
    counts: np.ndarray
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    spec: InputSpec
    name: str
    fingerprint: str
    first: np.ndarray | None = None
    values: np.ndarray | None = None
    scale: ValueScale | None = None
    label_sets: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        layout = self.spec.layout()
        if isinstance(self.stored, np.ndarray):
            object.__setattr__(self, "stored", dict(zip(layout, [self.stored], strict=True)))
        if not len(self.counts) == len(self.classes) == len(self.groups):
            raise DataError(
                f"{self.name}: {len(self.counts)} counts, {len(self.classes)} class names and {len(self.groups)} "
                "groups; expected one of each for every class."
            )
        for name, part in layout.items():
            found = self.stored[name]
            if found.shape[1:] != part.axes or found.dtype != part.dtype:
                raise DataError(
                    f"{self.name}: {name} is {found.dtype} {list(found.shape)}; expected {part.dtype} {['row', *part.axes]}."
                )
        if self.first is None and any(len(array) != int(self.counts.sum()) for array in self.stored.values()):
            rows = max(len(array) for array in self.stored.values())
            raise DataError(f"{self.name}: counts add up to {int(self.counts.sum())}, but there are {rows} {self.spec.nouns}.")
        if self.styles and (self.counts != len(self.styles)).any():
            raise DataError(f"{self.name}: there are {len(self.styles)} styles; expected one example of each in every class.")
        self._check_values()
        sets = () if self.label_sets is None else self.label_sets.shape
        if (sets or self.label_names) and sets != (max(len(array) for array in self.stored.values()), len(self.label_names)):
            raise DataError(
                f"{self.name}: label sets are {list(sets)}; expected a row for each stored row, and a column for each label."
            )

    def _check_values(self) -> None:
        """Raise a DataError unless there is a row of values for each stored row, with a scale for them, or neither."""
        if self.values is None and self.scale is None:
            return
        rows = max(len(array) for array in self.stored.values())
        if self.values is None or self.scale is None or self.values.shape != (rows, len(self.scale.names)):
            found = "none" if self.values is None else f"{list(self.values.shape)}"
            wanted = "a scale for them" if self.scale is None else f"{[rows, len(self.scale.names)]}"
            raise DataError(f"{self.name}: values are {found}; expected {wanted}.")

    def __repr__(self) -> str:
        count = len(self.classes if self.label_sets is None else self.label_names)
        return f"<Dataset {self.name}: {int(self.counts.sum()):,} {self.spec.nouns} of {count:,} {self.nouns}>"

    @property
    def nouns(self) -> str:
        """Return what the rows are sorted by: classes, or groups with values; or labels, if each row has several."""
        if self.label_sets is not None:
            return "labels"
        return "classes" if self.values is None else "groups"

    @property
    def examples(self) -> dict[str, np.ndarray]:
        """Return the examples of all classes in their order, by name `[example, *axes]`; copied if they lie scattered."""
        if self.first is None:
            return dict(self.stored)
        rows = self.rows
        if (np.diff(rows) == 1).all():
            return {name: array[rows[0] : rows[-1] + 1] for name, array in self.stored.items()}
        return {name: array[rows] for name, array in self.stored.items()}

    @property
    def rows(self) -> np.ndarray:
        """Return the stored row of each example, int64 `[example]`."""
        return np.repeat(self._first - self.starts, self.counts) + np.arange(int(self.counts.sum()))

    @property
    def starts(self) -> np.ndarray:
        """Return the index at which each class begins in `examples` (and `labels`), `[class]`."""
        return np.cumsum(self.counts) - self.counts

    @property
    def labels(self) -> np.ndarray:
        """Return the class index of each example, int64 `[example]`."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def _first(self) -> np.ndarray:
        return self.starts if self.first is None else self.first

    def select(self, classes: Sequence[int], name: str | None = None) -> Dataset:
        """Return the dataset that holds only these classes (indices), in this order; a view of the same rows."""
        chosen = np.asarray(classes, dtype=np.int64)
        if len(chosen) == 0:
            raise DataError(f"{self.name}: no classes are left in {name or 'this selection'}.")
        return dataclasses.replace(
            self,
            counts=self.counts[chosen],
            classes=tuple(self.classes[c] for c in chosen),
            groups=tuple(self.groups[c] for c in chosen),
            name=name or self.name,
            fingerprint=derived(self.fingerprint, "select", chosen.tobytes()),
            first=self._first[chosen],
        )

    def of_labels(self, labels: Sequence[int], name: str) -> Dataset:
        """Return the dataset with these labels (indices) alone; all rows stay, also those that have none of them."""
        chosen = np.asarray(labels, dtype=np.int64)
        if self.label_sets is None or len(chosen) == 0:
            raise DataError(f"{self.name}: no labels are left in {name}.")
        return dataclasses.replace(
            self,
            label_sets=self.label_sets[:, chosen],
            label_names=tuple(self.label_names[label] for label in chosen),
            name=name,
            fingerprint=derived(self.fingerprint, "labels", chosen.tobytes()),
        )

    def of_rows(self, examples: np.ndarray, name: str) -> Dataset:
        """Return the dataset with these examples (indices in ascending order) alone, copied; classes that keep none are left out.

        Raises:
            DataError: there are none.
        """
        if len(examples) == 0:
            raise DataError(f"{self.name}: no {self.spec.nouns} are left in {name}.")
        counts = np.bincount(self.labels[examples], minlength=len(self.counts))
        rows = self.rows[examples]
        whole = dataclasses.replace(
            self,
            stored={part: array[rows] for part, array in self.stored.items()},
            counts=counts,
            name=name,
            fingerprint=derived(self.fingerprint, "rows", examples.astype(np.int64).tobytes()),
            first=None,
            styles=(),
            **self._answers_of(rows),
        )
        return whole if counts.all() else whole.select(np.flatnonzero(counts).tolist(), name)

    @property
    def sizes(self) -> np.ndarray:
        """Return the number of examples of each class, or of each label."""
        return self.counts if self.label_sets is None else self.label_sets[self.rows].sum(0)

    def most_ways(self, within_groups: bool = False) -> int:
        """Return the most classes that a task can have: those of the largest group, if only classes of one group go together.

        Args:
            within_groups: whether tasks are drawn from one group, whatever the kind of input.
        """
        if self.label_sets is not None:
            return len(self.label_names)
        if within_groups or self.spec.by_group:
            return max(collections.Counter(self.groups).values(), default=0)
        return len(self.classes)

    def compact(self) -> Dataset:
        """Return the same dataset with rows of its own, so that the memory of other classes' rows can be freed."""
        if self.first is None:
            return self
        rows = self.rows
        stored = {name: array[rows] for name, array in self.stored.items()}
        return dataclasses.replace(self, stored=stored, first=None, **self._answers_of(rows))

    def _answers_of(self, rows: np.ndarray) -> dict[str, np.ndarray | None]:
        """Return the values and the label sets of stored rows, by the names of their fields; None where there are none."""
        both = {"values": self.values, "label_sets": self.label_sets}
        return {name: None if all_ is None else all_[rows] for name, all_ in both.items()}

    def in_scale(self, scale: ValueScale) -> Dataset:
        """Return the same dataset for a learner that sees values at another scale, such as that of its training.

        Raises:
            DataError: the dataset has no values, or more or fewer of them.
        """
        if self.values is None:
            raise DataError(
                f"{self.name} holds classes, but values are to be predicted ({', '.join(scale.names)}); name the column that holds them "
                "with value='COLUMN'."
            )
        if self.values.shape[1] != len(scale.names):
            raise DataError(
                f"{self.name} has {self.values.shape[1]} values per example, but {len(scale.names)} are to be predicted: "
                f"{', '.join(scale.names)}; name as many columns with value=COLUMN."
            )
        return dataclasses.replace(self, scale=scale)

    def converted(self, spec: InputSpec) -> Dataset:
        """Return the same examples as another spec of their kind stores them.

        Raises:
            DataError: `spec` is of another kind.
        """
        if spec == self.spec:
            return self
        if spec.kind != self.spec.kind or [*spec.layout()] != [*self.spec.layout()]:
            raise DataError(f"{self.name} holds {self.spec}, which cannot become {spec}; give data of that kind.")
        found = self.examples if len(self.stored) > 1 else next(iter(self.examples.values()))
        stored = spec.read_all(found, **self.spec.as_read())
        fingerprint = derived(self.fingerprint, "converted", spec.model_dump_json())
        answers = self._answers_of(self.rows)
        return dataclasses.replace(self, stored=stored, spec=spec, fingerprint=fingerprint, first=None, **answers)


def encoded(text: str) -> bytes:
    """Return a name as bytes. File names that are no UTF-8 hold surrogates, which become the bytes that they were."""
    return text.encode("utf-8", "surrogateescape")


def derived(fingerprint: str, *parts: str | bytes) -> str:
    """Return the fingerprint of something made from fingerprinted content by a named operation."""
    digest = hashlib.sha256(fingerprint.encode())
    for part in parts:
        digest.update(part if isinstance(part, bytes) else encoded(part))
    return digest.hexdigest()[:16]


def facts_of(spec: InputSpec) -> list[tuple[str, object]]:
    """Return the fields of a spec as a fingerprint knows them, sorted by name."""
    return sorted(spec.model_dump(exclude={"kind"}).items())


def content_fingerprint(
    stored: Mapping[str, np.ndarray] | np.ndarray, counts: np.ndarray, classes: Sequence[str], spec: InputSpec
) -> str:
    """Return a hash of rows, class names and spec: the same wherever the examples were read from."""
    arrays = [stored] if isinstance(stored, np.ndarray) else list(stored.values())
    shapes = arrays[0].shape if len(arrays) == 1 else [array.shape for array in arrays]
    digest = hashlib.sha256(encoded(repr((facts_of(spec), list(classes), counts.tolist(), shapes))))
    for array in arrays:
        for start in range(0, len(array), 4096):  # in parts, so that a memory map need not fit into memory
            digest.update(np.ascontiguousarray(array[start : start + 4096]).data)
    return digest.hexdigest()[:16]


def joined(parts: Sequence[Dataset], name: str) -> Dataset:
    """Return all classes of several datasets with one spec, one dataset after the other."""
    if any(part.spec != parts[0].spec for part in parts):
        raise DataError(f"{name}: the parts hold {', '.join(str(part.spec) for part in parts)}; read them with one spec.")
    examples = [part.examples for part in parts]
    return dataclasses.replace(
        parts[0],
        stored={key: np.concatenate([part[key] for part in examples]) for key in examples[0]},
        counts=np.concatenate([part.counts for part in parts]),
        classes=tuple(chosen for part in parts for chosen in part.classes),
        groups=tuple(group for part in parts for group in part.groups),
        name=name,
        fingerprint=derived("joined", *(part.fingerprint for part in parts)),
        first=None,
        styles=parts[0].styles if all(part.styles == parts[0].styles for part in parts) else (),
    )
