"""Tables of numbers and categories: csv, tsv, jsonl and parquet say the same, and what cannot be used is named or counted."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pandas
import pytest

from quickstudy.data import DataWarning, load
from quickstudy.data.loading import kind_of
from quickstudy.errors import DataError
from quickstudy.inputs.table import TableSpec
from quickstudy.inputs.text import TextSpec

FRAME = pandas.DataFrame(
    {
        "hospital": ["north", "north", "south", "south"] * 2,
        "age": [31.0, 40.5, np.nan, 28, 55, 61, 47, 39],
        "sex": ["f", "m", "f", "f", "m", "m", "f", "m"],
        "seen": ["2024-03-01", "2024-03-02", "2024-03-05", "2024-04-01"] * 2,
        "outcome": ["well", "ill"] * 4,
    }
)
COLUMNS = ["age", "sex", "seen"]


def write(folder: pathlib.Path, ending: str) -> pathlib.Path:
    """Write the table in one of the formats."""
    path = folder / f"patients{ending}"
    if ending == ".jsonl":
        rows = json.loads(FRAME.to_json(orient="records"))
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        FRAME.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_all_formats_say_the_same_as_pandas(tmp_path: pathlib.Path, ending: str) -> None:
    path = write(tmp_path, ending)
    data = load(path, "all", label="outcome", columns=COLUMNS)
    order = FRAME["outcome"].argsort(kind="stable")
    assert data.spec == TableSpec.of(FRAME[COLUMNS])
    assert data.classes == ("ill", "well")
    frame = FRAME[COLUMNS]
    np.testing.assert_allclose(data.examples["table"], TableSpec.of(frame).read_all(frame.iloc[order])["table"])
    assert kind_of(path) == "table"
    assert data.fingerprint == load(write(tmp_path, ".csv"), "all", label="outcome", columns=COLUMNS).fingerprint


def test_groups_and_columns_by_name(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, ".csv")
    data = load(path, "all", label="outcome", group="hospital")
    assert data.classes == ("north/ill", "north/well", "south/ill", "south/well")
    assert data.groups == ("north", "north", "south", "south")
    assert isinstance(data.spec, TableSpec)
    assert data.spec.names == ("age", "sex", "seen")
    one = load(path, "all", label="outcome", columns="age")
    assert isinstance(one.spec, TableSpec)
    assert one.spec.names == ("age",)
    assert load(path, "all", label="outcome", text="sex").spec == TextSpec()
    assert load(path, "all", label="outcome", scaling="task").spec.scaled_by_task
    with pytest.raises(
        DataError, match=r"no column 'weight'; it has hospital, age, sex, seen, outcome\. .* such as --columns hospital"
    ):
        load(path, "all", label="outcome", columns=["age", "weight"])
    with pytest.raises(
        DataError, match=r"no column 'text'; it has .*such as --text hospital.*name the column of classes with --label"
    ):
        load(path, "all")
    with pytest.raises(DataError, match=r"no column 'ward'.*such as --group hospital"):
        load(path, "all", label="outcome", group="ward")


def test_a_learners_spec_reads_other_tables_by_name(tmp_path: pathlib.Path) -> None:
    spec = load(write(tmp_path, ".csv"), "all", label="outcome", columns=COLUMNS).spec
    FRAME[["seen", "outcome", "sex", "age"]].to_csv(tmp_path / "other.csv", index=False)
    expected = load(tmp_path / "patients.csv", "all", label="outcome", columns=COLUMNS).examples["table"]
    np.testing.assert_array_equal(load(tmp_path / "other.csv", "all", spec=spec, label="outcome").examples["table"], expected)
    FRAME.assign(sex="x").to_csv(tmp_path / "strange.csv", index=False)
    with pytest.warns(
        DataWarning, match=r"strange.csv': 8 of 8 rows have a 'sex' .* \('x'\); a column .* left out: 'hospital'"
    ):
        load(tmp_path / "strange.csv", "all", spec=spec, label="outcome")
    FRAME.drop(columns=["sex", "hospital"]).to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(DataError, match="the table has no column 'sex'; it has 'age', 'seen'"):
        load(tmp_path / "less.csv", "all", spec=spec, label="outcome")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("age,label\n", "has no row with a label"),
        ("age,label\n1,\n2,\n", "has no row with a label"),
        ("", "it has none"),
        ("label\na\n", "has no column beside label; expected numbers or categories"),
        ("age,age,label\n1,2,a\n", "several columns 'age'"),
        ("age,label\n1,2,a\n", "line 2 has 3 cells, but there are 2 columns"),
        ("day,label\n2024-01-02,a\n24.12.2023,b\n", "'day' holds dates in two forms: 1 of 2 are ISO, but '24.12.2023' is not"),
        ("age,label\n1,a\ninf,b\n", "'age' is infinite in 1 of 2 rows (row 2 first)"),
        ("age,label\n1,a\n1,b\n", "no column of the table tells its rows apart: 'age' (always 1.0)"),
        ("age,label\nNA,a\n,b\n", "no column of the table tells its rows apart: 'age' (empty)"),
    ],
)
@pytest.mark.filterwarnings("ignore::quickstudy.data.DataWarning")
def test_what_is_no_table_of_rows_is_refused_by_name(tmp_path: pathlib.Path, content: str, words: str) -> None:
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "table.csv", "all")
    assert words in str(caught.value)


def test_a_table_of_one_row_is_a_class_of_one_example(tmp_path: pathlib.Path) -> None:
    (tmp_path / "table.csv").write_text("age,sex,label\n3,f,a\n")
    data = load(tmp_path / "table.csv", "all")
    assert data.counts.tolist() == [1]
    assert data.examples["table"].tolist() == [[[0.0, 1.0, 0.0]]]


def test_what_is_left_out_is_counted(tmp_path: pathlib.Path) -> None:
    (tmp_path / "table.csv").write_text(",age,ward,label\n0,3,7,sick\n1,4,7,Sick \n2,5,7,well\n3,6,7,\n")
    with pytest.warns(DataWarning) as caught:
        data = load(tmp_path / "table.csv", "all")
    said = " ".join(str(one.message) for one in caught)
    assert "a column without a name, as pandas writes row numbers, is left out" in said
    assert "1 of 4 rows have no label, and are left out (row 4 first)" in said
    assert "labels that differ in case or blanks alone are different classes: ['Sick', 'sick']" in said
    assert "table.csv': 1 of 2 columns say nothing of a row, and are left out: 'ward' (always 7.0)" in said
    assert len(caught) == 4
    assert isinstance(data.spec, TableSpec)
    assert data.spec.names == ("age",)
    with pytest.raises(DataError, match="1 of 4 rows have no label"), pytest.warns(DataWarning):
        load(tmp_path / "table.csv", "all", strict=True)


def test_bytes_that_are_no_utf_8_are_counted_in_rows_too(tmp_path: pathlib.Path) -> None:
    drinks = ("tea", "caf\u00e9")
    lines = ["colour,label", *(f"{drinks[row % 2]},{'ab'[row % 2]}" for row in range(6))]
    (tmp_path / "latin.csv").write_bytes("\n".join(lines).encode("latin-1"))
    with pytest.warns(DataWarning, match="3 of 6 rows hold bytes that are no UTF-8"):
        load(tmp_path / "latin.csv", "all")


def test_texts_beside_paths_of_sounds_are_texts(tmp_path: pathlib.Path) -> None:
    rows = [f"words {row},{row}.wav,{'ab'[row % 2]}" for row in range(4)]
    (tmp_path / "corpus.csv").write_text("\n".join(["text,audio,label", *rows]))
    assert load(tmp_path / "corpus.csv", "all").spec.kind == "text"


def test_a_text_and_columns_are_two_parts(tmp_path: pathlib.Path) -> None:
    (tmp_path / "both.csv").write_text("text,age,label\na,1,x\nb,2,y\n")
    found = load(tmp_path / "both.csv", "all", text="text", columns=["age"])
    assert [*found.examples] == ["table", "table_there", "text", "text_there"]
    assert found.examples["table"].ravel().tolist() == [-1, 1]
