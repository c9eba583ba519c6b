"""Names come from files, and a name that does not exist is answered with the nearest ones that do."""

from __future__ import annotations

import inspect
import pathlib
import subprocess
import sys
import types

import pytest
from builders import DESCENT, PROTOTYPES
from torch import nn

import quickstudy
from quickstudy import discovery
from quickstudy.errors import ConfigError, unknown_name
from quickstudy.learner import Learner

PACKAGE = pathlib.Path(inspect.getfile(quickstudy)).parent


@pytest.mark.parametrize("folder", ["learners", "nets"])
def test_every_file_is_a_name_and_every_name_a_class(folder: str) -> None:
    names = discovery.names(folder)
    assert names == sorted(file.stem for file in (PACKAGE / folder).iterdir() if file.suffix == ".py" and file.name[0] != "_")
    for name in names:
        found = discovery.load(folder, name)
        assert issubclass(found, Learner if folder == "learners" else nn.Module)
        assert not inspect.isabstract(found)
        assert found.__doc__
        assert found.__name__.lower() == name.replace("_", "")
        assert inspect.getmodule(found).__doc__


def test_private_files_are_no_names() -> None:
    assert "_weights" not in discovery.names("learners")
    with pytest.raises(ConfigError):
        discovery.load("learners", "_weights")


@pytest.mark.parametrize(
    ("folder", "name", "kind", "closest"),
    [
        ("learners", DESCENT[:-1], "learner", DESCENT),
        ("learners", PROTOTYPES[:5], "learner", PROTOTYPES),
        ("nets", "conv", "net", "conv4"),
    ],
)
def test_unknown_name_offers_the_nearest(folder: str, name: str, kind: str, closest: str) -> None:
    with pytest.raises(ConfigError) as raised:
        discovery.load(folder, name)
    message = str(raised.value)
    assert message.startswith(f"unknown {kind} {name!r}. Did you mean: ")
    assert closest in message.partition("Known:")[0]
    assert all(known in message.partition("Known:")[2] for known in discovery.names(folder))
    assert (raised.value.exit_code, raised.value.http_status) == (2, 400)


@pytest.mark.parametrize("name", ["", "zzzzqqq", "../storage", f"learners.{DESCENT}", "__init__"])
def test_nonsense_is_refused_without_being_imported(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown learner"):
        discovery.load("learners", name)


def test_no_guess_where_nothing_is_near() -> None:
    assert str(unknown_name("net", "zzzzqqq", ["mlp", "conv4"])) == "unknown net 'zzzzqqq'. Known: conv4, mlp."


def test_a_file_with_two_public_classes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("quickstudy.nets.mlp")
    for name in ("One", "Two"):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, "quickstudy.nets.mlp", module)
    with pytest.raises(TypeError, match="2 public classes; expected exactly one"):
        discovery.load("nets", "mlp")


def test_name_of_is_the_inverse_of_load() -> None:
    for name in discovery.names("nets"):
        assert discovery.name_of(discovery.load("nets", name)()) == name


def test_names_are_listed_without_torch() -> None:
    code = "import sys, quickstudy, quickstudy.discovery as d; d.names('learners'); d.names('nets'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
