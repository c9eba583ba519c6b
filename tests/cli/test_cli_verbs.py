"""quickstudy evaluate, list, info and --help; and that what needs no torch does not import it."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from builders import DESCENT, PROTOTYPES

import quickstudy
from quickstudy import discovery, storage
from quickstudy.data import known
from quickstudy.data.dataset import DataWarning

Call = Callable[..., Any]


@pytest.fixture
def evaluate(finished: pathlib.Path, npz: pathlib.Path) -> list[object]:
    """Return the words of `quickstudy evaluate` on the small data set."""
    return ["evaluate", finished, "--data", npz, "--queries", 3, "--tasks", 20]


def test_evaluate_prints_every_combination(cli: Call, evaluate: list[object], finished: pathlib.Path) -> None:
    outcome = cli(*evaluate, "--ways", 2, 3, "--shots", 1, 2, "--json")
    assert outcome.code == 0
    results = json.loads(outcome.out)["results"]
    assert [(row["ways"], row["shots"]) for row in results] == [(2, 1), (2, 2), (3, 1), (3, 2)]
    assert all(row["protocol"] == "inductive" and row["test_tasks"] == 20 for row in results)
    assert len({row["tasks_hash"] for row in results}) == 4
    table = cli(*evaluate, "--ways", 2, 3, "--shots", 1, 2)
    assert table.code == 0
    for row in results:
        assert row["tasks_hash"] in table.out


def test_evaluate_is_repeatable_and_the_seed_chooses_the_tasks(cli: Call, evaluate: list[object]) -> None:
    def result(*words: object) -> dict[str, Any]:
        return json.loads(cli(*evaluate, "--ways", 2, "--json", *words).out)["results"][0]

    assert result() == result()
    assert result("--seed", 1)["tasks_hash"] != result()["tasks_hash"]
    assert result("--split", "val")["dataset"] == "set.npz/val"
    with pytest.warns(DataWarning, match="trained on"):
        assert result("--split", "train", "--shots", 3)["accuracy"] > 60


def test_evaluate_under_both_protocols(cli: Call, evaluate: list[object]) -> None:
    once = json.loads(cli(*evaluate, "--ways", 2, "--json").out)["results"]
    both = json.loads(cli(*evaluate, "--ways", 2, "--both_protocols", "true", "--json").out)["results"]
    assert [row["protocol"] for row in both] == ["inductive", "transductive"]
    assert both[0] == once[0]
    assert both[0]["tasks_hash"] == both[1]["tasks_hash"]


def test_evaluate_on_ranges_and_imbalanced_tasks(cli: Call, refused: Call, evaluate: list[object]) -> None:
    results = json.loads(cli(*evaluate, "--ways", "2-3", "--shots", "1-3", 2, "--draw.unequal", "true", "--json").out)[
        "results"
    ]
    assert [(row["ways"], row["shots"], row["unequal"]) for row in results] == [("2-3", "1-3", True), ("2-3", 2, True)]
    (listed,) = json.loads(cli(*evaluate, "--ways", "[2, 3]", "--shots", "1-3", "--draw.unequal", "--json").out)["results"]
    assert listed["tasks_hash"] == results[0]["tasks_hash"]
    assert "shots is 'few'; expected a number such as 5, or a range such as 1-5" in refused(*evaluate, "--shots", "few")


def test_evaluate_with_other_hyperparameters(
    cli: Call, refused: Call, train: Call, npz: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    out = tmp_path / "run"
    assert cli(*train(out, learner=DESCENT, steps=1)).code == 0
    words = ["evaluate", out, "--data", npz, "--ways", 2, "--queries", 3, "--tasks", 3]
    assert cli(*words, "--learner.inner_steps", 3, "--learner.statistics", "query", "--json").code == 0
    outcome = cli(*words, "--learner.statistics", "query", "--json")
    assert json.loads(outcome.out)["results"][0]["protocol"] == "transductive"
    message = refused(*words, "--learner.inner_stps", "3")
    assert "--learner.inner_stps" in message
    assert "--learner.inner_steps" in message


@pytest.mark.parametrize("trained", ["train", "all"])
def test_evaluate_on_what_it_was_trained_on_is_said(
    cli: Call, train: Call, npz: pathlib.Path, tmp_path: pathlib.Path, trained: str
) -> None:
    out = tmp_path / "run"
    assert cli(*train(out, split=trained, steps=1)).code == 0
    words = ("evaluate", out, "--ways", 2, "--queries", 3, "--tasks", 2)
    with pytest.warns(DataWarning, match=rf"trained on set\.npz/{trained}, and the tasks are drawn from set\.npz/train"):
        assert cli(*words, "--split", "train").code == 0


def test_evaluate_on_too_small_data(refused: Call, evaluate: list[object]) -> None:
    assert "3 classes" in refused(*evaluate, "--ways", 4)
    assert "8 images" in refused(*evaluate, "--ways", 2, "--shots", 6)
    assert "count is 0" in refused(*evaluate, "--ways", 2, "--tasks", 0)


def test_list_names_everything(cli: Call) -> None:
    found = json.loads(cli("list", "--json").out)
    assert set(found["learner"]) == set(discovery.names("learners"))
    assert set(found["net"]) == set(discovery.names("nets"))
    assert set(found["data"]) == set(known.names())
    for names in found.values():
        assert all(names.values()), names
    table = cli("list").out
    for names in found.values():
        for name in names:
            assert f" {name} " in table


def test_info_of_a_learner_and_of_a_skill(
    cli: Call, refused: Call, finished: pathlib.Path, support: Call, tmp_path: pathlib.Path
) -> None:
    facts = json.loads(cli("info", finished, "--json").out)
    assert facts["kind"] == "learner"
    assert facts["learner"]["name"] == PROTOTYPES
    assert facts["learner"]["args"]["statistics"] == "population"
    assert facts["bytes"] == (finished / "learner.safetensors").stat().st_size
    assert facts["info"]["trained_on"]["dataset"] == "set.npz/train"
    assert facts["numbers"] == sum(
        value.size for value in storage.load(finished / "learner.safetensors", "learner").arrays.values()
    )
    table = cli("info", finished).out
    assert "net.args.channels" in table
    assert "info.validation.accuracy" in table
    examples = support("one", "two")
    for keep, kept in ((), 0), (("--keep", "true"), 2):
        assert cli("adapt", finished, examples, "-o", tmp_path / "my.qs", *keep).code == 0
        skill = json.loads(cli("info", tmp_path / "my.qs", "--json").out)
        assert (skill["kind"], skill["labels"], skill["engine"], skill["kept_examples"]) == (
            "skill",
            ["one", "two"],
            "torch",
            kept,
        )
        assert "numbers" not in skill  # its weights are in the learner's file within
    assert "is a saved checkpoint" in refused("info", finished / "checkpoint.safetensors")
    assert "no safetensors file" in refused("info", finished / "metrics.csv")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_verb(cli: Call, words: list[str]) -> None:
    outcome = cli(*words)
    assert outcome.code == 0
    for verb in discovery.names("cli"):
        assert f"\n  {verb} " in outcome.out
    assert "Train a learner" in outcome.out


@pytest.mark.parametrize("verb", discovery.names("cli"))
def test_every_verb_has_help(cli: Call, verb: str) -> None:
    outcome = cli(verb, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"usage: quickstudy {verb}")
    for noise in ("Literal[", "Optional", "tuple[", "(type:", " None", "True)", "configuration file", ", always:"):
        assert noise not in outcome.out


def test_help_speaks_in_the_words_of_the_command_line(cli: Call) -> None:
    text = " ".join(cli("train", "--help").out.split())
    assert "classes per task, or a range `least-most` (a whole number, or a range such as 3-10; default: 5)" in text
    optimizer = "outer optimizer; `muon` is Muon for matrices and AdamW for all else; null for what suits the learner"
    assert f"{optimizer} (one of adam, adamw, sgd, muon, or null)" in text
    assert "(default: false)" in text
    assert f"options of the learner {PROTOTYPES}:" in text
    assert "options of the net conv4:" in text
    assert "settings of the training: engine:" in text


def test_info_tells_what_was_measured_in_one_line_each(cli: Call) -> None:
    text = " ".join(cli("info", "omniglot").out.split())
    assert re.search(r"results\.measured\.1 accuracy 98\.\d+, ci95 [\d.]+, test_tasks 200, protocol inductive", text)
    assert "[{" not in text


def test_version(cli: Call) -> None:
    assert cli("--version").out == f"quickstudy {quickstudy.__version__}\n"


WITHOUT_TORCH = """
import sys
import quickstudy
from quickstudy import cli
seen = ["import"] if "torch" in sys.modules else []
for words in (["--help"], ["--version"], ["list"], ["list", "--json"], ["info", sys.argv[1]], ["info", sys.argv[1], "--json"]):
    assert cli.main(words) == 0, words
    seen += [words] if "torch" in sys.modules or "sklearn" in sys.modules else []
