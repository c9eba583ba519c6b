"""The command line: `quickstudy VERB ...`. One file per verb; a verb's first docstring line is its help."""

from __future__ import annotations

import ast
import importlib
import pathlib
import sys
import warnings
from collections.abc import Sequence

import rich.console

import quickstudy
from quickstudy import discovery
from quickstudy.cli import _output
from quickstudy.errors import ConfigError, QuickstudyError, unknown_name

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code: 0, 2 for what the user can mend, 1 for other failures, 130 after Ctrl-C."""
    arguments = [*(sys.argv[1:] if arguments is None else arguments)]  # not list(): importing the verb hides the builtin
    if not arguments or arguments[0] in ("-h", "--help"):
        return _help()
    if arguments[0] in ("--version", "version"):
        _output.text(f"quickstudy {quickstudy.__version__}")
        return 0
    before, warnings.formatwarning = warnings.formatwarning, _plain_warning
    try:
        return _run(*arguments)
    finally:
        warnings.formatwarning = before


def _run(verb: str, *rest: str) -> int:
    try:
        if verb not in discovery.names("cli"):
            raise unknown_name("verb", verb, discovery.names("cli"))
        importlib.import_module(f"quickstudy.cli.{verb}").run(rest)
    except QuickstudyError as error:
        _output.error(error, as_json="--json" in rest)
        return error.exit_code
    except ModuleNotFoundError as error:
        extra = "export" if verb == "export" else "train"
        missing = ConfigError(f"{error.name} is not installed, and {verb} needs it: pip install 'quickstudy[{extra}]'.")
        _output.error(missing, as_json="--json" in rest)
        return missing.exit_code
    except KeyboardInterrupt as interrupt:
        for note in getattr(interrupt, "__notes__", ["interrupted"]):
            rich.console.Console(stderr=True).print(note, highlight=False, markup=False, soft_wrap=True)
        return INTERRUPTED
    return 0


def _plain_warning(message: Warning | str, category: type[Warning], *where: object) -> str:
    """A warning as a user reads it: what is wrong, not the line of code that says so."""
    del where
    return f"{category.__name__}: {message}\n"


def _help() -> int:
    lines = ["usage: quickstudy VERB [options]      (quickstudy VERB --help lists the options)", ""]
    for verb in discovery.names("cli"):
        lines.append(f"  {verb:<10} {_summary(verb)}")
    _output.text("\n".join([*lines, "", "  --version  what is installed"]))
    return 0


def _summary(verb: str) -> str:
    """First line of a verb's docstring, read without importing it (and torch with it)."""
    source = (pathlib.Path(__file__).parent / f"{verb}.py").read_text()
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
