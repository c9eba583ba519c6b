"""quickstudy demo, on synthetic glyphs and a small net; and the report that it writes."""

from __future__ import annotations

import dataclasses
import functools
import html
import html.parser
import json
import pathlib
import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from quickstudy import load_data
from quickstudy.cli import _demo as demo
from quickstudy.cli import _demo_curves as curves
from quickstudy.cli import _demo_tables as tables
from quickstudy.cli._demo_curves import CurveDemo
from quickstudy.cli._demo_tables import Table, TableDemo
from quickstudy.data.dataset import Dataset
from quickstudy.data.readers.npz import from_arrays
from quickstudy.discovery import module as discovery_module
from quickstudy.discovery import names
from quickstudy.inputs import Shown
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.sound import SoundSpec
from quickstudy.inputs.text import TextSpec
from quickstudy.report.page import PicturedTask, Report, write_report
from quickstudy.tasks.values import ValueTasks

Call = Callable[..., Any]
CLASSES = {"train": 32, "val": 6, "test": 24}
IMAGES = 20


@functools.cache
def synthetic(name: str, split: str, **how: object) -> Dataset:
    """Noisy patterns in place of rendered glyphs and handwriting."""
    del how
    classes = CLASSES.get(split, 10)
    rng = np.random.default_rng(classes)
    patterns = rng.random((classes, 1, 28, 28)) < 0.3
    images = ((patterns ^ (rng.random((classes, IMAGES, 28, 28)) < 0.1)) * 255).astype(np.uint8).reshape(-1, 28, 28)
    return from_arrays(images, np.repeat(np.arange(classes), IMAGES), spec=ImageSpec(28, 28, 1, "dark"), name=f"{name}/{split}")


TOPICS = ("card", "weather", "music", "train", "bread", "garden", "salary", "doctor", "football", "letter", "window", "engine")
SENTENCES = ("where is my {}", "i lost the {} today", "{} again please", "tell me about the {}", "what a {}", "no {} for me")


@functools.cache
def requests(name: str, split: str, **how: object) -> Dataset:
    """Sentences about a few things in place of real requests; each split has things of its own."""
    del how
    kinds = ("old", "new", "red", "blue") if split == "train" else ("lost", "stolen")
    things = [f"{kind} {topic}" for kind in kinds for topic in TOPICS]
    texts = [sentence.format(thing) for thing in things for sentence in SENTENCES * 4]
    return from_arrays(
        np.array(texts), np.repeat(np.array(things), 4 * len(SENTENCES)), spec=TextSpec(), name=f"{name}/{split}"
    )


@functools.cache
def chords(name: str, split: str, **how: object) -> Dataset:
    """Chords of a few bands in place of words; each split has chords of its own."""
    del how
    spec, classes = SoundSpec(), CLASSES.get(split, 10)
    rng = np.random.default_rng(classes)
    pictures = rng.random((classes, 1, *spec.layout()["sound"].axes)) < 0.1
    sounds = ((pictures ^ (rng.random((classes, IMAGES, *pictures.shape[2:])) < 0.02)) * 255).astype(np.uint8)
    return from_arrays(
        sounds.reshape(-1, *pictures.shape[2:]), np.repeat(np.arange(classes), IMAGES), spec=spec, name=f"{name}/{split}"
    )


DATA = {"drawing": synthetic, "text": requests, "sound": chords}


CURVES, TABLES = (
    [name for name in names("cli/demos") if isinstance(discovery_module("cli/demos", name).DEMO, kind)]
    for kind in (CurveDemo, TableDemo)
)