sys.exit(f"torch was imported by {seen}" if seen else 0)
"""


def test_what_needs_no_torch_does_not_import_it(finished: pathlib.Path) -> None:
    file = finished / "learner.safetensors"
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert PROTOTYPES in done.stdout


def test_the_installed_command() -> None:
    command = pathlib.Path(sys.executable).parent / "quickstudy"
    done = subprocess.run([command, "trian"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("ConfigError: unknown verb 'trian'. Did you mean: train")


def test_export_to_c(tmp_path: pathlib.Path, cli: Call) -> None:
    done = cli("export", "omniglot", "--target", "c", "--ways", "3", "-o", str(tmp_path / "firmware"), "--json")
    assert done.code == 0, done
    facts = json.loads(done.out)
    assert facts["precision"] == "int8"
    assert {"learner.h", "learner.c", "weights.h"} <= set(facts["files"])
    assert "#define QS_WAYS 3" in (tmp_path / "firmware" / "learner.h").read_text()
    refused = cli("export", "omniglot", "--target", "c", "--budget", "9KB", "-o", str(tmp_path / "other"))
    assert (refused.code, "a budget is for bundles" in refused.err) == (2, True)


def test_the_data_of_the_run_is_taken_if_none_is_named(cli: Call, refused: Call, finished: pathlib.Path) -> None:
    found = json.loads(cli("evaluate", finished, "--ways", 2, "--shots", 1, "--queries", 3, "--tasks", 4, "--json").out)
    assert found["results"][0]["dataset"] == "set.npz/test"
    assert "lacks --data" in refused("evaluate", finished / "learner.safetensors", "--tasks", 4)
