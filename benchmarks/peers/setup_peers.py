"""Makes the peers' environment: python setup_peers.py .venv-peers

Needs a C compiler and Python's headers, for learn2learn's tasksets. learn2learn and easyfsl import, from their `__init__` files, modules
for which this benchmark has no use and which need torchvision, gym and lightning; so these files are cut down to what is measured.
What is measured is untouched.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv

HERE = pathlib.Path(__file__).parent
WITHOUT_DEPENDENCIES = ("higher==0.2.1", "torchopt==0.7.3", "easyfsl==1.5.0")
LEARN2LEARN = "learn2learn==0.2.0"

CUT_DOWN = {
    "learn2learn/__init__.py": "from . import algorithms, data\nfrom .utils import *\n",
    "learn2learn/algorithms/__init__.py": "from .maml import MAML, maml_update\n",
    "easyfsl/datasets/__init__.py": "from .few_shot_dataset import FewShotDataset\n",
    "easyfsl/methods/__init__.py": "from .prototypical_networks import PrototypicalNetworks\n",
}


def main() -> None:
    folder = pathlib.Path(sys.argv[1]).resolve()
    python = str(folder / "bin" / "python")
    if not pathlib.Path(python).exists():
        venv.create(folder, with_pip=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "-r", str(HERE / "requirements.txt")], check=True)
    subprocess.run([*pip, "install", "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = pathlib.Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    with tempfile.TemporaryDirectory() as temporary:
        _install_learn2learn(pathlib.Path(temporary), python, pip, packages)
    for file, text in CUT_DOWN.items():
        (packages / file).write_text(f'"""Cut down by {pathlib.Path(__file__).name}."""\n\n{text}')
    modules = "learn2learn.data, easyfsl.samplers, easyfsl.methods, higher, torchopt, jax"
    subprocess.run([python, "-c", f"import {modules}"], check=True)


def _install_learn2learn(temporary: pathlib.Path, python: str, pip: list[str], packages: pathlib.Path) -> None:
    """Its source distribution, compiled in place: pip cannot build it on Python 3.11, as its C files are of an older Cython."""
    source = ["download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", LEARN2LEARN]
    subprocess.run([*pip, *source, "--dest", str(temporary)], check=True)
    with tarfile.open(next(temporary.glob("*.tar.gz"))) as opened:
        opened.extractall(temporary, filter="data")
    unpacked = next(path for path in temporary.iterdir() if path.is_dir())
    for stale in (unpacked / "learn2learn" / "data").glob("*.c"):
        stale.unlink()
    built = subprocess.run([python, "setup.py", "build_ext", "--inplace"], cwd=unpacked, capture_output=True, text=True)
    if built.returncode:
        raise SystemExit(f"learn2learn's tasksets could not be compiled:\n{built.stderr}")
    for name in ("learn2learn", "learn2learn.egg-info"):
        target = packages / (name if name == "learn2learn" else f"{LEARN2LEARN.replace('==', '-')}.egg-info")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(unpacked / name, target)


if __name__ == "__main__":
    main()
