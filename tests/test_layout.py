"""The house rules hold: imports go one way, files and functions stay small, constants explain themselves, nobody names a neighbour.

Every check reports all offenders at once. Files are parsed once.
"""

import ast
import dataclasses
import functools
import graphlib
import pathlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

from quickstudy import discovery

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "quickstudy"
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
MOST_CONSTANTS = 30
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
PICTURES = ("inputs/image.py", "data/readers/idx.py", "data/known/", "data/glyphs.py", "data/handwriting.py")
"""Files about images alone: the kind of input, and what reads and draws image files."""
GRIDS = ("nets/", "layers/", "tasks/augment/", "cli/demos/drawing.py")
"""Files about one kind of input by their nature: nets and layers for images, ways to augment them, the demo of drawings."""
SETTINGS = ("cli/", "estimators/")
"""Folders in which a default may be a learner's name: as a constant at the top, or as the default of an option."""
BY_NAME = {
    "discovery.py": "it finds modules by reading folders",
    "__init__.py": "its names load torch when they are used",
    "runtime/__init__.py": "its names load onnxruntime when they are used",
    "runtime/skill_file.py": "the engine for PyTorch, which may not be installed",
    "cli/__init__.py": "a verb loads what it needs itself",
    "training/processes/group.py": "a module of torch that must be loaded before there is a group of processes, and is not used",
}
"""Files that import modules by a text, which `imports` does not see, and why they must."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One module of the package: where it lies, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def part(self) -> str:
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def module(self) -> str:
        return ".".join(("quickstudy", *self.path.removesuffix(".py").removesuffix("__init__").strip("/").split("/"))).strip(
            "."
        )

    @property
    def docstrings(self) -> set[int]:
        """Return the identities of the strings that stand alone as statements: docstrings of modules, functions and constants."""
        nodes = (node.value for node in ast.walk(self.tree) if isinstance(node, ast.Expr))
        return {id(node) for node in nodes if isinstance(node, ast.Constant)}

    @functools.cached_property
    def imports(self) -> set[str]:
        """Return the dotted name of everything imported, also inside functions: `a.b` of `import a.b`, `a.b.c` of `from a.b import c`."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.path} imports relatively"
                found |= {f"{node.module}.{name.name}" for name in node.names}
        return found

    @property
    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _sources(folder: pathlib.Path) -> list[Source]:
    texts = {file.relative_to(folder).as_posix(): file.read_text() for file in sorted(folder.rglob("*.py"))}
    return [Source(path, text, ast.parse(text)) for path, text in texts.items()]


SOURCES, TESTS = _sources(PACKAGE), _sources(ROOT / "tests")
MODULES = {source.module: source for source in SOURCES}


def report(kind: str, offenders: list[str]) -> None:
    """Fail with every offender in the message."""
    assert not offenders, f"{len(offenders)} offenders against {kind!r}:\n" + "\n".join(offenders)


