"""Tables with columns of values: read in groups, split by group, scaled by those of training; what is wrong is counted or named by row."""

from __future__ import annotations

import pathlib
import warnings

import numpy as np
import pandas
import pytest

from quickstudy.data import DataWarning, SplitOptions, load
from quickstudy.errors import DataError
from quickstudy.inputs.table import TableSpec
from quickstudy.inputs.text import TextSpec

RANDOM = np.random.default_rng(0)
FRAME = pandas.DataFrame(
    {
        "patient": np.repeat([f"p{number:02d}" for number in range(12)], 6),
        "hour": np.tile(np.arange(6), 12) * 2.5,
        "glucose": RANDOM.normal(120, 20, 72),
        "insulin": RANDOM.normal(8, 2, 72),
    }
)


def written(folder: pathlib.Path, frame: pandas.DataFrame) -> pathlib.Path:
    """Return the path of a csv file of the frame, in an order that has nothing to do with the groups."""
    path = folder / "glucose.csv"
    frame.sample(frac=1, random_state=0).to_csv(path, index=False)
    return path


def changed(row: int, column: str, cell: object) -> str:
    """Return the csv of the frame, in its own order, with another cell in a row, counted from 1."""
    frame = FRAME.astype(object)
    frame.loc[row - 1, column] = cell
    return frame.to_csv(index=False)


def test_groups_are_split_whole_and_scaled_by_those_of_training(tmp_path: pathlib.Path) -> None:
    path, names, parts = written(tmp_path, FRAME), [], {}
    for split in ("train", "val", "test"):
        parts[split] = data = load(path, split, group="patient", columns="hour", value=("glucose", "insulin"))
        names += data.classes
        for place, patient in enumerate(data.classes):
            found = data.examples["table"][data.labels == place, 0, 0].astype(float)
            ours = FRAME[FRAME["patient"] == patient].set_index("hour")
            (column,) = data.spec.columns  # type: ignore[attr-defined]
            hours = found * column.scale + column.mean
            values = data.values[data.rows][data.labels == place]  # type: ignore[index]
            np.testing.assert_allclose(values, ours.loc[np.round(hours, 3), ["glucose", "insulin"]])
    assert sorted(names) == sorted(FRAME["patient"].unique())
    training = FRAME[FRAME["patient"].isin(parts["train"].classes)]
    scale = parts["test"].scale
    assert scale == parts["train"].scale
    assert scale is not None
    assert scale.names == ("glucose", "insulin")
    np.testing.assert_allclose(scale.location, training[["glucose", "insulin"]].mean())
    np.testing.assert_allclose(scale.spread, training[["glucose", "insulin"]].std(ddof=0))
    assert parts["test"].spec == parts["train"].spec
    assert repr(parts["train"]) == "<Dataset glucose.csv/train: 48 table rows of 8 groups>"
    whole = load(path, "all", group="patient", columns="hour", value=("glucose", "insulin"))
    assert whole.fingerprint == load(path, "all", group="patient", columns="hour", value=("glucose", "insulin")).fingerprint
    FRAME.assign(glucose=FRAME["glucose"] + 1).to_csv(path, index=False)
    assert whole.fingerprint != load(path, "all", group="patient", columns="hour", value=("glucose", "insulin")).fingerprint
    assert SplitOptions((0.5, 0.0, 0.5)).select(whole, "test").counts.sum() == 36


def test_a_learner_s_spec_and_scale_read_other_data(tmp_path: pathlib.Path) -> None:
    first = load(written(tmp_path, FRAME), "train", group="patient", columns="hour", value="glucose")
    path = tmp_path / "other.csv"
    FRAME.assign(sugar=FRAME["glucose"] * 3, who=FRAME["patient"]).to_csv(path, index=False)
    assert first.scale is not None
    found = load(path, "all", spec=first.spec, group="who", columns="hour", value="sugar").in_scale(first.scale)
    assert (found.spec, found.scale) == (first.spec, first.scale)
    assert found.values is not None
    assert found.values.mean() == pytest.approx(3 * FRAME["glucose"].mean())
    two, digits = load(path, "all", group="who", columns="hour", value=("sugar", "insulin")), load("digits", "test")
    with pytest.raises(
        DataError, match="all has 2 values per example, but 1 are to be predicted: glucose; name as many columns"
    ):
        two.in_scale(first.scale)
    with pytest.raises(DataError, match=r"holds classes, but values are to be predicted \(glucose\)"):
        digits.in_scale(first.scale)
    with pytest.raises(DataError, match="the data holds table rows, but texts of up to 128 bytes are expected"):
        load(path, "all", spec=TextSpec(), group="who", columns="hour", value="sugar")


