"""Pages that code knows better than people: one per learner, net, data set, verb and module, and files that lie outside `docs/`.

A hook of mkdocs. Learners, nets and data sets are found as the package finds them, so that a new file has a page. The build fails if a page
would load a script, a style or a font from another address.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import itertools
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from quickstudy import discovery
from quickstudy.data import known
from quickstudy.learner import Learner

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "quickstudy"
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "ROADMAP.md": "roadmap.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/LOG.md": "log.md",
    "examples": "examples.md",
}
"""Files of the repository that links lead to, and the pages that show them."""
GENERATED = "generated"
"""Titles and pages of the sections of the navigation that are generated."""

Pages = dict[str, str]


# --- what mkdocs calls


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the sections of the navigation that say `generated`."""
    pages = all_pages()
    for section in config.nav or []:
        for title, content in section.items() if isinstance(section, dict) else ():
            if content == GENERATED:
                folder = title.lower().replace(" ", "-")
                section[title] = _navigation(sorted(uri for uri in pages if uri.startswith(f"{folder}/")))
    config.extra["pages"] = pages
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that lie in `docs/`."""
    for uri, content in config.extra.pop("pages").items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into links to their pages."""
    del config, files
    source = {uri: name for name, uri in OUTSIDE.items() if name != "README.md"}.get(
        page.file.src_uri, f"docs/{page.file.src_uri}"
    )
    return with_links(markdown, source, page.file.src_uri)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site of which a page loads something from another address."""
    loaded = {
        f"{file.relative_to(config.site_dir)} loads {address}"
        for file in pathlib.Path(config.site_dir).rglob("*")
        if file.suffix in {".html", ".css"}
        for address in foreign(file.read_text())
    }
    if loaded:
        raise PluginError("\n".join(sorted(loaded)))


# --- links and requests


def foreign(text: str) -> list[str]:
    """Return the addresses of other hosts from which a page or a style sheet loads something. Links that a reader follows load nothing.

    >>> foreign('<script src="https://cdn.example/a.js"></script> <a href="https://example.org">read</a>')
    ['https://cdn.example/a.js']
    >>> foreign("@import url(//fonts.example/css); a { background: url('data:image/png;base64,') }")
    ['//fonts.example/css']
    """
    loading = r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    linked = r"<link\b(?![^>]*\brel=[\"']?(?:canonical|next|prev|edit))[^>]*?\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
    styles = r"(?:url\(|@import\s+)\s*[\"']?((?:https?:)?//[^\"')\s]+)"
    return [address for pattern in (loading, linked, styles) for address in re.findall(pattern, text)]


def with_links(markdown: str, source: str, uri: str) -> str:
    """Return `markdown` with each link that is relative to `source`, a file of the repository, relative to the page `uri` instead."""

    def moved(match: re.Match[str]) -> str:
        target, hash_, anchor = match[1].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path = os.path.normpath(os.path.join(os.path.dirname(source), target))
        page = OUTSIDE.get(path.rstrip("/"), path.removeprefix("docs/"))
        return f"]({os.path.relpath(page, os.path.dirname(uri) or '.')}{hash_}{anchor})"

    return re.sub(r"\]\(([^)\s]+)\)", moved, markdown)


# --- pages


def all_pages() -> Pages:
    """Return every generated page: its address and its markdown."""
    pages = {uri: (ROOT / name).read_text() for name, uri in OUTSIDE.items() if (ROOT / name).is_file() and uri != "index.md"}
    pages["examples.md"] = "# Examples\n\n" + "\n".join(_example(file) for file in sorted((ROOT / "examples").glob("*.py")))
    pages |= _section("learners", "Learners", discovery.names("learners"), learner_page)
    pages["learners/index.md"] += f"\n\n## Side by side\n\n{_compared(discovery.names('learners'))}"
    pages |= _section("nets", "Nets", discovery.names("nets"), net_page)
    pages |= _section("data-sets", "Data sets", known.names(), data_page)
    pages |= _section("commands", "Commands", discovery.names("cli"), verb_page)
    return pages | _reference()


def _section(folder: str, title: str, names: list[str], write: Callable[[str], str]) -> Pages:
    """Return a page per name, and one that lists them with their first lines."""
    pages = {f"{folder}/{name}.md": write(name) for name in names}
    source = {"data-sets": "data/known", "commands": "cli"}.get(folder, folder)
    rows = [(f"[`{name}`]({name}.md)", _idea(PACKAGE / source / f"{name}.py")) for name in names]
    pages[f"{folder}/index.md"] = f"# {title}\n\n{_table(('name', 'what it is'), rows)}"
    return pages


def learner_page(name: str) -> str:
    """Return a learner's page: its idea, its state, its hyperparameters, its facts, what was measured, its code."""
    kind = discovery.load("learners", name)
    first, _, arguments = (inspect.getdoc(kind) or "").partition("\n\n")
    return "\n\n".join(
        [
            f"# {kind.__name__}",
            _module_text(kind),
            f"```sh\nquickstudy train --learner {name} --data omniglot --ways 5 --shots 1 --out runs/{name}\n```",
            f"## State\n\n{first}\n\n{_state(kind)}",
            f"## Hyperparameters\n\n{_hyperparameters(kind, arguments)}",
            f"## Facts\n\n{_facts(kind)}",
            f"## Measured\n\n{_measured(name)}",
            f"## In Python\n\n::: {kind.__module__}.{kind.__name__}\n",
        ]
    )