@pytest.fixture(params=sorted({*names("cli/demos")} - {*CURVES, *TABLES}))
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return each kind of demo, on small data and a small net."""
    monkeypatch.setattr(demo.data, "load", DATA[request.param])
    monkeypatch.setattr(demo, "SIZES", ((5, 1), (10, 5)))
    module = discovery_module("cli/demos", request.param)
    width = {"conv4": {"channels": 4}, "spoken": {"channels": 4}, "ngrams": {"features": 4, "buckets": 64}}
    small = {
        name: dataclasses.replace(method, net_options=width.get(method.net, {}))
        for name, method in module.DEMO.baselines.items()
    }
    ours = dataclasses.replace(module.DEMO.ours, net_options=width[module.DEMO.ours.net])
    monkeypatch.setattr(module, "DEMO", dataclasses.replace(module.DEMO, ours=ours, baselines=small))
    return request.param


def test_demo_trains_compares_and_reports(kind: str, cli: Call, pasted: Call, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "my demo"
    about = discovery_module("cli/demos", kind).DEMO
    outcome = cli("demo", "--kind", kind, "--out", out, "--minutes", "0.01", "--tasks", "2", "--json")
    assert outcome.code == 0, outcome
    found = json.loads(outcome.out)
    assert found["learner"] == str(out / "learner.safetensors")
    assert len(found["results"]) == 4
    assert next(iter(found["results"])).startswith("quickstudy")
    for by_set in found["results"].values():
        assert set(by_set) == set(about.sets)
        for results in by_set.values():
            assert [(row["ways"], row["shots"], row["test_tasks"]) for row in results] == [(5, 1, 2), (10, 5, 2)]
    assert {"learner.safetensors", "checkpoint.safetensors", "metrics.csv", "report.html"} <= {f.name for f in out.iterdir()}
    page = (out / "report.html").read_text()
    assert all(name in page for name in (*found["results"], *about.sets))
    shown = html.unescape(assert_self_contained(page).text.partition("Try next")[2]).strip()
    commands = pasted(shown.replace("quickstudy", "  quickstudy"), ("--tasks", "2"))
    assert [shlex.split(command)[1] for command in commands] == ["info", "evaluate", "adapt", "predict", "export", "list"]
    demo.cleared(out)  # the next demo may have the folder
    assert not (out / "learner.safetensors").exists()


@pytest.mark.parametrize("kind", CURVES)
def test_a_demo_of_curves_trains_compares_and_reports(
    kind: str, cli: Call, pasted: Call, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(curves.TABLE, "shots", (1, 5))
    out = tmp_path / "my demo"
    outcome = cli("demo", "--kind", kind, "--out", out, "--minutes", "0.02", "--tasks", "2", "--json")
    assert outcome.code == 0, outcome
    found = json.loads(outcome.out)
    assert next(iter(found["results"])).startswith("quickstudy")
    assert len(found["results"]) == 6
    for results in found["results"].values():
        assert [(row["shots"], row["test_tasks"]) for row in results] == [(1, 2), (5, 2)]
    assert len({row[0]["tasks_hash"] for row in found["results"].values()}) == 1
    page = assert_self_contained((out / "report.html").read_text())
    assert page.tags.count("img") == 3
    assert "Root mean squared error, mg/dL" in page.text
    shown = html.unescape(page.text.partition("Try next")[2]).strip()
    commands = pasted(shown.replace("quickstudy", "  quickstudy"), ("--tasks", "2"))
    assert [shlex.split(command)[1] for command in commands] == ["info", "evaluate", "adapt", "predict", "export", "list"]


@pytest.mark.parametrize("kind", TABLES)
def test_a_demo_of_tables_compares_and_reports(
    kind: str, cli: Call, pasted: Call, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = discovery_module("cli/demos", kind)
    monkeypatch.setitem(tables.TABLE, "rows", (10, 20))
    monkeypatch.setattr(module, "DEMO", dataclasses.replace(module.DEMO, tables=("iris", "diabetes")))
    out = tmp_path / "my demo"
    outcome = cli("demo", "--kind", kind, "--out", out, "--minutes", "0.001", "--json")
    assert outcome.code == 0, outcome
    found = json.loads(outcome.out)
    assert found["learner"] == "tables"
    assert next(iter(found["results"])).startswith("quickstudy")
    assert len(found["results"]) == 4
    for by_table in found["results"].values():
        assert set(by_table) == {"iris", "diabetes"}
        for results in by_table.values():
            assert [(row["rows"], row["test_tasks"]) for row in results] == [(10, 2), (20, 2)]  # an interval needs two
        assert all(row["area_under_roc"] > 80 and row["accuracy"] > 60 for row in by_table["iris"])
    hashes = [[row["tasks_hash"] for part in rows.values() for row in part] for rows in found["results"].values()]
    assert hashes == [hashes[0]] * 4
    assert len(set(hashes[0])) == 4
    page = assert_self_contained((out / "report.html").read_text())
    assert page.tags.count("img") == 1  # nothing was trained, so that there is no learning curve
    assert "sepal length (cm) " in page.text
    assert "Accuracy, %, and the 95 %" in page.text
    assert "Area under the ROC curve against labelled rows" in page.text
    shown = html.unescape(page.text.partition("Try next")[2]).strip()
    commands = pasted(shown.replace("quickstudy", "  quickstudy"))
    assert [shlex.split(command)[1] for command in commands] == ["info", "adapt", "predict", "list"]
    assert "minutes is 0.0" in cli("demo", "--kind", kind, "--out", out, "--minutes", "0").err


def test_draws_of_a_table_meet_all_classes_and_its_scores_are_those_of_scikit_learn() -> None:
    table = Table.load("wine")
    for index in range(5):
        known, asked = table.draw(10, index)
        assert set(table.labels[known]) == {0, 1, 2}
        assert len(known) == 10
        assert len(asked) == 50
        assert not {*known} & {*asked}
        assert np.array_equal(table.draw(10, index)[1], asked)
    known, asked = table.draw(10, 3)
    forest = RandomForestClassifier(random_state=0).fit(table.rows[known], table.labels[known])
    area = roc_auc_score(table.labels[asked], forest.predict_proba(table.rows[asked]), multi_class="ovr")
    accuracy = forest.score(table.rows[asked], table.labels[asked])
    assert tables.judged(RandomForestClassifier(random_state=0), table, 10, 3) == pytest.approx((accuracy, area))


def test_an_average_curve_is_the_mean_of_training_and_a_gaussian_process_goes_through_its_points() -> None:
    train, test = (load_data("glucose", split) for split in ("train", "test"))
    tasks, usual = ValueTasks(test, shots=12, queries=12), curves.average(train)
    results = {
        name: curves.judged(predict, tasks, 40, lambda done: None).mean
        for name, predict in {
            "average": usual,
            "process": curves.gaussian_process,
            "around": functools.partial(curves.gaussian_process, usual=usual),
        }.items()
    }
    assert results["around"] < results["process"] < results["average"] / 2
    (minutes,), values = train.examples.values(), train.scale.scaled(train.values)[train.rows, 0]
    task = tasks[0]
    nearby = [values[np.abs(minutes.ravel() - time) < 0.01].mean() for time in task.query.x.flatten().tolist()]
    assert usual(task.support, task.query.x.flatten(1).numpy()) == pytest.approx(nearby, abs=0.2)  # of 200 patients, and of all


def test_demo_replaces_nothing_but_a_demo(refused: Call, finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = sorted(finished.iterdir())
    assert "not a demo's" in refused("demo", "--out", finished)
    assert sorted(finished.iterdir()) == before
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refused("demo", "--out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


class Page(html.parser.HTMLParser):
    """Collects what a page shows and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_self_contained(text: str) -> Page:
    page = Page()
    page.feed(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert page.links
    assert all(link.startswith(("data:image/png;base64,", "data:audio/wav;base64,")) for link in page.links)
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text
    return page


EVIL = "<script>alert(1)</script> & \"quotes\" 'too'"


def test_a_report_is_one_file_and_escapes_what_it_shows(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    grey, colour = (
        [ImageSpec(8, 8, channels).shown({"image": one}) for one in rng.integers(0, 255, (4, 8, 8, channels), dtype=np.uint8)]
        for channels in (1, 3)
    )
    ways = np.array([0, 0, 1, 1])
    task = PicturedTask([EVIL, "b"], grey, ways, colour, ways, np.array([0, 1, 1, 0]))
    report = Report(
        EVIL, EVIL, [EVIL, "ours"], [[EVIL, EVIL]], {EVIL: task}, {EVIL: {1: 50.0, 5: 70.0}}, [(0.1, 20.0), (0.2, 30.0)], [EVIL]
    )
    write_report(tmp_path / "sub" / "report.html", report)
    text = (tmp_path / "sub" / "report.html").read_text(encoding="utf-8")
    page = assert_self_contained(text)
    assert page.text.count(EVIL) >= 7  # shown, not run
    grey[0] = Shown("text/plain", EVIL.encode())
    write_report(tmp_path / "words.html", report)
    words = assert_self_contained((tmp_path / "words.html").read_text(encoding="utf-8"))
    assert words.tags.count("img") == page.tags.count("img") - 1  # an example that its spec shows in words
    assert words.text.count(EVIL) == page.text.count(EVIL) + 1
    assert page.tags.count("img") == 8 + 2  # the examples and two plots
    assert text.count('class="right"') == 2
    assert text.count('class="wrong"') == 2
