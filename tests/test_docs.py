"""The docs are true: README's Python runs, and every public name, verb, learner, net, data set and error is documented."""

import pathlib
import re
import runpy

import pytest

import quickstudy
from quickstudy import discovery, errors
from quickstudy.data import known

ROOT = pathlib.Path(__file__).parents[1]
TEXT = "\n".join(file.read_text() for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


def test_readme_python_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    classifier = names["classifier"]
    assert isinstance(classifier, quickstudy.FewShotClassifier)
    assert classifier.classes_.tolist() == ["alpha", "beta", "gamma"]
    accuracy, evaluated = capsys.readouterr().out.split("\n", 1)
    assert float(accuracy) > 0.9
    assert "tasks_hash" in evaluated


@pytest.mark.parametrize("folder", ["learners", "nets", "cli"])
def test_every_discovered_name_is_documented(folder: str) -> None:
    missing = [name for name in discovery.names(folder) if not re.search(rf"`{name}`|quickstudy {name}\b", TEXT)]
    assert not missing


def test_every_data_set_and_error_is_documented() -> None:
    assert not [name for name in known.names() if f"`{name}`" not in TEXT]
    concrete = [kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and not kind.__subclasses__()]
    assert not [name for name in concrete if f"`{name}`" not in TEXT and name != "Iterable"]


def test_every_public_name_resolves() -> None:
    for name in quickstudy.__all__:
        assert getattr(quickstudy, name) is not None


def test_links_lead_somewhere() -> None:
    for file in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
            assert target.startswith("http") or (file.parent / target).exists(), f"{file.name} links to {target}"


def test_example_digits(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "digits.py"), run_name="__main__")
    learned, pixels = (float(value) for value in re.findall(r"([\d.]+) %", capsys.readouterr().out))
    assert learned > pixels + 3
    assert learned > 85


def test_example_of_a_learner_of_your_own(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "own_learner.py"), run_name="__main__")
    before, after = (float(value) for value in re.findall(r"(?:before|after) ([\d.]+)", capsys.readouterr().out))
    assert after > before
