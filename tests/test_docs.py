"""The docs are true: what README and the tutorials show is run, links lead somewhere, and whatever has a name is documented."""

import doctest
import importlib.util
import pathlib
import re
import runpy
import shlex
import sys
import types

import numpy as np
import PIL.Image
import pytest

import quickstudy
from quickstudy import cli, discovery, errors
from quickstudy.data import known

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "ROADMAP.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]
TEXT = "\n".join(file.read_text() for file in PAGES)
SHORT = {
    "train": ("--steps", "4"),
    "plan": ("--steps", "4"),
    "evaluate": ("--tasks", "4"),
    "doctor": ("--tasks", "4"),
    "scoreboard": ("--tasks", "4"),
}
"""What a command of the docs is given in addition, so that it ends in seconds."""


def blocks(file: pathlib.Path) -> list[tuple[str, str]]:
    """Return the blocks of code of a page, each with its language."""
    return re.findall(r"^```(python|sh)\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """Return the words of each command of ours in a block: continued lines joined, comments and other programs left out."""
    lines = (shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines())
    return [words[1:] for words in lines if words[:1] == ["quickstudy"]]


@pytest.fixture
def workplace(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """Return an empty folder with the images that the docs speak of, where the process stands."""
    paper = np.full((2, 40, 40), 255, np.uint8)
    paper[0, 5:35, 18:22] = paper[1, 18:22, 5:35] = 0  # a stroke down, and one across
    for name, drawn in zip(("alpha", "beta"), paper, strict=True):
        (tmp_path / "my-classes" / name).mkdir(parents=True)
        for index in range(2):
            PIL.Image.fromarray(np.roll(drawn, index, axis=(0, 1))).save(tmp_path / "my-classes" / name / f"{index}.png")
    PIL.Image.fromarray(paper[0]).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", [file for file in SHOWN if blocks(file)], ids=lambda file: file.stem)
def test_what_a_page_shows_runs(file: pathlib.Path, workplace: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = types.ModuleType("page")  # dataclasses look for the module that they stand in
    monkeypatch.setitem(sys.modules, "page", page)
    for language, text in blocks(file):
        if language == "python":
            exec(compile(text, str(file), "exec"), vars(page))
            continue
        for words in commands(text):
            if "--browser" not in words and words[0] != "demo":
                assert cli.main([*words, *SHORT.get(words[0], ())]) == 0, f"{file.name}: quickstudy {' '.join(words)}"


def test_readme_shows_python_and_commands() -> None:
    found = blocks(ROOT / "README.md")
    assert sum(language == "python" for language, _ in found) >= 3
    shown = {words[0] for language, text in found if language == "sh" for words in commands(text)}
    assert shown == set(discovery.names("cli"))


@pytest.mark.parametrize("folder", ["learners", "nets", "cli"])
def test_every_discovered_name_is_documented(folder: str) -> None:
    missing = [name for name in discovery.names(folder) if not re.search(rf"`{name}`|quickstudy {name}\b", TEXT)]
    assert not missing


def test_every_data_set_and_error_is_documented() -> None:
    assert not [name for name in known.names() if f"`{name}`" not in TEXT]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.QuickstudyError)]
    assert not [kind.__name__ for kind in kinds if not kind.__subclasses__() and f"`{kind.__name__}`" not in TEXT]


def test_every_public_name_resolves() -> None:
    for name in quickstudy.__all__:
        assert getattr(quickstudy, name) is not None


def test_links_lead_somewhere() -> None:
    generated = {f"docs/{uri}" for uri in generator().all_pages()}
    for file in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", file.read_text()):
            there = (file.parent / target).resolve()
            exists = there.exists() or there.relative_to(ROOT).as_posix() in generated
            assert target.startswith("http") or exists, f"{file.name} links to {target}"


def generator() -> types.ModuleType:
    """Return the module that writes pages of the site."""
    return _module(ROOT / "docs" / "_generate.py")


def _module(file: pathlib.Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_examples_of_the_generator_are_true() -> None:
    ran = doctest.testmod(generator())
    assert ran.attempted
    assert not ran.failed


def test_examples_in_docstrings_are_shown_as_code() -> None:
    fenced = _module(ROOT / "docs" / "_doctests.py").fenced
    assert fenced("Add.\n\n>>> 1 + 1\n2\n\nMore.") == "Add.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore."
    assert (
        fenced("    >>> f(\n    ...     1\n    ... )\n    [1]")
        == "    ```pycon\n    >>> f(\n    ...     1\n    ... )\n    [1]\n    ```"
    )
    assert fenced("No example: a > b.") == "No example: a > b."


def test_the_site_has_a_page_for_every_name() -> None:
    pages = generator().all_pages()
    expected = {f"learners/{name}.md" for name in discovery.names("learners")}
    expected |= {f"nets/{name}.md" for name in discovery.names("nets")} | {
        f"commands/{name}.md" for name in discovery.names("cli")
    }
    expected |= {f"data-sets/{name}.md" for name in known.names()}
    assert expected <= set(pages)
    for name in discovery.names("learners"):
        page = pages[f"learners/{name}.md"]
        for part in ("## State", "## Hyperparameters", "## Facts", "## Measured", "| `net` |"):
            assert part in page, f"{name} has no {part}"


def test_a_page_that_loads_from_elsewhere_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "index.html").write_text('<link rel=stylesheet href="https://fonts.example/css">')
    with pytest.raises(Exception, match=re.escape("loads https://fonts.example/css")):
        generator().on_post_build(types.SimpleNamespace(site_dir=str(tmp_path)))
    (tmp_path / "index.html").write_text('<link rel=canonical href="https://a.example/"><script src="a.js"></script>')
    generator().on_post_build(types.SimpleNamespace(site_dir=str(tmp_path)))


def test_version_is_written_once() -> None:
    assert re.search(rf"^## \[{re.escape(quickstudy.__version__)}\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert f'"version": "{quickstudy.__version__}"' in (ROOT / "web" / "package.json").read_text()


def test_example_digits(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "digits.py"), run_name="__main__")
    learned, pixels = (float(value) for value in re.findall(r"([\d.]+) %", capsys.readouterr().out))
    assert learned > pixels + 3
    assert learned > 85


def test_example_of_a_learner_of_your_own(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "own_learner.py"), run_name="__main__")
    before, after = (float(value) for value in re.findall(r"(?:before|after) ([\d.]+)", capsys.readouterr().out))
    assert after > before
