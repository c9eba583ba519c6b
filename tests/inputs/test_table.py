"""Rows of tables: columns are found and scaled as pandas and scikit-learn would, and what is strange in them is named or counted."""

from __future__ import annotations

import datetime
import warnings
from typing import Any

import numpy as np
import pandas
import pytest
import sklearn.preprocessing
import torch

from quickstudy.errors import DataError, InputWarning
from quickstudy.inputs import kind_of_array
from quickstudy.inputs._columns import MISSING, Column, inferred
from quickstudy.inputs.table import TableSpec
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples
from quickstudy.tasks._scaling import scaled_by_support

TABLE = {
    "weight": ["1.5", "NA", "2.5", "9"],
    "colour": ["red", "blue", "red", "green"],
    "seen": ["2024-03-01", "2024-03-02", "2024-12-24", "1969-12-31"],
    "wild": ["yes", "no", "No", "YES"],
}
FRAME = pandas.DataFrame(
    {
        "weight": [1.5, np.nan, 2.5, 9.0],
        "colour": pandas.Categorical(TABLE["colour"]),
        "seen": pandas.to_datetime(TABLE["seen"]),
        "wild": [True, False, False, True],
    }
)
SPEC = TableSpec.of(TABLE)


def numbers(spec: TableSpec, things: Any) -> np.ndarray:
    """Return the rows that a network would see, `[row, features]`."""
    return spec.read_all(things)["table"][:, 0]


def test_columns_become_the_numbers_of_scikit_learn() -> None:
    assert [(column.name, column.type) for column in SPEC.columns] == [
        ("weight", "number"),
        ("colour", "category"),
        ("seen", "date"),
        ("wild", "boolean"),
    ]
    scaled = sklearn.preprocessing.StandardScaler().fit_transform
    weight = np.nan_to_num(scaled(FRAME[["weight"]]))
    colour = sklearn.preprocessing.OneHotEncoder(sparse_output=False).fit_transform(FRAME[["colour"]])
    days = (FRAME["seen"] - pandas.Timestamp("1970-01-01")).dt.total_seconds().to_numpy() / 86400
    expected = [weight, FRAME[["weight"]].isna(), colour, np.zeros((4, 1)), scaled(days[:, None]), scaled(FRAME[["wild"]])]
    np.testing.assert_allclose(numbers(SPEC, TABLE), np.concatenate(expected, 1), rtol=1e-5, atol=1e-6)


def test_all_that_users_have_for_tables_is_one_thing() -> None:
    rows = [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]
    structured = np.array([tuple(row.values()) for row in rows], dtype=[(name, object) for name in TABLE])
    same = {
        "frame": FRAME,
        "columns in another order": FRAME[["wild", "seen", "colour", "weight"]],
        "rows by name": rows,
        "lists in order": [list(row.values()) for row in rows],
        "objects in order": np.array([list(row.values()) for row in rows], dtype=object),
        "structured": structured,
        "stored": SPEC.read_all(TABLE)["table"],
    }
    for name, things in same.items():
        np.testing.assert_allclose(numbers(SPEC, things), numbers(SPEC, TABLE), rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(SPEC.read(rows[2])["table"][0], numbers(SPEC, TABLE)[2])
    assert kind_of_array(structured) is TableSpec
    of_frame = TableSpec.of(FRAME)
    np.testing.assert_allclose(numbers(of_frame, FRAME), numbers(SPEC, TABLE), rtol=1e-6)


def test_what_is_missing_is_what_pandas_calls_missing() -> None:
    from pandas._libs.parsers import STR_NA_VALUES

    assert STR_NA_VALUES | {"NaT"} == MISSING
    cells = [None, float("nan"), pandas.NA, pandas.NaT, np.datetime64("NaT"), " n/a ", "", "3"]
    assert np.isnan(Column(name="x", type="number").numbers(cells)).tolist() == [True] * 7 + [False]
    assert inferred("colour", ["none", "red"]).categories == ("none", "red")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2.5", "-3e2", ".5", None], "number"),
        ([1, 2.5, None], "number"),
        (["0", "1"], "number"),
        (["1_000", "2"], "category"),
        ([True, False], "boolean"),
        (["2024-03-01", "2024-03-01T12:30:00+02:00"], "date"),
        (["24.12.2024", None], "date"),
        (["31/12/2024", "01/02/2024"], "date"),
        ([datetime.date(2024, 3, 1)], "date"),
        (["2024-13-45", "x"], "category"),
        ([None, None], "number"),
    ],
)
def test_types_are_found(cells: list[Any], expected: str) -> None:
    assert inferred("x", cells).type == expected


