"""quickstudy train: what it leaves behind, its options, its configs, and that nothing is overwritten."""

from __future__ import annotations

import json
import pathlib
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import yaml
from builders import DESCENT, HEAD_DESCENT, ORDERED, PROTOTYPES

import quickstudy
from quickstudy import storage
from quickstudy.data.dataset import DataWarning
from quickstudy.training.tracking import read_metrics

Call = Callable[..., Any]


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_run_leaves_learner_checkpoint_metrics_events_and_config(finished: pathlib.Path) -> None:
    assert {file.name for file in finished.iterdir()} == {
        "learner.safetensors",
        "checkpoint.safetensors",
        "metrics.csv",
        "tensorboard",
        "config.yaml",
    }
    rows = read_metrics(finished / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, 151))
    validated = [int(row["step"]) for row in rows if row["validation_accuracy"]]
    assert validated == [*range(7, 150, 7), 150]
    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
    assert list(finished.glob("tensorboard/*tfevents*"))


def test_the_saved_learner_is_the_best_by_validation(finished: pathlib.Path) -> None:
    saved = quickstudy.load_learner(finished)
    accuracies = {int(r["step"]): r["validation_accuracy"] for r in read_metrics(finished / "metrics.csv")}
    best = max(float(value) for value in accuracies.values() if value)
    assert saved.info["validation"]["accuracy"] == pytest.approx(100 * best, abs=1e-3)
    assert float(accuracies[saved.info["steps"]]) == pytest.approx(best)
    assert saved.spec is not None
    assert saved.spec.shape == (16, 16, 1)


def test_table_and_json(cli: Call, train: Call, tmp_path: pathlib.Path) -> None:
    table = cli(*train(tmp_path / "a"))
    assert table.code == 0
    assert f"saved: {tmp_path / 'a' / 'learner.safetensors'}" in table.out
    assert f"next: quickstudy evaluate {tmp_path / 'a'} --data " in table.out
    assert re.search(r"loss \d+\.\d+ +validation \d+\.\d ± \d+\.\d % +\d+ tasks/s +0\.0 min left", table.err)
    result = json.loads(cli(*train(tmp_path / "b"), "--json").out)
    assert result["steps"] == 3
    assert result["validation"]["test_tasks"] == 5
    assert result["validation"]["protocol"] == "inductive"
    assert len(result["validation"]["tasks_hash"]) == 16


def test_validation_may_have_ways_and_shots_of_its_own(cli: Call, train: Call, tmp_path: pathlib.Path) -> None:
    words = train(tmp_path / "run", shots=2, validation__ways=2, validation__shots=1)
    found = json.loads(cli(*words, "--json").out)["validation"]
    assert (found["ways"], found["shots"]) == (2, 1)


def test_one_validation_task_has_no_interval(cli: Call, train: Call, tmp_path: pathlib.Path) -> None:
    outcome = cli(*train(tmp_path / "a", validation__tasks=1, steps=1))
    assert outcome.code == 0
    assert "±" not in outcome.out


@pytest.mark.parametrize(
    ("learner", "net", "more"),
    [
        (DESCENT, "conv4", ["--learner.inner_lr", "0.25", "--learner.inner_steps=2"]),
        (PROTOTYPES, "mlp", ["--net.hidden", "[12,6]", "--shots", "[1,2]", "--draw.unequal", "true", "--lr", "0.003"]),
        (ORDERED, "conv4", ["--net.halving", "stride", "--validation.patience", "4"]),
    ],
)
def test_print_config_fed_back_gives_the_same_options(
    cli: Call, npz: pathlib.Path, tmp_path: pathlib.Path, learner: str, net: str, more: list[str]
) -> None:
    words = ["train", "--data", str(npz), "--learner", learner, "--net", net, *more]
    printed = cli(*words, "--print_config")
    assert printed.code == 0
    options = yaml.safe_load(printed.out)
    assert options["learner"]["name"] == learner
    assert options["net"]["name"] == net
    config = tmp_path / "run.yaml"
    config.write_text(printed.out)
    again = cli("train", "--config", config, "--print_config")
    assert yaml.safe_load(again.out) == options
    changed = cli("train", "--config", config, "--steps", "77", "--print_config")
    assert yaml.safe_load(changed.out) == options | {"steps": 77}


