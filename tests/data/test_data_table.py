"""Tables of texts: csv, tsv and jsonl say the same, and what cannot be used is named or counted."""

from __future__ import annotations

import csv
import json
import pathlib
import sys
from typing import Any

import numpy as np
import pandas
import pytest

from quickstudy.data import DataWarning, load
from quickstudy.data.loading import kind_of
from quickstudy.data.readers.table import columns_of
from quickstudy.errors import ConfigError, DataError
from quickstudy.inputs.text import TextSpec

TEXTS = ["where is my card", 'it says "declined", twice', "ich habe Geld\tverloren", "NA"]
LABELS = ["card", "card", "lost", "lost"]


def write(folder: pathlib.Path, ending: str, text: str = "text", label: str = "label") -> pathlib.Path:
    """Write the texts in one of the formats."""
    path = folder / f"table{ending}"
    rows = [{text: one, label: name} for one, name in zip(TEXTS, LABELS, strict=True)]
    if ending == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    else:
        separator = "\t" if ending == ".tsv" else ","
        quoted = [separator.join('"' + cell.replace('"', '""') + '"' for cell in row.values()) for row in rows]
        path.write_bytes("\r\n".join([separator.join((text, label)), *quoted]).encode("utf-8-sig"))
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_all_formats_say_the_same(tmp_path: pathlib.Path, ending: str) -> None:
    path = write(tmp_path, ending)
    assert columns_of(path) == (TEXTS, LABELS)
    data = load(path, "all")
    assert data.spec == TextSpec()
    assert data.classes == ("card", "lost")
    np.testing.assert_array_equal(data.examples["text"], TextSpec().read_all(TEXTS)["text"])
    assert load(path, "all", length=32).spec == TextSpec(32)
    assert kind_of(path) == "text"
    assert data.fingerprint == load(write(tmp_path, ".csv"), "all").fingerprint


def test_columns_of_other_names_are_named(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, ".csv", "message", "topic")
    with pytest.raises(DataError, match=r"no column 'text'; it has message, topic\. .* such as --text message"):
        load(path, "all")
    assert load(path, "all", text="message", label="topic").classes == ("card", "lost")
    assert load(path, "all", text="message", label="topic", group="topic").classes == ("card/card", "lost/lost")
    with pytest.raises(DataError, match=r"no column 'Topic'.*Name the one that holds the labels"):
        load(path, "all", text="message", label="Topic")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\na,b,c\n", "line 2 has 3 cells, but there are 2 columns; put texts with ',' in them into quotes"),
        ("text,text\na,b\n", "several columns 'text'"),
        ("text,label\n", "has no row with a text and a label"),
        ("", "has no column 'text'; it has none"),
        ("text,label\n,b\na,\n", "has no row with a text and a label"),
    ],
)
@pytest.mark.filterwarnings("ignore::quickstudy.data.DataWarning")
def test_what_is_no_table_of_texts_is_refused_by_name(tmp_path: pathlib.Path, content: str, words: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        load(path, "all")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [("[1, 2]", "line 1 is no JSON object; expected lines such as"), ("{oops", "cannot be read as a table")],
)
def test_lines_that_are_no_objects_are_named(tmp_path: pathlib.Path, line: str, words: str) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(line)
    with pytest.raises(DataError) as caught:
        load(path, "all")
    assert words in str(caught.value)