def test_days_are_counted_from_1970_as_numpy_counts_them() -> None:
    cells = ["24.12.2024", "01.02.1969"]
    expected = np.array(["2024-12-24", "1969-02-01"], "datetime64[D]").astype(float)
    np.testing.assert_array_equal(inferred("x", cells).numbers(cells), expected)
    zoned = Column(name="x", type="date", form="ISO").numbers(["2024-03-01T01:00:00+02:00"])
    np.testing.assert_allclose(zoned, np.array(["2024-02-29T23:00"], "datetime64[m]").astype(float) / 1440)


@pytest.mark.filterwarnings("error")
def test_days_and_months_that_could_be_exchanged_are_said() -> None:
    with pytest.raises(InputWarning, match="'x' is read as MM/DD/YYYY, but DD/MM/YYYY would fit too"):
        inferred("x", ["01/02/2024", "03/04/2024"])
    assert inferred("x", ["01/02/2024", "13/04/2024"]).form == "DD/MM/YYYY"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            {"x": ["2024-03-01", "2024-03-02", "24.12.2024"]},
            "'x' holds dates in two forms: 2 of 3 are ISO, but '24.12.2024' is not",
        ),
        ({"x": [1.0, np.inf]}, "'x' is infinite in 1 of 2 rows (row 2 first)"),
        ({"x": ["1", "-inf"]}, "'x' is infinite in 1 of 2 rows"),
        ({"x": [1, 1], "y": ["a", "a"]}, "no column of the table tells its rows apart: 'x' (always 1.0), 'y' (always 'a')"),
        ({"x": [None, "NA"]}, "'x' (empty)"),
        ({"x": []}, "the table has no rows"),
        ({"x": [{}, 1]}, "a cell holds '{}', a dict; expected a number, a text or a date"),
        (pandas.DataFrame([[1, 2], [3, 4]], columns=["x", "x"]), "several columns 'x'; give each a name of its own"),
    ],
)
@pytest.mark.filterwarnings("ignore::quickstudy.errors.InputWarning")
def test_tables_that_cannot_be_learned_from_are_refused_by_name(table: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        TableSpec.of(table)
    assert words in str(caught.value)


def test_columns_that_say_nothing_are_left_out_and_counted() -> None:
    table = {"x": [*range(40)], "always": ["a"] * 40, "empty": [None] * 40, "name": [f"patient {n}" for n in range(40)]}
    with pytest.warns(
        InputWarning, match=r"3 of 4 columns say nothing .*'always' \(always 'a'\), 'empty' \(empty\), 'name' \(40 diff"
    ):
        assert TableSpec.of(table).names == ("x",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert TableSpec.of({"x": [1, 1, None]}).features == 2  # that a value is missing tells rows apart


@pytest.mark.parametrize(
    ("things", "words"),
    [
        (
            {"weight": [1]},
            "the table has no column 'colour', 'seen', 'wild'; it has 'weight'. Expected the columns 'weight', 'colour'",
        ),
        ({**TABLE, "weight": ["heavy"] * 4}, "'weight' is 'heavy' in row 1; expected a number, as in training"),
        (
            {**TABLE, "seen": ["24.12.2024"] * 4},
            "'seen' is '24.12.2024' in row 1; expected a date written as ISO, as in training",
        ),
        ({**TABLE, "weight": [1, 2, np.inf, 3]}, "'weight' is infinite in 1 of 4 rows (row 3 first)"),
        ([[1, 2]], "the rows have shape [1, 2]; expected [row, 4], with the columns 'weight', 'colour', 'seen', 'wild'"),
        (np.zeros((2, 1, 9), np.float32), "stored rows have 9 numbers; expected 8"),
        ("weight", "one example was given"),
        ([], "no example was given"),
    ],
)
def test_rows_unlike_the_columns_of_training_are_refused_by_name(things: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        SPEC.read_all(things)
    assert words in str(caught.value)


def test_what_training_had_none_of_is_counted_and_has_a_code_of_its_own() -> None:
    strange = {**TABLE, "colour": ["red", "pink", "mauve", None], "wild": ["yes", None, "no", "no"], "new": [1, 2, 3, 4]}
    with pytest.warns(InputWarning) as caught:
        found = numbers(SPEC, strange)
    (said,) = [str(one.message) for one in caught]
    assert "2 of 4 rows have a 'colour' that training had none of ('mauve', 'pink')" in said
    assert "1 of 4 rows have no 'colour', which no row of training lacked" in said
    assert "1 of 4 rows have no 'wild'" in said
    assert "a column that the learner does not know is left out: 'new'" in said
    assert found[:, 2:6].tolist() == [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_far_numbers_are_cut_off_and_called_unlike_training() -> None:
    spec = TableSpec.of({"x": np.arange(100.0)})
    assert numbers(spec, {"x": [1e9, -1e9]}).ravel().tolist() == [10.0, -10.0]
    about = spec.statistics(spec.read_all({"x": np.arange(100.0)}))
    assert spec.unlike(about, spec.read_all({"x": [50.0]})) is None
    assert "give columns in the same units" in str(spec.unlike(about, spec.read_all({"x": [5000.0, 6000.0]})))


# ---------------------------------------------------------------------------------------------------- scaled by each task

ANY = TableSpec(width=6, scaling="task")


def test_the_scale_of_a_task_is_that_of_its_support_set_in_training_and_in_use() -> None:
    random = np.random.default_rng(0)
    spec = TableSpec.of({"x": random.normal(5, 3, 50), "y": random.choice(["a", "b", "c"], 50)}, scaling="task")
    support = {"x": random.normal(90, 7, 6), "y": ["a", "b", "a", "a", "b", "a"]}
    query = {"x": random.normal(90, 7, 4), "y": ["a", "b", "c", "a"]}
    fitted = spec.fitted_to(support)
    stored = [torch.from_numpy(spec.read_all(things)["table"])[None] for things in (support, query)]
    examples = [Examples(x, OneHot(torch.eye(2)[None, torch.zeros(x.shape[1], dtype=torch.long)])) for x in stored]
    for things, part in zip((support, query), scaled_by_support(*examples), strict=True):
        assert isinstance(part.x, torch.Tensor)
        np.testing.assert_allclose(numbers(fitted, things), part.x[0, :, 0], rtol=1e-3, atol=1e-4)
    seen = numbers(fitted, support)
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(seen[:, :3].std(0), 1, rtol=1e-4)


def test_padding_counts_nothing_for_the_scale_of_a_task() -> None:
    x = torch.randn(3, 5, 1, 2)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[:, 3:] = False
    answers = OneHot(torch.eye(2)[torch.zeros(3, 5, dtype=torch.long)])
    query = Examples(x, answers)
    padded, _ = scaled_by_support(Examples(x, answers, mask), query)
    short, _ = scaled_by_support(Examples(x[:, :3], OneHot(answers.rows[:, :3])), query)
    assert isinstance(padded.x, torch.Tensor)
    assert isinstance(short.x, torch.Tensor)
    torch.testing.assert_close(padded.x[:, :3], short.x)


def test_a_spec_of_any_table_becomes_that_of_the_first_examples() -> None:
    with pytest.warns(InputWarning, match="2 of 4 columns are left out, as the learner takes 6 numbers per row"):
        fitted = ANY.fitted_to(TABLE)
    assert fitted.layout() == ANY.layout()
    assert fitted.names == ("weight", "colour")  # 2 + 4 numbers; dates and truths are beyond the width
    assert ANY.fitted_to(None) is ANY
    assert fitted.fitted_to({"other": [1, 2]}) is fitted
    assert ANY.fitted_to(fitted) == fitted
    np.testing.assert_allclose(numbers(fitted, FRAME[["weight", "colour"]]).mean(0), 0, atol=1e-6)
    with pytest.raises(DataError, match="'c' needs 9 numbers, but the learner takes 6 per row"):
        ANY.fitted_to({"c": list("abcdefgh")})


@pytest.mark.filterwarnings("ignore::quickstudy.errors.InputWarning")
def test_numbers_of_any_unit_are_the_same_to_a_spec_of_any_table() -> None:
    x = np.random.default_rng(0).normal(size=(8, 3))
    np.testing.assert_allclose(
        numbers(ANY.fitted_to(x), x), numbers(ANY.fitted_to(1000 * x + 7), 1000 * x + 7), rtol=1e-3, atol=1e-4
    )


def test_wishes_of_tables_and_specs_without_sense() -> None:
    assert TableSpec.own(width=6) == ANY
    assert ANY.resized(TableSpec(width=9, scaling="task")) == TableSpec(width=9, scaling="task")
    assert ANY.by_group
    assert not SPEC.by_group
    for wrong, words in [
        (lambda: TableSpec(), "a spec of any table has no width"),
        (lambda: TableSpec.own(width=6, scaling="training"), "or its scaling is that of the training"),
        (lambda: TableSpec.own(np.zeros((2, 2))), "come with the names of their columns"),
        (
            lambda: SPEC.how(width=6),
            "width 6 was given, but this learner takes rows of the columns 'weight', 'colour', 'seen' and 1 more",
        ),
        (lambda: SPEC.changed(location=(1.0,), spread=(1.0,)), "location and spread have 1 and 1 numbers; expected 8"),
        (lambda: SPEC.read_all(TABLE, ink="dark"), "ink was given, but rows of a table have no such option"),
    ]:
        with pytest.raises(DataError) as caught:
            wrong()
        assert words in str(caught.value)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_column_of_names_takes_no_place_from_the_others(place: int) -> None:
    columns = [("weight", list(map(float, range(100)))), ("height", list(map(float, range(100, 0, -1))))]
    columns.insert(place, ("name", [f"bird {number}" for number in range(100)]))
    with pytest.warns(InputWarning, match="1 of 3 columns say nothing of a row"):
        found = TableSpec(width=4, scaling="task").fitted_to(dict(columns))
    assert found.names == ("weight", "height")


def test_columns_behind_one_that_is_too_wide_are_taken() -> None:
    table = {"weight": [1.0, 2.0, 3.0, 4.0], "kind": ["a", "b", "c", "a"], "height": [4.0, 3.0, 2.0, 1.0]}
    with pytest.warns(InputWarning, match="1 of 3 columns are left out"):
        assert TableSpec(width=3, scaling="task").fitted_to(table).names == ("weight", "height")


@pytest.mark.parametrize(("name", "value"), [("seen", 2024.0), ("wild", 7.0)])
def test_numbers_are_no_dates_and_only_0_and_1_are_truths(name: str, value: float) -> None:
    frame = FRAME.drop(columns=name).assign(**{name: value})
    with pytest.raises(DataError, match=rf"'{name}' holds the number {value:g}; expected a"):
        SPEC.read_all(frame)
    SPEC.read_all(FRAME.assign(wild=[1.0, 0.0, 0.0, 1.0]))


def test_examples_that_were_read_otherwise_are_not_taken_for_ones_own() -> None:
    by_task = SPEC.changed(scaling="task")
    scaled = by_task.fitted_to(TABLE)
    assert by_task.fitted_to(scaled) == scaled
    assert SPEC.fitted_to(SPEC) == SPEC
    with pytest.raises(DataError, match="adapt it to the examples again"):
        SPEC.fitted_to(scaled)


def test_large_numbers_that_are_all_the_same_are_moved_only() -> None:
    """Rounding moves the mean of such numbers in single precision; that error must not be taken for a spread."""
    support = torch.full((1, 7, 1, 1), 1234.567)
    one = OneHot(torch.ones(1, 7, 1))
    scaled, query = scaled_by_support(Examples(support, one), Examples(support + 1, one))
    assert scaled.x.abs().max() < 1e-3
    torch.testing.assert_close(query.x, torch.ones_like(query.x), rtol=0, atol=1e-3)


def test_an_array_with_columns_that_say_nothing_is_read_as_a_whole_again() -> None:
    rows = np.array([[1.0, 7.0, 5.0], [2.0, 7.0, 4.0], [3.0, 7.0, 9.0]])
    with pytest.warns(InputWarning, match="'x1' \\(always 7"):
        spec = TableSpec(width=4, scaling="task").fitted_to(rows)
    assert spec.names == ("x0", "x2")
    np.testing.assert_array_equal(spec.read_all(rows)["table"], spec.read_all(rows[:, [0, 2]])["table"])
    with pytest.raises(DataError, match=r"shape \[3, 1\]; expected \[row, 2\], with the columns 'x0', 'x2'"):
        spec.read_all(rows[:, :1])


def test_a_network_that_takes_any_length_is_given_no_padding() -> None:
    rows = np.array([[1.0, 5.0], [2.0, 4.0], [3.0, 9.0]])
    padded = TableSpec(width=6, scaling="task")
    spec = padded.with_padding(False).fitted_to(rows)
    stored = spec.read_all(rows)
    assert stored["table"].shape == (3, 1, 6)
    assert spec.to_network(stored)["table"].shape == (3, 1, 2)
    np.testing.assert_array_equal(spec.to_network(stored)["table"], padded.fitted_to(rows).to_network(stored)["table"][..., :2])
    assert spec.layout()["table"].shape == (1, "column")
    assert TableSpec.of({"weight": ["1", "2"]}).with_padding(False).padded