def test_rows_that_lack_something_and_groups_of_one_row_are_counted(tmp_path: pathlib.Path) -> None:
    frame = FRAME[(FRAME["patient"] != "p03") | (FRAME["hour"] == 0)].astype(object).reset_index(drop=True)
    frame.loc[[1, 2], "glucose"] = ["NA", None]
    frame.loc[3, "hour"] = ""
    frame.loc[4, "patient"] = None
    path = tmp_path / "holes.csv"
    frame.to_csv(path, index=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load(path, "all", group="patient", columns="hour", value="glucose")
    said = [str(one.message) for one in caught if one.category is DataWarning]
    assert [words.partition(": ")[2] for words in said] == [
        "2 of 67 rows have no glucose, and are left out (row 2 first).",
        "1 of 67 rows have no patient, and are left out (row 5 first).",
        "1 of 67 rows have no hour, and are left out (row 4 first).",
        "1 of 12 groups have a single row, and are left out (p03).",
    ]
    assert (len(data.classes), int(data.counts.sum())) == (11, 67 - 4 - 1)
    with pytest.raises(
        DataError, match=r"2 of 67 rows have no glucose \(row 2 first\); fill them in, or read with strict=False"
    ):
        load(path, "all", group="patient", columns="hour", value="glucose", strict=True)


@pytest.mark.filterwarnings("ignore::quickstudy.data.DataWarning")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(7, "glucose", "high"), "'glucose' is 'high' in row 7; expected a number. Mend it, or leave the cell empty"),
        (changed(8, "hour", "noon"), "'hour' is 'noon' in row 8; expected a number. Mend it, or leave the cell empty"),
        (changed(9, "glucose", "inf"), r"'glucose' is infinite in 1 of 72 rows \(row 9 first\)"),
        (changed(9, "hour", "-inf"), r"'hour' is infinite in 1 of 72 rows \(row 9 first\)"),
        (FRAME.assign(glucose=7).to_csv(), r"'glucose' is 7 in all \d+ rows of training, so there is nothing to learn"),
        (FRAME.rename(columns={"patient": "who"}).to_csv(), "has no column 'patient'; it has .*, such as --group who"),
        (FRAME.rename(columns={"glucose": "sugar"}).to_csv(), "has no column 'glucose'; it has .* holds the values"),
        (FRAME.rename(columns={"hour": "time"}).to_csv(), "has no column 'hour'; it has .* holds the columns"),
        (FRAME.assign(patient=range(72)).to_csv(), "has no group of two rows"),
        (FRAME.assign(glucose="").to_csv(), "has no row that holds hour, glucose and patient"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: pathlib.Path, content: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=words):
        load(path, "train", group="patient", columns="hour", value="glucose")


def test_columns_that_contradict_each_other_are_refused(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, FRAME)
    for wishes, words in (
        ({"label": "hour"}, "value and label are both given"),
        ({"text": "hour"}, "value and text are both given"),
        ({"columns": ("hour", "glucose")}, "'glucose' is both learned from and predicted; name other columns"),
        ({"columns": "hour", "size": 3}, "size is given, but the data holds table rows"),
    ):
        with pytest.raises(DataError, match=words):
            load(path, "all", group="patient", value="glucose", **wishes)
    with pytest.raises(DataError, match="digits is a known set, whose value is fixed; leave out value"):
        load("digits", "test", value="glucose")


def test_too_few_groups_for_the_splits_are_counted_as_groups(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, FRAME[FRAME["patient"].isin(["p01", "p02"])])
    with pytest.raises(
        DataError, match=r"there are 2 groups \(p01, p02\), too few for 3 splits; use split='all', or add groups"
    ):
        load(path, "train", group="patient", value="glucose")
    assert load(path, "all", group="patient", value="glucose").classes == ("p01", "p02")
    with pytest.warns(DataWarning, match="no column of groups is named, with group=COLUMN, so that all rows are one task"):
        assert load(path, "all", columns="hour", value="glucose").classes == ("glucose",)


def test_categories_and_several_columns_are_learned_from(tmp_path: pathlib.Path) -> None:
    frame = FRAME.assign(meal=np.where(FRAME["hour"] < 5, "none", "lunch"), when=pandas.Timestamp("2024-03-01"))
    with pytest.warns(DataWarning, match=r"1 of 4 columns say nothing of a row, and are left out: 'when' \(always"):
        data = load(written(tmp_path, frame), "all", group="patient", value="glucose")
    assert isinstance(data.spec, TableSpec)
    assert data.spec.names == ("hour", "insulin", "meal")
