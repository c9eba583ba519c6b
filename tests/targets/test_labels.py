"""Sets of labels: what users give becomes ones and zeros and back, and scores are scikit-learn's."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pandas
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, f1_score
from torch.func import grad, vmap

from quickstudy.data import load
from quickstudy.data.arrays import from_label_sets
from quickstudy.data.dataset import DataWarning
from quickstudy.data.splits import SplitOptions, chosen
from quickstudy.errors import DataError, InputWarning, TaskError
from quickstudy.objectives.labels import MultiHot, multi_hot
from quickstudy.targets.labels import LabelTarget, split
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.labels import LabelTasks

TARGET = LabelTarget()
SETS = [["red", "round"], [], ["round"], ["big"]]


@pytest.mark.parametrize(
    "given",
    [
        ["red;round", "", " round ;", "big;big"],
        [["red", "round"], [], ("round",), {"big"}],
        np.array(["red;round", "", "round", "big"]),
        pandas.Series(["red;round", "", "round", "big"]),
        pandas.DataFrame({"red": [1, 0, 0, 0], "round": [1, 0, 1, 0], "big": [0, 0, 0, 1]}),
    ],
)
def test_every_way_of_giving_them_means_the_same(given: Any) -> None:
    answers = TARGET.read(given)
    labels = TARGET.joined((), answers)
    rows = TARGET.rows(answers, labels)
    assert sorted(labels) == ["big", "red", "round"]
    assert [sorted(one) for one in TARGET.given(rows, labels)] == [sorted(one) for one in SETS]
    assert rows.sum() == 4


def test_ones_and_zeros_keep_columns_that_nobody_has() -> None:
    for given in (np.array([[1, 0, 0], [0, 0, 1]]), torch.tensor([[1.0, 0, 0], [0, 0, 1]])):
        answers = TARGET.read(given)
        assert list(answers) == [(0,), (2,)]
        assert TARGET.joined((), answers) == (0, 1, 2)
        assert TARGET.joined((0, 1, 2, 5), answers) == (0, 1, 2, 5)


def test_later_labels_are_columns_that_earlier_examples_lack() -> None:
    earlier = TARGET.rows(TARGET.read(["b", ""]), ("b",))
    answers = TARGET.read(["a;b"])
    labels = TARGET.joined(("b",), answers)
    assert labels == ("b", "a")
    np.testing.assert_array_equal(TARGET.together(earlier, TARGET.rows(answers, labels)), [[1, 0], [0, 0], [1, 1]])


def test_a_label_is_predicted_from_one_half_on() -> None:
    assert TARGET.answers(np.array([[0.1, -0.1], [-3.0, -2.0]]), ("a", "b")) == [["a"], []]
    assert split("a|b| a", "|") == ("a", "b")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([3, 4], "labels of example 0 are 3, a int; expected a text such as 'red;round'"),
        (np.array([[0.5, 1.0]]), "not all of them are 0 or 1"),
        ("red;round", "one text was given"),
        ([[float("nan")]], "not equal to itself"),
        (None, "y is None"),
    ],
)
def test_what_is_no_set_of_labels_is_refused(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TARGET.read(given)
    with pytest.raises(TaskError, match="no example has a label"):
        TARGET.check_several(())


def test_labels_of_which_nothing_can_be_learned_are_named() -> None:
    with pytest.warns(InputWarning, match="no example has the label 'b', so that nothing tells when it applies"):
        TARGET.warn_of_unshown(np.array([[1.0, 0.0], [0.0, 0.0]]), ("a", "b"))
    with pytest.warns(InputWarning, match="every example has the labels 'a', 'b'"):
        TARGET.warn_of_unshown(np.ones((2, 2)), ("a", "b"))


# ---------------------------------------------------------------------------------------------------- the torch half


def drawn(seed: int) -> tuple[MultiHot, torch.Tensor, torch.Tensor]:
    """Return label sets of 30 examples and 4 labels, logits some of which are equal, and a mask."""
    random = np.random.default_rng(seed)
    rows = torch.from_numpy((random.random((30, 4)) < [0.5, 0.3, 0.1, 0.8]).astype(np.float64))
    rows[:2] = torch.tensor([[1.0] * 4, [0.0] * 4])
    logits = torch.from_numpy(np.round(random.normal(size=(30, 4)) + rows.numpy(), 1))
    mask = torch.from_numpy(random.random(30) < 0.7)
    mask[:2] = True
    return MultiHot(rows), logits, mask


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    y, logits, mask = drawn(seed)
    if seed == 0:
        logits[:, 2] = -1.0  # which is never said
    scores = y.scores(logits, mask.double())
    wanted, found = y.rows[mask].numpy(), logits[mask].numpy()
    assert list(scores) == [measure.key for measure in MultiHot.measure.measures]
    for key in ("micro", "macro"):
        assert float(scores[f"{key}_f1"]) == pytest.approx(f1_score(wanted, found > 0, average=key, zero_division=0))
    assert float(scores["average_precision"]) == pytest.approx(average_precision_score(wanted, found, average="macro"))


def test_average_precision_is_that_of_labels_that_some_example_has() -> None:
    y, logits, mask = drawn(1)
    lacking = MultiHot(torch.cat([y.rows, torch.zeros(30, 1, dtype=torch.float64)], 1))
    more = torch.cat([logits, logits[:, :1]], 1)
    assert float(lacking.scores(more, mask.double())["average_precision"]) == pytest.approx(
        float(y.scores(logits, mask.double())["average_precision"])
    )
    nothing = MultiHot(torch.zeros(3, 2)).scores(-torch.ones(3, 2), torch.ones(3))
    assert {float(score) for score in nothing.values()} == {0.0}


def test_the_loss_is_binary_cross_entropy_and_padding_does_not_count() -> None:
    y, logits, mask = drawn(2)
    expected = 4 * F.binary_cross_entropy_with_logits(logits[mask], y.rows[mask])  # of 4 labels
    assert float(y.loss(logits, mask.double())) == pytest.approx(float(expected))
    slope = grad(lambda x: y.loss(x, mask.double()))(logits)
    torch.testing.assert_close(slope[mask], (logits.sigmoid() - y.rows)[mask] / int(mask.sum()))
    assert not slope[~mask].any()
    assert float(y.loss(1e4 * (2 * y.rows - 1), mask.double())) == 0.0
    torch.testing.assert_close(y.like(logits).rows, logits.sigmoid())


def test_scores_map_over_tasks() -> None:
    parts = [drawn(seed) for seed in range(3)]
    y = MultiHot(torch.stack([part[0].rows for part in parts]))
    mapped = vmap(lambda rows, x, weight: MultiHot(rows).scores(x, weight))(
        y.rows, torch.stack([part[1] for part in parts]), torch.stack([part[2] for part in parts]).double()
    )
    for place, (alone, logits, mask) in enumerate(parts):
        for key, score in alone.scores(logits, mask.double()).items():
            assert float(mapped[key][place]) == pytest.approx(float(score))


def test_answers_are_made_of_texts() -> None:
    assert multi_hot(["b;a", ""], ["a", "b"]).rows.tolist() == [[1, 1], [0, 0]]
    with pytest.raises(DataError, match=r"rows are int64; expected floating-point numbers: multi_hot"):
        MultiHot(torch.ones(2, 2, dtype=torch.int64))


def test_lists_of_ones_and_zeros_are_not_taken_for_labels() -> None:
    with pytest.raises(DataError, match="asarray"):
        LabelTarget().read([[0, 1], [1, 1]])
    assert list(LabelTarget().read([["0", "1"], ["1", "1"]])) == [("0", "1"), ("1",)]


def test_columns_without_names_do_not_become_new_labels() -> None:
    target = LabelTarget()
    columns = target.read(np.array([[0, 1], [1, 0]]))
    assert target.joined((), columns) == target.joined((0, 1), columns) == (0, 1)
    with pytest.raises(DataError, match="2 columns without names, but 'a', 'b' are known"):
        target.joined(("a", "b"), columns)


def test_a_label_that_is_not_among_the_named_ones_is_named() -> None:
    with pytest.raises(DataError, match="'blue' is none of the labels, which are 'red'"):
        multi_hot(["red;blue"], ["red"])
    assert multi_hot(np.array([[1, 0], [0, 1]]), [0, 1]).rows.tolist() == [[1, 0], [0, 1]]


def test_labels_that_differ_in_type_alone_are_refused() -> None:
    with pytest.raises(DataError, match="'1' is a label as a text and as something else"):
        from_label_sets(np.zeros((2, 2), np.float32), [["1", 1], [1]])


def test_splits_of_labels_have_no_groups_and_tasks_of_labels_no_frequencies() -> None:
    data = from_label_sets(np.zeros((40, 2), np.float32), [f"l{place % 9};l{place % 7}" for place in range(40)])
    with pytest.raises(DataError, match="in no groups"):
        chosen(data, "train", SplitOptions(by="groups"))
    with pytest.raises(TaskError, match="augment only"):
        LabelTasks(data, ways=2, shots=1, queries=1, draw=Draw(within_groups=True))


def test_splits_of_rows_keep_every_label() -> None:
    data = from_label_sets(
        np.arange(400, dtype=np.float32).reshape(200, 2), [f"l{place % 9};l{place % 7}" for place in range(200)]
    )
    parts = [chosen(data, split, SplitOptions(by="rows")) for split in ("train", "val", "test")]
    rows = [set(part.examples["rows"][:, 0].tolist()) for part in parts]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 200
    for part, share in zip(parts, SplitOptions().fractions, strict=True):
        assert part.label_names == data.label_names
        assert np.abs(part.sizes - share * data.sizes).max() < 0.1 * data.sizes.max()


def test_another_sign_between_labels_is_said(tmp_path: pathlib.Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("x,tags\n" + "".join(f"{place},a{place % 5}|b{place % 3}\n" for place in range(60)))
    with pytest.warns(DataWarning, match=r"--separator '\|'"):
        load(table, "all", labels="tags")
    found = load(table, "all", labels="tags", separator="|")
    assert "a0" in found.label_names


def test_rare_labels_have_a_row_in_every_split_or_are_named() -> None:
    rows = np.arange(80, dtype=np.float32).reshape(40, 2)
    rare = from_label_sets(rows, ["a;b" if place < 3 else "a" for place in range(40)])
    for part in ("train", "val", "test"):
        assert chosen(rare, part, SplitOptions(by="rows")).sizes.min() >= 1
    few = from_label_sets(rows, ["a;b" if place < 2 else "a" for place in range(40)])
    with pytest.raises(DataError, match=r"1 labels \(b\) have fewer than 3 rows"):
        chosen(few, "train", SplitOptions(by="rows"))
