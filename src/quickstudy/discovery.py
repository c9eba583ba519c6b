"""Names and classes found by reading a folder of the package, so that adding a file adds a name. No torch until something is loaded."""

from __future__ import annotations

import importlib
import inspect
import pathlib

from quickstudy.errors import unknown_name

KINDS = {"learners": "learner", "nets": "net", "objectives": "kind of answer", "tasks": "task source"}


def names(folder: str) -> list[str]:
    """What there is in a folder of the package, such as `learners` or `nets`.

    >>> "protonet" in names("learners")
    True
    """
    files = (pathlib.Path(__file__).parent / folder).glob("[!_]*.py")
    return sorted(file.stem for file in files)


def load(folder: str, name: str) -> type:
    """The one public class that the file `name` of `folder` defines.

    >>> load("nets", "mlp").__name__
    'MLP'
    """
    if name not in names(folder):
        raise unknown_name(KINDS.get(folder, folder), name, names(folder))
    module = importlib.import_module(f"quickstudy.{folder}.{name}")
    found = [
        value
        for key, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not key.startswith("_")
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} defines {len(found)} public classes; expected exactly one.")
    return found[0]


def name_of(instance: object) -> str:
    """The name under which the class of `instance` was discovered: its file's name.

    >>> name_of(load("nets", "mlp")(in_features=2))
    'mlp'
    """
    return type(instance).__module__.rpartition(".")[2]