def test_rows_that_lack_something_are_left_out_and_counted(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "table.jsonl"
    rows: list[dict[str, Any]] = [
        {"text": "a", "label": "x"},
        {"text": None, "label": "x"},
        {"text": "b"},
        {"text": "c", "label": 7},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.warns(DataWarning, match=r"2 of 4 rows have no text or no label, and are left out \(row 2 first\)"):
        assert columns_of(path) == (["a", "c"], ["x", "7"])
    with pytest.raises(DataError, match="2 of 4 rows have no text or no label"):
        columns_of(path, strict=True)


def test_bytes_that_are_no_utf8_are_counted(tmp_path: pathlib.Path) -> None:
    (tmp_path / "latin.csv").write_bytes("text,label\ncaf\u00e9,a\ntea,a\n".encode("latin-1"))
    with pytest.warns(DataWarning, match="1 of 2 rows hold bytes that are no UTF-8"):
        assert columns_of(tmp_path / "latin.csv")[0] == ["caf\ufffd", "tea"]


def test_a_cell_may_be_long_and_must_be_a_text(tmp_path: pathlib.Path) -> None:
    before = csv.field_size_limit()
    (tmp_path / "long.csv").write_text(f"text,label\n{'word ' * 100_000},a\n")
    assert len(columns_of(tmp_path / "long.csv")[0][0]) == 499_999
    assert csv.field_size_limit() == before
    (tmp_path / "list.jsonl").write_text(json.dumps({"text": ["a", "b"], "label": "x"}))
    with pytest.raises(DataError, match=r"a cell holds .*\['a', 'b'\].*, a list; expected a text"):
        columns_of(tmp_path / "list.jsonl")


def test_a_quote_that_never_ends_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "open.tsv").write_text('text\tlabel\n"hello there\tx\n"bye\ty\n')
    with pytest.raises(DataError, match="cannot be read as a table"):
        columns_of(tmp_path / "open.tsv")


def test_a_damaged_npz_has_no_kind(tmp_path: pathlib.Path) -> None:
    (tmp_path / "damaged.npz").write_bytes(b"no zip")
    assert kind_of(tmp_path / "damaged.npz") is None
    assert kind_of(tmp_path / "not there") is None


def test_labels_that_differ_in_case_or_blanks_alone_are_said(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("text,label\na,Lost card\nb,lost  card\nc,other\n")
    with pytest.warns(DataWarning, match=r"differ in case or blanks alone .*\['Lost card', 'lost  card'\]"):
        assert len(set(columns_of(path)[1])) == 3


def test_missing_values_of_any_type_are_missing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pandas calls them missing, whatever library reads the parquet file."""
    texts = pandas.array(["a", None, "c", "d"], dtype="string")
    labels = pandas.array([1, 2, None, 4], dtype="Int64")
    monkeypatch.setattr(pandas, "read_parquet", lambda path: pandas.DataFrame({"text": texts, "label": labels}))
    with pytest.warns(DataWarning, match="2 of 4 rows have no text or no label"):
        assert columns_of(tmp_path / "table.parquet") == (["a", "d"], ["1", "4"])


def test_parquet_without_pandas_says_what_to_do(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match=r"parquet files are read by pandas and pyarrow .* or save a csv"):
        columns_of(tmp_path / "table.parquet")


def test_names_of_columns_are_said_of_tables_alone(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "rows.npz", rows=np.zeros((4, 2)), labels=list("aabb"))
    with pytest.raises(DataError, match="text is given, but the data holds rows, which have no such option"):
        load(tmp_path / "rows.npz", "all", text="message")
    with pytest.raises(ConfigError, match=r"load has no option 'colour'; expected some of .*text, label"):
        load(tmp_path / "rows.npz", "all", colour="red")


def test_a_folder_of_text_files_is_one_class_each(tmp_path: pathlib.Path) -> None:
    for name, label in zip("abcd", LABELS, strict=True):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / f"{name}.txt").write_text(TEXTS["abcd".index(name)])
    assert kind_of(tmp_path) == "text"
    (tmp_path / "card" / "a.txt").write_bytes(b"\xef\xbb\xbf" + TEXTS[0].encode())
    data = load(tmp_path, "all")
    assert data.classes == ("card", "lost")
    np.testing.assert_array_equal(data.examples["text"], TextSpec().read_all(TEXTS)["text"])


def test_files_that_are_cut_are_counted_once_also_from_the_cache(tmp_path: pathlib.Path) -> None:
    for name, label in zip("abcd", LABELS, strict=True):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / f"{name}.txt").write_text("a text that is far too long for this")
    for _ in range(2):
        with pytest.warns(DataWarning, match="at least 4 of 4 texts reach 16 bytes") as caught:
            load(tmp_path, "all", length=16)
        assert len(caught) == 1
