"""The command line: `quickstudy VERB ...`. One file per verb; a verb's first docstring line is its help."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
import warnings
from collections.abc import Sequence

import quickstudy
from quickstudy import discovery
from quickstudy.cli import _garbage, _output, _parser
from quickstudy.errors import ConfigError, DataError, QuickstudyError, StorageError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""

HUNG_UP = 141
"""Exit code if nobody reads the output any more, as after `| head`: 128 and the number of SIGPIPE."""

DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Names under which modules are installed, if these differ from the modules' own and are not part of every installation."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 0, 2 for what the user can mend, 1 for other failures, 130 after Ctrl-C."""
    arguments = [*(sys.argv[1:] if arguments is None else arguments)]  # not list(): importing the verb hides the builtin
    before, warnings.formatwarning = warnings.formatwarning, _plain_warning
    try:
        with _output.streams():
            try:
                code = _run(*arguments)
                _output.flush()
            except BrokenPipeError:
                _output.hang_up()
                code = HUNG_UP
            return code
    finally:
        warnings.formatwarning = before


def _run(verb: str = "--help", *rest: str) -> int:
    """Run one verb and turn what it raises into an exit code and words."""
    if verb in ("-h", "--help"):
        return _help()
    if verb in ("--version", "version"):
        _output.text(f"quickstudy {quickstudy.__version__}")
        return 0
    try:
        discovery.check_name("cli", verb)
        with _garbage.rarely_collected():
            loaded = importlib.import_module(f"quickstudy.cli.{verb}")
        loaded.run(rest)
    except BrokenPipeError:
        raise
    except (QuickstudyError, OSError, ModuleNotFoundError) as problem:
        known = problem if isinstance(problem, QuickstudyError) else _explained(problem, verb)
        told = {name: _parser.in_options(value) if isinstance(value, str) else value for name, value in known.to_dict().items()}
        _output.error(told, as_json="--json" in rest)
        return known.exit_code
    except KeyboardInterrupt as interrupt:
        for note in getattr(interrupt, "__notes__", ["interrupted"]):
            _output.note(note)
        return INTERRUPTED
    return 0


def _explained(problem: OSError | ModuleNotFoundError, verb: str) -> QuickstudyError:
    """Return an error in our words for a file that the system refuses, and for a package that is not installed."""
    if isinstance(problem, ModuleNotFoundError):
        missing = (problem.name or "").partition(".")[0]
        if missing == quickstudy.__name__:  # a part of ours: an error of ours
            raise problem
        remedy = f"pip install {_installable(missing)}"
        return ConfigError(f"{missing} is not installed, and {verb} needs it: {remedy}.", subject=missing, remedy=remedy)
    name, reason = str(problem.filename or "a file"), problem.strerror or str(problem)
    if isinstance(problem, PermissionError):
        remedy = "Ask its owner, or change its permissions."
        return DataError(f"{name} cannot be used ({reason}). {remedy}", subject=name, remedy=remedy)
    return StorageError(f"{name} cannot be read or written ({reason}). Check the path and the disk.", subject=name)


def _installable(module: str) -> str:
    """Return what to install for a module: the extra of quickstudy that needs it, or its own distribution."""
    wanted = _plain(DISTRIBUTIONS.get(module, module))
    try:
        needs = importlib.metadata.requires(quickstudy.__name__) or []
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        needs = []
    for need in needs:
        name = re.match(r"[\w.-]+", need)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", need)
        if name and _plain(name[0]) == wanted:
            return f"'quickstudy[{extra[1]}]'" if extra else wanted
    return wanted


def _plain(name: str) -> str:
    """Return the name of a distribution as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _plain_warning(message: Warning | str, category: type[Warning], *where: object) -> str:
    """Return a warning as a user reads it: what is wrong, in the words of the command line, not the line of code that says so."""
    del where
    return f"{category.__name__}: {_parser.in_options(str(message))}\n"


def _help() -> int:
    """Print all verbs with the first lines of their docstrings."""
    lines = ["usage: quickstudy VERB [options]      (quickstudy VERB --help lists the options)", ""]
    lines += [f"  {verb:<10} {discovery.summary('cli', verb)}" for verb in discovery.names("cli")]
    _output.text("\n".join([*lines, "", "  --version  what is installed"]))
    return 0
