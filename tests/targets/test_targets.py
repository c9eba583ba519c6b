"""Kinds of answer: what users give becomes one answer per example, or is refused by name."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from quickstudy import discovery, targets
from quickstudy.errors import DataError
from quickstudy.targets.classes import as_array, extended

DATES = np.array(["2020-01-02", "2020-01-01"], "datetime64[ns]")


class ByIdentity:
    """An object that equals nothing but itself."""


@pytest.mark.parametrize("name", discovery.names("targets"))
def test_every_kind_is_found_by_its_file_and_has_a_torch_half(name: str) -> None:
    assert targets.find(name).name == name
    assert discovery.load("objectives", name).name == name


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (torch.tensor([3, 3, 7]), [3, 3, 7]),
        (list(torch.tensor([3, 3, 7])), [3, 3, 7]),
        (tuple(np.array([0.5, 2.0])), [0.5, 2.0]),
        ([np.array("a"), np.str_("b")], ["a", "b"]),
        ([("a", np.int64(1)), ("a", torch.tensor(1))], [("a", 1), ("a", 1)]),
        (np.array([["a"], ["b"]]), ["a", "b"]),
        (torch.tensor([[1], [0]]), [1, 0]),
        (pd.Series(["a", "b"]), ["a", "b"]),
        (pd.DataFrame({"label": ["a", "b"]}), ["a", "b"]),
        (DATES, [*DATES]),
        ([None, "a"], [None, "a"]),
        ([frozenset([1]), frozenset([1])], [frozenset([1])] * 2),
    ],
)
def test_labels(given: Any, read: list[Any]) -> None:
    found = targets.find("classes").read(given)
    assert found == read
    assert [type(label) for label in found] == [type(label) for label in read]
    assert len(set(found)) == len(set(read))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "y to be passed, but the target y is None"),
        ("ab", r"one text was given \('ab'\) for the labels; expected one per example, in a list"),
        (5, "the labels are a int; expected a list"),
        (np.eye(3), r"shape \[3, 3\]; expected one per example.*argmax\(-1\)"),
        (torch.eye(2), r"shape \[2, 2\]"),
        (np.array(3), "expected a list"),
        (pd.Series(["a", None]), r"labels: the one of example 1 is missing \(of 1\)"),
        (pd.DataFrame({"label": ["a"], "who": ["b"]}), "a table of 2 columns; .* Choose a column"),
        ([pd.NA, "a"], "is not equal to itself, as missing values are"),
        ([float("nan")], "label nan is not equal to itself"),
        ([np.datetime64("NaT"), DATES[0]], "is not equal to itself"),
        (np.array([1.0, np.inf]), "y contains NaN or infinity"),
        ([float("inf")], "label inf is infinite"),
        ([ByIdentity()], "is a ByIdentity, which equals nothing but itself"),
        ([("a", ByIdentity())], "is a ByIdentity, which equals nothing but itself"),
        ([torch.ones(2)], "is a Tensor; expected something hashable"),
        ([["a"]], r"label \['a'\] is a list; expected something hashable"),
    ],
)
def test_labels_that_are_none(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        targets.find("classes").read(given)


def test_ways_of_labels() -> None:
    kind = targets.find("classes")
    labels = kind.joined(("z",), ["b", "z", "a"])
    assert labels == ("z", "a", "b")
    rows = kind.rows(["b", "z"], labels)
    np.testing.assert_array_equal(rows, [[0, 0, 1], [1, 0, 0]])
    assert kind.answers(rows, labels) == ["b", "z"]
    np.testing.assert_array_equal(kind.together(rows[:, :1], rows), [[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]])
    assert extended([], [1, "a", 1]) == [1, "a"]  # cannot be compared: in order of appearance
    assert as_array([*DATES]).dtype == DATES.dtype
    assert as_array([("a", 1), ("b", 2)]).tolist() == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([1, 2.5], [[1], [2.5]]),
        (list(torch.tensor([1.0, 2.5])), [[1], [2.5]]),
        (torch.tensor([[1.0, 2.0]], requires_grad=True), [[1, 2]]),
        (np.array([[1], [0]], np.int8), [[1], [0]]),
        (pd.DataFrame({"a": [1, 2], "b": [3, 4]}), [[1, 3], [2, 4]]),
    ],
)
def test_values(given: Any, read: list[list[float]]) -> None:
    found = targets.find("values").read(given)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, read)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["low"], "the values of y are no table of numbers"),
        (np.zeros((2, 2, 2)), r"shape \[2, 2, 2\]"),
        (np.array([1j]), "they are complex128"),
        ([1.0, None], "y holds NaN"),
        (pd.Series([1.0, None]), "values of y: the one of example 1 is missing"),
        (None, "y to be passed"),
    ],
)
def test_values_that_are_none(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        targets.find("values").read(given)


def test_values_of_another_number() -> None:
    with pytest.raises(DataError, match="y has 2 values per example; expected 1, as earlier ones have"):
        targets.find("values").together(np.ones((3, 1)), np.ones((1, 2)))


def test_what_a_file_cannot_hold(tmp_path: pathlib.Path) -> None:
    kind = targets.find("classes")
    kind.check_savable(["a", 1, 2.5, True])
    for label, words in (
        (("a", 1), "is a tuple"),
        (None, "is a NoneType"),
        (DATES[0], "is a datetime64"),
        ("\udcff", "Unicode"),
    ):
        with pytest.raises(DataError, match=words):
            kind.check_savable([label])