def layout() -> list[str]:
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Layout")[2].split("```")[1]
    return [line.split()[0] for line in text.strip().splitlines()]


def test_every_part_is_in_the_layout_and_exists() -> None:
    assert {source.part for source in SOURCES} - {"__init__"} == set(layout())


def test_tests_mirror_the_package() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.rglob("test_*.py"))}
    assert folders - {"conformance"} <= {source.part for source in SOURCES}


def test_imports_go_one_way() -> None:
    place = {part: index for index, part in enumerate(layout())}
    offenders = [
        f"{source.path} imports {name} from further down"
        for source in SOURCES
        if source.part != "__init__"  # the lazy names of the package itself
        for name in source.imports
        if name.startswith("quickstudy.") and place.get(name.split(".")[1], -1) > place[source.part]
    ]
    report("direction", offenders)


def needs(source: Source) -> set[str]:
    """Return the modules of the package that `source` needs, at once or inside a function that runs later.

    Importing `a.b.c` imports the packages `a` and `a.b` too; those that hold `source` itself are being imported already.
    """
    found = set()
    for name in source.imports:
        target = name if name in MODULES else name.rpartition(".")[0]
        while target in MODULES:
            if not f"{source.module}.".startswith(f"{target}.") or target in source.imports:
                found.add(target)
            target = target.rpartition(".")[0]
        package = name.rpartition(".")[0]
        if name not in MODULES and package in MODULES and package != source.module:
            found.add(package)  # a name that an `__init__` defines
    return found - {source.module}


def test_no_module_imports_in_a_circle() -> None:
    graph = {name: needs(source) - {"quickstudy"} for name, source in MODULES.items() if name != "quickstudy"}
    offenders = []
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        offenders.append(" -> ".join(error.args[1]))
    report("circles", offenders)


def test_the_package_itself_gives_its_parts_nothing_but_its_version() -> None:
    """Its other names load their modules when they are used, so a part that used one would import in a hidden circle."""
    used = [f"{source.path}: {name}" for source in SOURCES for name in source.imports if name.count(".") == 1]
    parts = {f"quickstudy.{part}" for part in layout()} | {"quickstudy.__version__"}
    report("circles", [line for line in used if (name := line.split()[1]).startswith("quickstudy.") and name not in parts])


def test_few_files_import_by_a_text() -> None:
    assert {source.path for source in SOURCES if any(word == "import_module" for _, word in names(source))} == set(BY_NAME)


def test_a_circle_through_a_package_is_seen() -> None:
    inner = Source("data/inner.py", "", ast.parse("from quickstudy.data import load"))
    assert needs(inner) == {"quickstudy.data"}
    assert needs(Source("data/__init__.py", "", ast.parse("from quickstudy.data import loading"))) == {
        "quickstudy.data.loading"
    }
    assert "quickstudy" in needs(Source("cli/a.py", "", ast.parse("from quickstudy import __version__")))
    assert needs(Source("data/b.py", "", ast.parse("def f():\n from quickstudy import storage"))) == {"quickstudy.storage"}


@pytest.mark.parametrize("start", WITHOUT_TORCH)
def test_no_torch_where_none_is_needed(start: str) -> None:
    inside = [source for source in SOURCES if source.path == start or source.path.startswith(f"{start}/")]
    assert inside
    assert not [source.path for source in inside if any(name.split(".")[0] == "torch" for name in source.imports)]


def test_files_and_functions_stay_short() -> None:
    long = [f"{source.path}: {lines} lines" for source in SOURCES if (lines := len(source.text.splitlines())) > 500]
    for source in SOURCES:
        for node in source.functions:
            if (lines := (node.end_lineno or 0) - node.lineno + 1) > 50:
                long.append(f"{source.path}: {node.name} is {lines} lines long")
    report("length", long)


def arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the arguments that a caller sees: all but `self`, `cls` and the `ctx` of autograd functions."""
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    return sum(argument is not None and argument.arg not in {"self", "cls", "ctx"} for argument in every)


def operators(source: Source) -> set[str]:
    """Return the functions that stand in a table beside an operator of torch, which settles their arguments."""
    tables = (node for node in ast.walk(source.tree) if isinstance(node, ast.Dict))
    rows = (row for table in tables for row in zip(table.keys, table.values, strict=True))
    return {value.id for key, value in rows if isinstance(value, ast.Name) and key and "aten." in ast.unparse(key)}


def test_functions_have_at_most_six_arguments() -> None:
    offenders = [
        f"{source.path}:{node.lineno} {node.name} has {count} arguments"
        for source in SOURCES
        for node in source.functions
        if (count := arguments(node)) > 6 and node.name not in operators(source)
    ]
    report("arguments", offenders)


def depth(node: ast.AST) -> int:
    """Return how many blocks lie inside each other below `node`. An `elif` is as deep as its `if`; an inner function starts anew."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        inside = isinstance(child, BLOCKS) and not (isinstance(node, ast.If) and node.orelse == [child])
        deepest = max(deepest, inside + depth(child))
    return deepest


def test_blocks_nest_at_most_three_deep() -> None:
    offenders = [
        f"{source.path}:{node.lineno} {node.name} nests {deepest} deep"
        for source in SOURCES
        for node in source.functions
        if (deepest := depth(node)) > 3
    ]
    report("nesting", offenders)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n if a:\n  pass\n elif b:\n  pass\n else:\n  pass", 1),
        ("def f():\n if a:\n  pass\n else:\n  if b:\n   pass\n  c = 1", 2),
        ("def f():\n for a in b:\n  with c:\n   while d:\n    pass", 3),
        ("def f():\n if a:\n  def g():\n   if b:\n    pass", 1),
        ("def f():\n try:\n  pass\n except E:\n  if a:\n   pass", 2),
    ],
)
def test_nesting_is_counted_as_it_reads(text: str, expected: int) -> None:
    assert depth(ast.parse(text).body[0]) == expected


def is_number(node: ast.expr | None) -> bool:
    """Say whether `node` is a number, or a tuple of numbers, written out."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.UnaryOp):
        return is_number(node.operand)
    if isinstance(node, ast.BinOp):
        return is_number(node.left) and is_number(node.right)
    return isinstance(node, ast.Tuple) and bool(node.elts) and all(is_number(element) for element in node.elts)


def constants(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield the name of each numeric constant at the module's top, and whether a docstring follows it."""
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.Assign | ast.AnnAssign) and is_number(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            for target in targets:
                for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                    yield ast.unparse(name), explained


def test_numeric_constants_are_few_and_explained() -> None:
    found = [(source.path, *constant) for source in SOURCES for constant in constants(source.tree)]
    report(
        "nameless", [f"{path}: {name} has no docstring that says where it comes from" for path, name, said in found if not said]
    )
    if len(found) > MOST_CONSTANTS:
        report("constants", [f"{path}: {name}" for path, name, _ in found])


def strings(source: Source) -> Iterator[tuple[int, str]]:
    """Yield each string of the code with its line; docstrings are no code."""
    docstrings = source.docstrings
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def names(source: Source) -> Iterator[tuple[int, str]]:
    """Yield each name that the code uses or imports, with its line."""
    for node in ast.walk(source.tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name):
            yield line, node.id
        elif isinstance(node, ast.Attribute):
            yield line, node.attr
        elif isinstance(node, ast.arg | ast.keyword):
            yield line, node.arg or ""
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((line, name.name) for name in node.names)
            yield line, getattr(node, "module", None) or ""


def defaults(source: Source) -> set[int]:
    """Return the lines of constants at the module's top and of options' defaults."""
    inside = {line for node in source.tree.body if isinstance(node, ast.Assign | ast.AnnAssign) for line in _lines(node)}
    calls = (node for node in ast.walk(source.tree) if isinstance(node, ast.keyword) and node.arg == "default")
    return inside.union(*(_lines(node.value) for node in calls))


def _lines(node: ast.AST) -> range:
    return range(node.lineno, node.end_lineno + 1)  # type: ignore[attr-defined]


def named_learners(source: Source, own: set[str], allowed: set[int] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Return where the code names a learner that is not its own: its class or its module, or a string that is its file's name."""
    classes = {name: discovery.load("learners", name).__name__ for name in discovery.names("learners")}
    others = classes.keys() - own
    strange = {f"quickstudy.learners.{name}" for name in others} | {classes[name] for name in others}
    hits = [(line, word) for line, word in names(source) if word in strange]
    hits += [(line, word) for line, word in strings(source) if word in others and line not in allowed]
    return [f"{source.path}:{line} {word}" for line, word in hits]


def test_what_messages_name_is_there() -> None:
    """A message that says `use quickstudy.layers.convert.convert` can be followed."""
    named = re.compile(r"\bquickstudy(?:\.[A-Za-z_]\w*)+")
    found = {word for source in SOURCES for _, text in strings(source) for word in named.findall(text)}
    assert len(found) > 5
    for word in found:
        pkgutil.resolve_name(word)


def test_no_learner_is_named_outside_its_own_file() -> None:
    files, offenders = discovery.names("learners"), []
    for source in SOURCES:
        own = {name for name in files if source.path == f"learners/{name}.py"}
        offenders += named_learners(source, own, defaults(source) if source.path.startswith(SETTINGS) else set())
    report("learners", offenders)


def test_no_test_names_a_learner_but_its_own() -> None:
    """Others ask for a learner by what is true of it: tests/builders.py."""
    files, offenders = discovery.names("learners"), []
    for source in TESTS:
        own = {name for name in files if source.path in (f"cases/{name}.py", f"learners/test_{name}.py")}
        offenders += named_learners(source, own)
    report("learners in tests", offenders)


def test_only_the_kind_knows_what_an_image_is() -> None:
    known = re.compile(r"(?<![a-z])(?:image|images|pixel|pixels|ink|PIL)(?![a-z/])|Image|Pixel")
    found = {
        source.path
        for source in SOURCES
        if not source.path.startswith((*PICTURES, *GRIDS, "__init__"))
        for _, word in (*names(source), *strings(source))
        if known.search(word)
    }
    report("images", sorted(found))


def test_no_broad_except_and_no_pickle() -> None:
    forbidden = re.compile(r"except Exception|except:|import pickle")
    hits = [f"{source.path}: {line}" for source in SOURCES for line in source.text.splitlines() if forbidden.search(line)]
    report("forbidden", hits)
