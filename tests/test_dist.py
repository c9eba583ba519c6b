"""The built wheel stands alone: all files are in it, and a fresh environment without Node.js and PyTorch serves the page and learns."""

import os
import pathlib
import re
import subprocess
import sys
import urllib.request
import zipfile

import pytest

pytestmark = pytest.mark.product
ROOT = pathlib.Path(__file__).parents[1]
LEARN = """
import numpy as np
from quickstudy.runtime import Learner
learner = Learner.load("omniglot")
drawings = np.ones((4, 105, 105))
drawings[:2, 20:85, 50:56] = drawings[2:, 50:56, 20:85] = 0
skill = learner.adapt(drawings, ["alpha", "alpha", "beta", "beta"])
print(*skill.predict(drawings))
"""


@pytest.fixture(scope="module")
def wheel() -> pathlib.Path:
    found = sorted((ROOT / "dist").glob("quickstudy-*.whl"))
    assert len(found) == 1, "expected one wheel in dist/; run `make dist`"
    return found[0]


@pytest.fixture(scope="module")
def fresh(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the folder of programs of a new environment that holds the wheel and what it requires, nothing else."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(command, check=True, cwd=folder, env=environment(folder))
    return folder / "bin"


def environment(folder: pathlib.Path) -> dict[str, str]:
    """Return variables of a shell in which neither this source nor Node.js is found."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {
        "PATH": str(folder / "bin"),
        "QUICKSTUDY_CACHE": str(folder / "cache"),
    }


def test_wheel_holds_every_file_of_the_package(wheel: pathlib.Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src" / "quickstudy"
    files = {file.relative_to(ROOT / "src").as_posix() for file in package.rglob("*") if file.is_file()}
    kept = {file for file in files if "__pycache__" not in file}
    assert kept == {name for name in inside if not name.startswith("quickstudy-")}
    assert "quickstudy/serve/built/index.html" in inside


def test_page_opens_from_the_wheel_without_node(fresh: pathlib.Path) -> None:
    command = [fresh / "python", "-m", "quickstudy", "demo", "--browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=fresh, env=environment(fresh.parent)) as server:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
        try:
            assert found
            page = fetch(found[0])
            assert b"<title>" in page
            needed = re.findall(r'(?:src|href)="\./([^"]+)"', page.decode())
            assert {pathlib.Path(name).suffix for name in needed} >= {".js", ".css"}
            for name in [*needed, "quickstudy.js", "ort-wasm-simd-threaded.wasm", "learner.qs"]:
                assert fetch(found[0] + name), name
        finally:
            server.terminate()


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read()


def test_wheel_learns_a_task_without_torch(fresh: pathlib.Path) -> None:
    command = [fresh / "python", "-W", "error", "-c", LEARN]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=fresh, env=environment(fresh.parent))
    assert ran.stdout.split() == ["alpha", "alpha", "beta", "beta"], ran.stderr
    assert subprocess.run(
        [fresh / "python", "-c", "import torch"], capture_output=True, env=environment(fresh.parent)
    ).returncode


def test_wheel_has_the_version_of_the_source(wheel: pathlib.Path, fresh: pathlib.Path) -> None:
    command = [fresh / "quickstudy", "--version"]
    printed = subprocess.run(command, capture_output=True, text=True, env=environment(fresh.parent)).stdout.split()[-1]
    assert wheel.name.split("-")[1] == printed
