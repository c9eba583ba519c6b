"""The layout in docs/architecture.md is true: modules import only from the lines above their own, files stay short, torch stays out."""

import ast
import graphlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "quickstudy"
FILES = sorted(PACKAGE.rglob("*.py"))
WITHOUT_TORCH = (
    "errors.py",
    "discovery.py",
    "inputs",
    "targets",
    "storage.py",
    "runtime",
    "data",
    "serve",
    "cli/__init__.py",
    "cli/_output.py",
    "cli/list.py",
    "cli/info.py",
)


def layout() -> list[str]:
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Layout")[2].split("```")[1]
    return [line.split()[0] for line in text.strip().splitlines()]


def imports(file: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def part(file: pathlib.Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_part_is_in_the_layout_and_exists() -> None:
    parts = {part(file) for file in FILES} - {"__init__"}
    assert parts == set(layout())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_one_way(file: pathlib.Path) -> None:
    if part(file) == "__init__":
        return  # the lazy names of the package itself
    order = layout()
    for name in imports(file):
        if name.startswith("quickstudy."):
            imported = name.split(".")[1]
            if imported in order:
                assert order.index(imported) <= order.index(part(file)), f"{file} imports {name} from further down"


def test_no_module_imports_in_a_circle() -> None:
    names = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in FILES}
    graph = {
        name: {
            known
            for known in names
            if known != name and any(found == known or found.startswith(f"{known}.") for found in imports(file))
        }
        for name, file in names.items()
        if file.name != "__init__.py"
    }
    graph = {name: {target for target in targets if target in graph} for name, targets in graph.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("start", WITHOUT_TORCH)
def test_no_torch_where_none_is_needed(start: str) -> None:
    for file in [PACKAGE / start] if start.endswith(".py") else (PACKAGE / start).rglob("*.py"):
        assert not any(name.split(".")[0] == "torch" for name in imports(file)), f"{file} imports torch"


def test_files_and_functions_stay_short() -> None:
    for file in FILES:
        text = file.read_text()
        assert len(text.splitlines()) <= 500, f"{file} is longer than 500 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1  # type: ignore[operator]
                assert length <= 50, f"{file}: {node.name} is {length} lines long"


def test_no_broad_except_and_no_pickle() -> None:
    forbidden = re.compile(r"except Exception|except:|import pickle")
    for file in FILES:
        hits = [line for line in file.read_text().splitlines() if forbidden.search(line)]
        assert not hits, f"{file}: {hits}"
