"""Benchmarks keep up with the package: what they import exists, and they explain themselves. Running them takes hours."""

import ast
import importlib
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted(
    [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "web" / "test").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
)
OURS = r"quickstudy(\.|$)"
SCRIPTS = [file for file in FILES if "ArgumentParser" in file.read_text() and "__main__" in file.read_text()]


def missing(tree: ast.Module) -> list[str]:
    """Return the names of the package that a file imports and that do not exist."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if re.match(OURS, alias.name) and not exists(alias.name, None)]
        elif isinstance(node, ast.ImportFrom) and re.match(OURS, node.module or ""):
            found += [f"{node.module}.{alias.name}" for alias in node.names if not exists(node.module or "", alias.name)]
    return found


def exists(module: str, name: str | None) -> bool:
    try:
        loaded = importlib.import_module(module)
        return name is None or hasattr(loaded, name) or importlib.import_module(f"{module}.{name}") is not None
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("quickstudy"):
            raise
        return False


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_a_script_imports_exists(file: pathlib.Path) -> None:
    assert missing(ast.parse(file.read_text())) == []


def test_a_name_that_has_moved_is_seen() -> None:
    text = "from quickstudy.task import Task, Nowhere\nimport quickstudy.convolution\nfrom quickstudy.nowhere import a\nimport torch"
    assert missing(ast.parse(text)) == ["quickstudy.task.Nowhere", "quickstudy.convolution", "quickstudy.nowhere.a"]


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_a_script_explains_itself(file: pathlib.Path) -> None:
    ran = subprocess.run([sys.executable, file, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "usage:" in ran.stdout
