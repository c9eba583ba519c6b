"""One thread, a fixed seed, small data that several test files use, and a summary of what the tests of each learner cost."""

from __future__ import annotations

import collections
import os
import pathlib
import signal
from collections.abc import Generator

import exports
import numpy as np
import pytest
import torch
from builders import EXAMPLES

from quickstudy import discovery
from quickstudy.data.dataset import Dataset, content_fingerprint
from quickstudy.inputs.image import ImageSpec

torch.set_num_threads(1)
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before scipy is imported: else scikit-learn's check of arrays' interfaces skips
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start us with Ctrl-C ignored


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, with one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session", autouse=True)
def _shared_exports(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the exports that tests share in a folder of this run, which is one for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    exports.FOLDER = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports"
    exports.FOLDER.mkdir(exist_ok=True)


@pytest.fixture(scope="session")
def patterns() -> Dataset:
    """12 classes in 3 groups of 4, with 9 to 14 images each: a fixed random pattern per class, plus noise, 16x16 grey."""
    random = np.random.default_rng(0)
    counts = np.array([9 + c % 6 for c in range(12)])
    pattern = random.integers(40, 216, (12, 16, 16, 1))
    images = np.repeat(pattern, counts, axis=0) + random.integers(-40, 41, (int(counts.sum()), 16, 16, 1))
    images, classes = images.astype(np.uint8), tuple(f"class{c:02d}" for c in range(12))
    spec = ImageSpec(16, 16, 1)
    groups = tuple(f"group{c // 4}" for c in range(12))
    return Dataset(images, counts, classes, groups, spec, "patterns", content_fingerprint(images, counts, classes, spec))


SECONDS_PER_LEARNER = 15.0
"""Seconds that the tests of one learner may take: with thirty learners the whole suite still ends in ten minutes on two cores."""
_SECONDS: dict[str, collections.Counter[str]] = {"learner": collections.Counter(), "file": collections.Counter()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note with each test whose it is: in the file of a learner, or one of a function's tests of every learner that it concerns.

    A function that is tested with the learners of `builders.EXAMPLES` alone (every net with two learners, say) is about something else.
    """
    learners = set(discovery.names("learners"))
    named: dict[pytest.Item, set[str]] = {}
    of_function: collections.defaultdict[tuple[pathlib.Path, str], set[str]] = collections.defaultdict(set)
    for item in items:
        named[item] = learners & set(getattr(getattr(item, "callspec", None), "id", "").split("-"))
        of_function[item.path, getattr(item, "originalname", item.name)] |= named[item]
    for item in items:
        own = {item.path.stem.removeprefix("test_")} & learners
        about_learners = not of_function[item.path, getattr(item, "originalname", item.name)] <= EXAMPLES
        item.user_properties += [("learner", name) for name in sorted(own | (named[item] if about_learners else set()))]


_SPENT = [sum(os.times()[:4])]
"""Seconds of a processor that this process and its children had taken at the end of the last phase of a test."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how many seconds of a processor each phase of a test took, its child processes included: other work does not count."""
    report = yield
    spent = sum(os.times()[:4])
    report.user_properties.append(("processor seconds", spent - _SPENT[0]))
    _SPENT[0] = spent
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the seconds of each learner and each file; with several workers only the process that leads them prints the sums."""
    seconds = float(dict(report.user_properties).get("processor seconds", report.duration))
    _SECONDS["file"][report.nodeid.partition("::")[0]] += seconds
    for key, name in report.user_properties:
        if key == "learner":
            _SECONDS["learner"][str(name)] += seconds


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the slowest files, and each learner's seconds with those above the limit marked."""
    if sum(_SECONDS["file"].values()) < SECONDS_PER_LEARNER:
        return
    terminalreporter.section("seconds of a processor, summed over workers")
    for file, seconds in _SECONDS["file"].most_common(5):
        terminalreporter.write_line(f"{seconds:7.1f} s  {file}")
    for learner, seconds in _SECONDS["learner"].most_common():
        above = f"  above {SECONDS_PER_LEARNER:.0f} s: make it smaller" if seconds > SECONDS_PER_LEARNER else ""
        terminalreporter.write_line(f"{seconds:7.1f} s  {learner}{above}")
