"""Texts: everything that users have for one is read, cut between characters, and what is none is refused by name."""

from __future__ import annotations

import pathlib
import warnings
from typing import Any

import numpy as np
import pytest

from quickstudy.errors import DataError, InputWarning, NotFoundError
from quickstudy.inputs.text import TextSpec

TEXTS = ["Where is my card?", "Grüße aus Köln", "我的卡在哪里"]
SPEC = TextSpec(24)


class Column:
    """A column of a table, as far as specs look at one."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def to_numpy(self) -> np.ndarray:
        return self.values


def expected(texts: list[str], length: int = 24) -> np.ndarray:
    return np.stack([np.frombuffer(text.encode().ljust(length, b"\0"), np.uint8) for text in texts])


def test_all_that_users_have_for_texts_is_one_thing(tmp_path: pathlib.Path) -> None:
    files = [tmp_path / f"{number}.txt" for number in range(len(TEXTS))]
    for file, text in zip(files, TEXTS, strict=True):
        file.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")  # as Windows saves it
    same: dict[str, Any] = {
        "list": TEXTS,
        "tuple": tuple(TEXTS),
        "array": np.array(TEXTS),
        "objects": np.array(TEXTS, dtype=object),
        "bytes": [text.encode() for text in TEXTS],
        "bytearrays": [bytearray(text.encode()) for text in TEXTS],
        "blanks around": [f"  {text}\n" for text in TEXTS],
        "files": files,
        "column": Column(np.array(TEXTS, dtype=object)),
        "table of one column": Column(np.array(TEXTS, dtype=object)[:, None]),
        "stored": expected(TEXTS),
        "stored longer": expected(TEXTS, 40),
        "stored shorter": expected(TEXTS, 20),
    }
    for name, things in same.items():
        np.testing.assert_array_equal(SPEC.read_all(things)["text"], expected(TEXTS), err_msg=name)


@pytest.mark.parametrize(
    ("things", "words"),
    [
        (["a", None], "text 1 is None, a NoneType; expected a text"),
        (["a", float("nan")], "text 1 is nan, a float"),
        ([1, 2], "text 0 is 1, a int"),
        (["a", " \n "], "text 1 is empty; drop it"),
        ([b"\0\0"], "text 0 is empty"),
        ("where is my card", "one text was given (where is my card); expected a list of texts"),
        (Column(np.array([["a", "b"]])), "shape [1, 2]; expected a list, or a table with a single column"),
        ([], "no example was given"),
        (None, "the examples are a NoneType"),
    ],
)
def test_what_is_no_text_is_refused_by_name(things: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        SPEC.read_all(things)
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no text file '.*none\.txt'"):
        SPEC.read_all([tmp_path / "none.txt"])


def test_what_is_too_long_is_cut_between_characters_and_counted() -> None:
    with pytest.warns(InputWarning, match=r"1 of 2 texts are longer than 4 bytes \(the longest has 10,000,000\)"):
        found = TextSpec(4).read_all(["ä" * 5_000_000, "ok"])["text"]
    assert found.tolist() == [[195, 164, 195, 164], [111, 107, 0, 0]]
    assert TextSpec(3).read("ää")["text"].tolist() == [195, 164, 0]
    with pytest.warns(InputWarning, match="1 of 1 texts are longer than 3 bytes"):
        np.testing.assert_array_equal(TextSpec(3).read_all(expected(["ää"]))["text"], [[195, 164, 0]])


def test_bytes_that_are_no_utf8_are_replaced_and_counted() -> None:
    with pytest.warns(InputWarning, match="2 of 3 texts hold bytes that are no UTF-8, which were replaced"):
        found = SPEC.read_all([b"caf\xe9", "half \ud83d", "whole"])["text"]
    assert found.tobytes().decode().split("\0")[0] == "caf\ufffd"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SPEC.read_all(["a sign of its own: \ufffd".encode()])


def test_what_texts_of_files_may_lack_is_counted_over_all() -> None:
    rows = np.stack([TextSpec(8).read(text)["text"] for text in ("far too long", "short", b"caf\xe9", "ää ää ää")])
    said = TextSpec(8).lacking({"text": rows})
    assert said == (
        "at least 1 of 4 texts reach 8 bytes, and what may follow is left out; 1 hold signs that stand for bytes that are no UTF-8"
    )
    assert TextSpec(24).lacking({"text": expected(["short"])}) is None


def test_marks_of_byte_order_are_no_part_of_a_text() -> None:
    same = ["a card", "\ufeffa card", b"\xef\xbb\xbfa card"]
    np.testing.assert_array_equal(SPEC.read_all(same)["text"], expected(["a card"] * 3))


def test_words_of_a_command_line_are_texts_or_files(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "with blanks in.txt"
    file.write_text("from a file")
    long = "word " * 100 + "end.txt"
    assert TextSpec.named([str(file), "see note.txt", long, "a card"]) == [file, "see note.txt", long, "a card"]
    with pytest.raises(NotFoundError, match=r"there is no text file 'questoin\.txt'"):
        SPEC.read_all(TextSpec.named(["questoin.txt"]))


def test_texts_unlike_those_of_training_are_told_by_length_and_script() -> None:
    about = SPEC.statistics(SPEC.read_all(["where is my card", "i lost my card"]))
    assert about == {"length": 15.0, "beyond_ascii": 0.0}
    assert SPEC.unlike(about, SPEC.read_all(["what is the time"])) is None
    assert "100% of the bytes of these texts are no ASCII" in str(SPEC.unlike(about, SPEC.read_all(["我的卡在哪里"])))
    long = TextSpec(600)
    assert "have 500 bytes on average" in str(long.unlike(about, long.read_all(["word " * 99 + "words"])))


def test_a_length_is_a_wish_and_other_lengths_than_a_learners_are_refused() -> None:
    assert TextSpec.own(length=64) == TextSpec(64)
    assert TextSpec.own() == TextSpec()
    assert TextSpec().resized(TextSpec(32)) == TextSpec(32)
    with pytest.raises(DataError, match="length 64 was given, but this learner takes texts of up to 24 bytes"):
        SPEC.how(length=64)
    with pytest.raises(DataError, match="length is 0"):
        TextSpec.own(length=0)
    with pytest.raises(DataError, match=r"texts are float64 of shape \(3, 2\)"):
        TextSpec.own(np.zeros((3, 2)))
    with pytest.raises(DataError, match="ink was given, but texts have no such option"):
        SPEC.read_all(TEXTS, ink="dark")