def net_page(name: str) -> str:
    """Return a net's page: what it is, its arguments, its size, its code."""
    kind = discovery.load("nets", name)
    first, _, arguments = (inspect.getdoc(kind) or "").partition("\n\n")
    net = kind(**({"in_features": 784} if "in_features" in inspect.signature(kind).parameters else {}))
    weights = sum(parameter.numel() for parameter in net.parameters())
    size = f"As it stands by default: {weights:,} weights, {net.features:,} features."
    return "\n\n".join(
        [
            f"# {kind.__name__}",
            _module_text(kind),
            f"```sh\nquickstudy train --net {name} --data omniglot --ways 5 --shots 1 --out runs/{name}\n```",
            f"## Hyperparameters\n\n{first}\n\n{_hyperparameters(kind, arguments)}\n\n{size}",
            f"## In Python\n\n::: {kind.__module__}.{kind.__name__}\n",
        ]
    )


def data_page(name: str) -> str:
    """Return a data set's page: what it is, how it is stored, its splits, where it comes from."""
    module = known.get(name)
    address = re.findall(r"https://[^\s\"')]+", inspect.getsource(module))  # type: ignore[arg-type]
    stored = ", ".join(f"{key} {value}" for key, value in _values(module.SPEC).items())
    rows = [
        ("splits", ", ".join(f"`{split}`" for split in module.SPLITS)),
        ("stored as", stored),
        ("comes from", "<br>".join(f"<{found}>" for found in dict.fromkeys(address)) or "this package; nothing is downloaded"),
    ]
    sentences = _linked(inspect.getdoc(module) or "")
    command = f"```sh\nquickstudy train --data {name} --ways 5 --shots 1 --out runs/{name}\n```"
    return "\n\n".join([f"# `{name}`", sentences, command, _table(("property", "value"), rows)])


def verb_page(name: str) -> str:
    """Return a verb's page: what it does, and its help as it is printed."""
    module = importlib.import_module(f"quickstudy.cli.{name}")
    os.environ["COLUMNS"] = "88"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        module.run(["--help"])
    first = (inspect.getdoc(module) or "").strip()
    return f"# quickstudy {name}\n\n{first[:1].upper()}{first[1:]}\n\n```text\n{_printable(printed.getvalue())}\n```\n"


def _printable(text: str) -> str:
    """Return what a terminal shows of `text`: no control characters but line ends."""
    return "".join(character for character in text.strip() if character == "\n" or character.isprintable())


def _reference() -> Pages:
    """Return a page of the Python reference for every module that is not private, and the list of what users import."""
    pages = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        if not any(part.startswith("_") for part in parts):
            name = ".".join(parts)
            pages[f"python/{'/'.join(parts)}.md"] = f"# {name}\n\n::: quickstudy.{name}\n"
    import quickstudy

    rows = []
    for name in quickstudy.__all__:
        value = getattr(quickstudy, name)
        if hasattr(value, "__module__"):
            page = value.__module__.removeprefix("quickstudy.").replace(".", "/")
            summary = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
            where = f"{page}.md#{value.__module__}.{value.__qualname__}"
            rows.append((f"[`{name}`]({where})" if f"python/{page}.md" in pages else f"`{name}`", summary))
    pages["python/index.md"] = f"# Python\n\nWhat `import quickstudy` gives:\n\n{_table(('name', 'what it is'), rows)}"
    return pages


def _navigation(uris: list[str]) -> list[Any]:
    """Return the pages of a section, those of a folder together, the index first."""
    tree: dict[str, list[Any]] = {}
    for uri in uris:
        parts = uri.split("/")
        tree.setdefault(parts[1] if len(parts) > 2 else "", []).append(uri)
    top = sorted(tree.pop("", []), key=lambda uri: (not uri.endswith("index.md"), uri))
    return [*top, *({folder: inner} for folder, inner in tree.items())]


# --- parts of pages


