"""Stdout that knows few characters, closes early or is not there; files that may not be read; packages that are missing."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from quickstudy.cli import _installable, main

Call = Callable[..., Any]
SURROGATE = os.fsdecode(b"caf\xe9")
"""A name that is no UTF-8, as unzip leaves it."""
SPEAKING = """
import sys
from quickstudy import cli
from quickstudy.cli import _output, info
def run(words):
    for _ in range(int(words[0])):
        _output.text("72.1 \\u00b1 0.8 % \\u2713 caf\\udce9")
        _output.table(("name", "value"), [("caf\\udce9 \\u2713", 1.0)], title="\\u2713")
    _output.as_json({"caf\\udce9": "\\u2713"})
info.run = run
sys.exit(cli.main(["info", sys.argv[1]]))
"""


def speak(lines: int = 1, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a verb that prints characters of all sorts."""
    encoding = {"PYTHONIOENCODING": options.pop("encoding")} if "encoding" in options else {}
    command = [sys.executable, "-c", SPEAKING, str(lines)]
    return subprocess.run(command, stderr=subprocess.PIPE, env={**os.environ, **encoding}, check=False, **options)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8", "latin-1", "cp437"])
def test_any_encoding_of_stdout_takes_every_text(encoding: str) -> None:
    done = speak(encoding=encoding, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    assert "72.1 " in text
    assert ("✓" if encoding == "utf-8" else "\\u2713") in text
    assert ("±" if encoding != "ascii" else "\\xb1") in text
    assert "caf\\udce9" in text


@pytest.mark.parametrize("lines", [1, 3000])
def test_a_pipe_that_closes_early_ends_quietly(lines: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = speak(lines, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_no_stdout_at_all_is_no_error() -> None:
    done = speak(preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_error_without_stdout_and_stderr_keeps_its_exit_code() -> None:
    code = "import sys; sys.stdout = sys.stderr = None; from quickstudy.cli import main; code = main(['trian'])\n"
    code += "assert sys.stdout is sys.stderr is None; sys.exit(code)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 2


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["list"], ["--version"]])
def test_an_ascii_locale_reads_our_sources_and_prints(words: list[str]) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "quickstudy", *words], capture_output=True, env={**os.environ, **plain}, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


def test_the_streams_are_as_they_were_afterwards(cli: Call) -> None:
    before = sys.stdout.errors
    assert cli("--version").code == 0
    assert sys.stdout.errors == before


def test_names_that_are_no_text_are_shown_in_errors(cli: Call, tmp_path: pathlib.Path) -> None:
    outcome = cli("info", tmp_path / f"{SURROGATE}.qs", "--json")
    assert outcome.code == 2
    assert json.loads(outcome.err)["error"]["subject"] == str(tmp_path / f"{SURROGATE}.qs")
    done = subprocess.run([sys.executable, "-m", "quickstudy", "info", f"{SURROGATE}.qs"], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"caf\\udce9.qs" in done.stderr


FAILURES = {
    errno.EACCES: (2, "DataError: {} cannot be used (Permission denied). Ask its owner, or change its permissions."),
    errno.EIO: (1, "StorageError: {} cannot be read or written (Input/output error)."),
    errno.ENAMETOOLONG: (1, "StorageError: {} cannot be read or written (File name too long)."),
}


@pytest.mark.parametrize("number", FAILURES)
@pytest.mark.parametrize("verb", ["info", "list", "train", "adapt", "export"])
def test_what_the_system_refuses_is_said_in_words(cli: Call, monkeypatch: pytest.MonkeyPatch, verb: str, number: int) -> None:
    def refuse(words: Sequence[str]) -> None:
        raise OSError(number, os.strerror(number), "secret/file")

    monkeypatch.setattr(f"quickstudy.cli.{verb}.run", refuse)
    outcome = cli(verb, "x")
    code, message = FAILURES[number]
    assert outcome.code == code
    assert outcome.err.startswith(message.format("secret/file"))


def test_a_missing_package_is_named_with_the_extra_that_has_it(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)

    def run(words: Sequence[str]) -> None:
        import onnxscript

        del words, onnxscript

    monkeypatch.setattr("quickstudy.cli.info.run", run)
    outcome = cli("info", "--json")
    assert outcome.code == 2
    assert json.loads(outcome.err)["error"]["remedy"] == "pip install 'quickstudy[export]'"


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("torch", "'quickstudy[train]'"),
        ("sklearn", "'quickstudy[train]'"),
        ("jaxtyping", "'quickstudy[train]'"),
        ("tensorboardX", "'quickstudy[train]'"),
        ("onnxscript", "'quickstudy[export]'"),
        ("somebody_elses", "somebody-elses"),
    ],
)
def test_the_extra_is_read_and_not_guessed(module: str, expected: str) -> None:
    assert _installable(module) == expected


def test_a_missing_part_of_ours_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "quickstudy.cli.info", None)
    with pytest.raises(ModuleNotFoundError, match=r"quickstudy\.cli\.info"):
        main(["info"])
