"""Names and classes found by reading a folder of the package, so that adding a file adds a name. No torch until something is loaded."""

from __future__ import annotations

import ast
import importlib
import inspect
import pathlib
import types

from quickstudy.errors import unknown_name

PACKAGE = pathlib.Path(__file__).parent
KINDS = {
    "learners": "learner",
    "nets": "net",
    "inputs": "kind of input",
    "targets": "kind of answer",
    "objectives": "kind of answer",
    "tasks": "task source",
    "data/readers": "file format",
    "data/known": "data set",
    "runtime/pretrained": "shipped learner",
    "cli": "verb",
    "cli/demos": "demo",
}
"""Name of the files of a folder in messages."""
PROTOCOLS = {"tasks": ("source",)}
"""Files that say what the other files of their folder have in common, and are no name themselves."""


def names(folder: str, suffix: str = ".py") -> list[str]:
    """Return the names that a folder of the package holds, such as `learners` or `data/known`: its public files.

    >>> "protonet" in names("learners")
    True
    """
    stems = (file.stem for file in (PACKAGE / folder).glob(f"[!_]*{suffix}"))
    return sorted(stem for stem in stems if stem not in PROTOCOLS.get(folder, ()))


def check_name(folder: str, name: str) -> None:
    """Raise a ConfigError that offers the nearest names unless the folder holds this one."""
    if name not in names(folder):
        raise unknown_name(KINDS.get(folder, folder), name, names(folder))


def module(folder: str, name: str) -> types.ModuleType:
    """Return the module that the file `name` of `folder` is.

    >>> module("data/known", "digits").__name__
    'quickstudy.data.known.digits'
    """
    check_name(folder, name)
    return importlib.import_module(".".join(["quickstudy", *folder.split("/"), name]))


def load(folder: str, name: str) -> type:
    """Return the one public class that the file `name` of `folder` defines.

    >>> load("nets", "mlp").__name__
    'MLP'
    """
    loaded = module(folder, name)
    classes = [
        value
        for key, value in vars(loaded).items()
        if inspect.isclass(value) and value.__module__ == loaded.__name__ and not key.startswith("_")
    ]
    if len(classes) != 1:
        raise TypeError(f"{loaded.__name__} defines {len(classes)} public classes; expected exactly one.")
    return classes[0]


def name_of(instance: object) -> str:
    """Return the name under which the class of `instance` was discovered: its file's name.

    >>> name_of(load("nets", "mlp")(in_features=2))
    'mlp'
    """
    return type(instance).__module__.rpartition(".")[2]


def summary(folder: str, name: str) -> str:
    """Return the first paragraph of a file's docstring as one line, read without importing it (and torch with it).

    >>> summary("cli", "adapt").partition(":")[0]
    'Learn a task from a folder of examples, or a table'
    """
    source = (PACKAGE / folder / f"{name}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return " ".join(docstring.partition("\n\n")[0].split())