def _idea(file: pathlib.Path) -> str:
    """Return the first sentence of a file's docstring, without the name that it begins with."""
    text = " ".join((ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n\n")[0].split())
    return text.partition(": ")[2] if re.match(r"[\w -]{1,30}: ", text) else text


def _module_text(kind: type) -> str:
    """Return the docstring of the file that defines a class, with the papers that it names as they are."""
    return _linked(inspect.getdoc(importlib.import_module(kind.__module__)) or "")


def _linked(text: str) -> str:
    return re.sub(r"(?<![<(\w])(https?://[^\s)>]+)", r"<\1>", text)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table of markdown; lines and bars inside a cell do not end it."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _hyperparameters(kind: type, arguments: str) -> str:
    """Return the table of a constructor's arguments: name, type, default, meaning."""
    described = dict(_field_docstrings(kind)) | dict(_described(arguments))
    rows = []
    for parameter in inspect.signature(kind).parameters.values():
        default = "" if parameter.default is parameter.empty else f"`{parameter.default!r}`"
        rows.append((f"`{parameter.name}`", f"`{_type(parameter.annotation)}`", default, described.get(parameter.name, "")))
    return _table(("name", "type", "default", "meaning"), rows) if rows else "None."


def _described(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield each argument of a docstring's `Args:` with its description."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n(?=[ \t]))+)", docstring, re.MULTILINE)
    for entry in re.finditer(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", section[1] if section else "", re.MULTILINE):
        yield entry[1], entry[2]


def _field_docstrings(kind: type) -> Iterator[tuple[str, str]]:
    """Yield each annotated name of a class, inherited ones first, with the docstring that stands below it."""
    for base in reversed([base for base in kind.__mro__ if base.__module__.startswith("quickstudy")]):
        body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(base))).body[0]
        statements = getattr(body, "body", [])
        for node, after in itertools.pairwise(statements):
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and said:
                yield node.target.id, inspect.cleandoc(after.value.value)  # type: ignore[attr-defined]


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = text.replace(" | ", " or ")  # a bar would end the cell of the table
    return re.sub(r"\b(?:typing|collections\.abc|torch\.nn\.modules\.module|torch\.nn|nn|_weights)\.", "", text)


def _facts(kind: type) -> str:
    """Return the table of what the contract says of a learner: each class variable, its value here, its meaning."""
    rows = []
    for name, meaning in _field_docstrings(kind):
        annotations = [vars(base).get("__annotations__", {}).get(name) for base in kind.__mro__]
        if any("ClassVar" in str(annotation) for annotation in annotations if annotation is not None) and hasattr(kind, name):
            rows.append((f"`{name}`", _shown(getattr(kind, name)), meaning))
    return _table(("fact", "here", "meaning"), rows)


def _compared(names: list[str]) -> str:
    """Return the facts of all learners that are yes or no, or kinds of answers, as one table."""
    kinds = [discovery.load("learners", name) for name in names]
    facts = [fact for fact, _ in _field_docstrings(Learner) if fact == "targets" or isinstance(getattr(Learner, fact), bool)]
    rows = [(f"`{fact}`", *(_shown(getattr(kind, fact)) for kind in kinds)) for fact in facts]
    return _table(("fact", *(f"[{name}]({name}.md)" for name in names)), rows)


def _shown(value: Any) -> str:
    """Return a fact as a reader says it: yes and no, words, the names of types."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    if isinstance(value, tuple):
        return ", ".join(_shown(element) for element in value) or "none"
    return value.__name__ if isinstance(value, type) else str(value) or "none"


def _state(kind: type) -> str:
    """Return the tensors of a state, as the learner makes it of three examples of two classes on a net of eight features."""
    import torch

    from quickstudy import Examples, one_hot

    learner = kind(discovery.load("nets", "mlp")(in_features=4, hidden=(8,))).eval()
    state = learner.adapt(Examples(torch.rand(3, 4), one_hot(torch.tensor([0, 0, 1]), 2)))
    rows = [
        (f"`{name}`", f"`{list(value.shape)}`", f"`{str(value.dtype).removeprefix('torch.')}`") for name, value in state.items()
    ]
    said = "After three examples of two classes, with a net that makes 8 numbers of 4, the state is:"
    return f"{said}\n\n{_table(('tensor', 'shape', 'type'), rows)}"


def _measured(name: str) -> str:
    """Return the records that name a learner: rows of the Omniglot table, and the files of results."""
    text = (ROOT / "benchmarks" / "README.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    parts = []
    for table in tables:
        head, rule, *rows = table.splitlines()
        rows = [row for row in rows if re.search(rf"\b{name}\b", row.split("|")[1], re.IGNORECASE)]
        if rows:
            parts.append("\n".join([head, rule, *rows]))
    files = [
        file.name
        for file in sorted((ROOT / "benchmarks" / "results").glob("*.json"))
        if _names(json.loads(file.read_text()), name)
    ]
    parts.append(f"Named in the records {', '.join(f'`{file}`' for file in files)}." if files else "No record names it.")
    return "\n\n".join([*parts, "All figures, with their commands: [benchmarks](../benchmarks.md)."])


def _names(record: Any, name: str) -> bool:
    """Say whether a record has a key or a text with the learner's name in it."""
    if isinstance(record, dict):
        return any(_names(key, name) or _names(value, name) for key, value in record.items())
    if isinstance(record, list):
        return any(_names(value, name) for value in record)
    return isinstance(record, str) and re.search(rf"\b{name}\b", record, re.IGNORECASE) is not None


def _values(spec: Any) -> dict[str, Any]:
    dump = getattr(spec, "model_dump", None)
    return dump() if dump else dict(vars(spec))


def _example(file: pathlib.Path) -> str:
    return f"## {file.stem.replace('_', ' ')}\n\n```python\n{file.read_text()}```\n"