def test_a_run_can_be_repeated_from_its_config(cli: Call, train: Call, tmp_path: pathlib.Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert cli(*train(first, learner=DESCENT, learner__inner_lr=0.25)).code == 0
    assert cli("train", "--config", first / "config.yaml", "--out", second).code == 0
    weights = [storage.load(out / "learner.safetensors", "learner") for out in (first, second)]
    assert weights[0].meta["learner"]["args"]["inner_lr"] == 0.25
    assert storage.fingerprint(weights[0].arrays) == storage.fingerprint(weights[1].arrays)


def test_names_in_a_config_may_be_short_and_the_last_word_counts(cli: Call, npz: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "short.yaml"
    config.write_text(f"learner: {DESCENT}\nnet: mlp\nsteps: 5\n")
    words = ["train", "--data", str(npz), "--print_config"]
    options = yaml.safe_load(cli(*words, "--config", config).out)
    assert (options["learner"]["name"], options["net"]["name"], options["steps"]) == (DESCENT, "mlp", 5)
    assert "inner_lr" in options["learner"]
    later = yaml.safe_load(cli(*words, "--config", config, f"--learner={HEAD_DESCENT}", "--steps", "6").out)
    assert (later["learner"]["name"], later["steps"]) == (HEAD_DESCENT, 6)
    earlier = yaml.safe_load(cli(*words, "--learner", HEAD_DESCENT, "--config", config).out)
    assert earlier["learner"]["name"] == DESCENT


def test_help_lists_the_options_of_the_chosen_learner(cli: Call) -> None:
    outcome = cli("train", "--learner", DESCENT, "--help")
    assert outcome.code == 0
    assert "--learner.inner_lr" in outcome.out
    assert "step size of the inner loop" in outcome.out
    assert "--learner.inner_lr" not in cli("train", "--learner", PROTOTYPES, "--help").out


def test_a_run_is_never_overwritten(cli: Call, refused: Call, train: Call, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "run"
    assert cli(*train(out)).code == 0
    before = contents(out)
    message = refused(*train(out, steps=4, learner=DESCENT))
    assert str(out) in message
    assert "--resume" in message
    assert contents(out) == before


def test_a_run_resumes_only_with_its_own_options(cli: Call, refused: Call, train: Call, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "run"
    assert cli(*train(out, learner=DESCENT, learner__inner_lr=0.5)).code == 0
    before = contents(out)
    assert "steps: 3 -> 9" in refused("train", "--resume", out, "--steps", "9")
    assert "ways: 2 -> 3" in refused("train", "--resume", out, "--ways", "3")
    assert "inner_lr: 0.5 -> 0.1" in refused("train", "--resume", out, "--learner.inner_lr", "0.1")
    assert contents(out) == before


@pytest.mark.parametrize("words", [["--resume", "OUT"], ["--resume=OUT"], ["--config", "OUT/config.yaml", "--resume"]])
def test_a_finished_run_resumes_to_the_same_end(cli: Call, train: Call, tmp_path: pathlib.Path, words: list[str]) -> None:
    out = tmp_path / "run"
    assert cli(*train(out)).code == 0
    learner = (out / "learner.safetensors").read_bytes()
    assert cli("train", *(word.replace("OUT", str(out)) for word in words)).code == 0
    assert (out / "learner.safetensors").read_bytes() == learner
    assert len(read_metrics(out / "metrics.csv")) == 3


def test_a_run_begins_with_the_network_of_another(
    cli: Call, refused: Call, train: Call, finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    def network(run: pathlib.Path) -> dict[str, np.ndarray]:
        state = quickstudy.load_learner(run).learner.state_dict()
        return {name: value.numpy() for name, value in state.items() if name.startswith("net.") and name.endswith("weight")}

    begun = tmp_path / "begun"
    cli(*train(begun), "--steps=0", f"--learner={HEAD_DESCENT}", f"--begin={finished}")
    expected = network(finished)
    assert expected
    for name, value in network(begun).items():
        np.testing.assert_array_equal(value, expected[name])
    with pytest.warns(
        DataWarning, match=r"was trained on grey images of 16x16, ink light, and this training is on .* ink dark"
    ):
        cli(*train(tmp_path / "turned"), "--steps=0", f"--begin={finished}", "--ink=dark")
    message = refused(*train(tmp_path / "other"), f"--begin={finished}", "--net.channels=5")
    assert f"the net of {finished} is Conv4 with" in message
    assert "there is no" in refused(*train(tmp_path / "third"), f"--begin={tmp_path / 'nothing'}")


def test_nothing_to_resume(refused: Call, train: Call, tmp_path: pathlib.Path) -> None:
    assert "no run to resume" in refused("train", "--resume", tmp_path)
    assert "to resume from" in refused(*train(tmp_path / "none"), "--resume", "true")
    assert not (tmp_path / "none").exists()


def test_without_validation_the_last_learner_is_saved(cli: Call, train: Call, tmp_path: pathlib.Path) -> None:
    assert cli(*train(tmp_path / "run", validation__split="null")).code == 0
    saved = quickstudy.load_learner(tmp_path / "run")
    assert saved.info["steps"] == 3
    assert "validation" not in saved.info


OWN = {"size": 16, "channels": 1, "validation__split": "null", "steps": 1, "queries": 2}


def test_images_of_different_sizes_are_brought_to_one(cli: Call, train: Call, own_images: Call, tmp_path: pathlib.Path) -> None:
    images = own_images(tmp_path / "images")
    assert cli(*train(tmp_path / "run", data=images, **OWN)).code == 0
    spec = quickstudy.load_learner(tmp_path / "run").spec
    assert spec is not None
    assert spec.shape == (16, 16, 1)


def test_a_corrupt_image_is_named_and_counted_and_the_rest_goes_on(
    cli: Call, refused: Call, train: Call, own_images: Call, tmp_path: pathlib.Path
) -> None:
    images = own_images(tmp_path / "images")
    damaged = images / "class3" / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:40])
    with pytest.warns(DataWarning, match=r"left out 1 of 60 images.*class3/2\.png"):
        assert cli(*train(tmp_path / "run", data=images, split="all", **OWN)).code == 0
    for words in (["--strict", "true"], ["--strict"], ["--strict", "--json"]):
        message = refused(*train(tmp_path / "strict", data=images, split="all", **OWN), *words)
        assert "class3/2.png" in message
        assert "1 of 60" in message
    assert not (tmp_path / "strict").exists()


def test_a_warning_is_printed_in_one_line(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(words: Sequence[str]) -> None:
        del words
        sys.stderr.write(warnings.formatwarning(DataWarning("left out 1 of 60 images"), DataWarning, "tree.py", 7))

    monkeypatch.setattr("quickstudy.cli.info.run", run)
    before = warnings.formatwarning
    assert cli("info").err == "DataWarning: left out 1 of 60 images\n"
    assert warnings.formatwarning is before
